// What is parallel over time in backward: the gradients of the weights, the biases and x, from da.
//
// dW[m,k] = sum over the rows of da[m] * source[k], the source being x for W_ih and h_{t-1} for W_hh. Rows are taken in chunks that stay in the
// first caches; each adds its own sum, so that rounding grows with the number of chunks and not of rows. Parts share out the rows m of dW
// and the chunks of dx: every number is made by one part, in one order.
#pragma once

#include "backward.hpp"

namespace gatewise::GATEWISE_LEVEL {

inline constexpr std::ptrdiff_t kChunk = 128;  // rows
inline constexpr int kWeightRows = 6;  // of dW in a tile

// One sequence at one step.
template <class S>
struct ProductsRow {
    const S* da;      // [kGradients*H]
    const S* x;       // [I]
    const S* h_prev;  // [P]
    S* dx;            // [I]
};

// A few rows of dW times a panel of its columns, k .. .
template <class V>
struct WeightTile {
    using S = Scalar<V>;
    using Row = ProductsRow<S>;

    const Row* rows;
    std::ptrdiff_t count;
    const S* Row::* source;
    std::ptrdiff_t k, columns;

    template <int Rows>
    GATEWISE_INLINE void choose(std::ptrdiff_t left, std::ptrdiff_t m, S* dW) const {
        if constexpr (Rows > 1) {
            if (left < Rows) return choose<Rows - 1>(left, m, dW);
        }
        choose_vectors<Rows, kPanelVectors>(m, dW);
    }

    template <int Rows, int Vectors>
    GATEWISE_INLINE void choose_vectors(std::ptrdiff_t m, S* dW) const {
        const std::ptrdiff_t there = columns - k;
        if constexpr (Vectors > 1) {
            if (there <= (Vectors - 1) * kLanes<V>) return choose_vectors<Rows, Vectors - 1>(m, dW);
        }
        if (there < Vectors * kLanes<V>) return run<Rows, Vectors, true>(m, dW);
        run<Rows, Vectors, false>(m, dW);
    }

    template <int Rows, int Vectors, bool HasTail>
    [[gnu::noinline]] void run(std::ptrdiff_t m, S* dW) const {
        const std::ptrdiff_t tail = columns - k - (Vectors - 1) * kLanes<V>;
        Array<Array<V, Vectors>, Rows> sums;
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) sums[i][v] = V{};
        }
        for (std::ptrdiff_t r = 0; r < count; ++r) {
            const S* const from = rows[r].*source + k;
            const S* const da = rows[r].da + m;
            Array<V, Vectors> values;
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                values[v] = HasTail && v == Vectors - 1 ? load_first<V>(from + v * kLanes<V>, tail) : load<V>(from + v * kLanes<V>);
            }
#pragma GCC unroll 8
            for (int i = 0; i < Rows; ++i) {
                const V factor = splat<V>(da[i]);
#pragma GCC unroll 8
                for (int v = 0; v < Vectors; ++v) sums[i][v] = fma(factor, values[v], sums[i][v]);
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                S* const to = dW + i * columns;
                store_upto(to, sums[i][v] + load_upto<V>(to, v * kLanes<V>, columns - k), v * kLanes<V>, columns - k);
            }
        }
    }
};

// dx = da W_ih.
template <class V>
struct ToInput {
    using S = Scalar<V>;
    using Row = ProductsRow<S>;

    bool is_added;

    const S* left(const Row& row) const { return row.da; }
    GATEWISE_INLINE void put(const Row& row, V sum, std::ptrdiff_t u, std::ptrdiff_t I) const {
        store_upto(row.dx, is_added ? sum + load_upto<V>(row.dx, u, I) : sum, u, I);
    }
};

template <class C>
struct ProductsKernel {
    using V = typename C::Vector;
    using S = Scalar<V>;
    using Row = ProductsRow<S>;
    static constexpr std::ptrdiff_t kWidth = kPanelVectors * kLanes<V>;

    // One weight matrix and bias: dW [G*H,columns] and db [G*H], either may be null.
    struct Target {
        const S* Row::* source;  // [columns]
        std::ptrdiff_t columns;
        S *dW, *db;
        int first;  // its first block in da
    };

    static std::ptrdiff_t panels_of(const Sizes& size) { return (size.I + kWidth - 1) / kWidth; }

    static std::ptrdiff_t work(const Sizes& size) { return panels_of(size) * kWidth * C::kBlocks * size.H; }

    // W_ih, its blocks in the order of da.
    static void pack(const Products<S>& call, int part, int parts) {
        if (!call.dx.data) return;
        const std::ptrdiff_t I = call.size.I, H = call.size.H, K = C::kBlocks * H, panels = panels_of(call.size);
        for (std::ptrdiff_t p = panels * part / parts; p < panels * (part + 1) / parts; ++p) {
            for (int block = 0; block < C::kBlocks; ++block) {
                S* const to = call.work + (p * K + block * H) * kWidth;
                pack_columns<V, kPanelVectors>(call.W_ih + C::block_of(block) * H * I, H, I, p * kWidth, to);
            }
        }
    }

    static void run(const Products<S>& call, int part, int parts) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Target targets[] = {{&Row::x, I, call.dW_ih, call.db_ih, 0}, {&Row::h_prev, P, call.dW_hh, call.db_hh, C::kFirstRecurrent}};
        for (const Target& target : targets) clear(target, call.size, part, parts);
        Row rows[kChunk];
        std::ptrdiff_t count = 0, chunk = 0;
        for (std::ptrdiff_t t = 0; t < T; ++t) {
            for (std::ptrdiff_t n = 0; n < N; ++n) {
                const bool is_last = t == T - 1 && n == N - 1;
                const std::ptrdiff_t length = length_of(call.steps, n, T);
                if (t < length) {
                    rows[count++] = row(call, t, n, length);
                } else if (call.dx.data && !call.is_dx_added && !call.steps.offsets && part == 0) {
                    zero(row_at(call.dx, call.steps, t, n), I);
                }
                if (count == kChunk || (is_last && count > 0)) {
                    for (const Target& target : targets) add(target, rows, count, H, part, parts);
                    if (call.dx.data && chunk % parts == part) input_gradient(call, rows, count);
                    ++chunk;
                    count = 0;
                }
            }
        }
    }

    static Row row(const Products<S>& call, std::ptrdiff_t t, std::ptrdiff_t n, std::ptrdiff_t length) {
        const bool is_reverse = call.steps.is_reverse;
        const bool is_first = is_reverse ? t == length - 1 : t == 0;
        return {
            .da = call.da + row_of(call.steps, t, n, call.size.N) * C::kGradients * call.size.H,
            .x = row_at(call.x, call.steps, t, n),
            .h_prev = is_first ? row_at(call.h_0, n) : row_at(call.y, call.steps, is_reverse ? t + 1 : t - 1, n),
            .dx = call.dx.data ? row_at(call.dx, call.steps, t, n) : nullptr,
        };
    }

    // The first of the rows m of dW that are a part's: the same ones in each block.
    static std::ptrdiff_t first_row(std::ptrdiff_t H, int part, int parts) {
        return part == parts ? H : H * part / parts / kWeightRows * kWeightRows;
    }

    static void clear(const Target& target, const Sizes& size, int part, int parts) {
        const std::ptrdiff_t begin = first_row(size.H, part, parts), count = first_row(size.H, part + 1, parts) - begin;
        for (int block = 0; block < C::kBlocks; ++block) {
            const std::ptrdiff_t first = block * size.H + begin;
            if (target.dW) zero(target.dW + first * target.columns, count * target.columns);
            if (target.db) zero(target.db + first, count);
        }
    }

    // Adds the products of a chunk to one target.
    static void add(const Target& target, const Row* rows, std::ptrdiff_t count, std::ptrdiff_t H, int part, int parts) {
        const std::ptrdiff_t begin = first_row(H, part, parts), end = first_row(H, part + 1, parts);
        for (int block = 0; block < C::kBlocks; ++block) {
            const std::ptrdiff_t from = (target.first + block) * H;  // in da
            const std::ptrdiff_t to = (target.first == 0 ? C::block_of(block) : block) * H;  // in dW and db
            if (target.db) {
                for (std::ptrdiff_t m = begin; m < end; m += kLanes<V>) add_bias(rows, count, from + m, target.db + to + m, end - m);
            }
            if (!target.dW) continue;
            for (std::ptrdiff_t k = 0; k < target.columns; k += kWidth) {
                const WeightTile<V> tile{rows, count, target.source, k, target.columns};
                for (std::ptrdiff_t m = begin; m < end; m += kWeightRows) {
                    tile.template choose<kWeightRows>(end - m, from + m, target.dW + (to + m) * target.columns + k);
                }
            }
        }
    }

    static void add_bias(const Row* rows, std::ptrdiff_t count, std::ptrdiff_t m, S* db, std::ptrdiff_t n) {
        V sum{};
        for (std::ptrdiff_t r = 0; r < count; ++r) sum = sum + load_upto<V>(rows[r].da + m, 0, n);
        store_upto(db, sum + load_upto<V>(db, 0, n), 0, n);
    }

    static void input_gradient(const Products<S>& call, const Row* rows, std::ptrdiff_t count) {
        const ProductTile<V, Row, ToInput<V>> tile{rows, call.work, C::kBlocks * call.size.H, call.size.I, {call.is_dx_added}};
        for_each_tile(0, count, panels_of(call.size), tile);
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
