// What is parallel over time in backward: the gradients of the weights, the biases and x, from da.
//
// dW[m,k] = sum over the rows of da[m] * source[k], the source being x for W_ih and h_{t-1} for W_hh. Rows are taken in chunks that stay in the
// first caches; a panel of the source is packed once for all m. Each chunk adds its own sum: rounding grows with the number of chunks and not
// of rows. Parts share out the rows m of dW and the rows of dx: every number is made by one part, in one order.
#pragma once

#include "through_time.hpp"

namespace gatewise::GATEWISE_LEVEL {

inline constexpr std::ptrdiff_t kChunk = 128;  // rows
inline constexpr int kWeightRows = kTileRows<kPanelVectors>;  // of dW in a tile

// One sequence at one step.
template <class S>
struct ProductsRow {
    const S* da;      // [kGradients*H]
    const S* x;       // [I]
    const S* h_prev;  // [P]
    S* dx;            // [I]
};

// A few rows of dW and up to kPanelVectors vectors of its columns: what a chunk of rows adds.
template <class V>
struct WeightTile {
    using S = Scalar<V>;

    const ProductsRow<S>* rows;
    std::ptrdiff_t count, m;  // rows; the first column of da
    const S* source;         // [count][vectors * lanes]
    S* dW;                   // its first row and column
    std::ptrdiff_t stride;   // of the rows of dW
    std::ptrdiff_t columns;  // of dW from here on

    template <int Rows>
    GATEWISE_INLINE void choose(std::ptrdiff_t left) const {
        if constexpr (Rows > 1) {
            if (left < Rows) return choose<Rows - 1>(left);
        }
        choose_vectors<Rows, kPanelVectors>();
    }

    template <int Rows, int Vectors>
    GATEWISE_INLINE void choose_vectors() const {
        if constexpr (Vectors > 1) {
            if (columns <= (Vectors - 1) * kLanes<V>) return choose_vectors<Rows, Vectors - 1>();
        }
        run<Rows, Vectors>();
    }

    template <int Rows, int Vectors>
    [[gnu::noinline]] void run() const {
        Array<Array<V, Vectors>, Rows> sums;
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
            __builtin_prefetch(dW + i * stride, 1);
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) sums[i][v] = V{};
        }
        const S* from = source;
        for (std::ptrdiff_t r = 0; r < count; ++r, from += Vectors * kLanes<V>) {
            const S* const da = rows[r].da + m;
            Array<V, Vectors> values;
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) values[v] = load<V>(from + v * kLanes<V>);
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
                S* const to = dW + i * stride;
                store_upto(to, sums[i][v] + load_upto<V>(to, v * kLanes<V>, columns), v * kLanes<V>, columns);
            }
        }
    }
};

// dx = da W_ih, or what a part of the columns of da adds to it.
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

    // Where everything lies in the workspace, in elements.
    struct Layout {
        std::ptrdiff_t K, parts, part_size, bias, zeros, size;

        Layout(const Sizes& of, int num_parts) {
            K = C::kBlocks * of.H;
            parts = rounded_up(Panels<V>::size_of(K, of.I), kWidth);  // panels of W_ih [K,I], its blocks in the order of da
            // Each part: a panel of the source [kChunk,kWidth]; the sum of all rows of da [kGradients*H], of which it makes its share; zeros.
            bias = kChunk * kWidth;
            zeros = bias + C::kGradients * of.H;
            part_size = rounded_up(zeros + zeros_of(of), kWidth);
            size = parts + num_parts * part_size;
        }
    };

    static std::ptrdiff_t work(const Sizes& size, int parts) { return Layout(size, parts).size; }

    static Panels<V> panels_of_W_ih(const Backward<S>& call, const Layout& layout) { return {call.work, layout.K, call.size.I}; }

    static void pack(const Backward<S>& call, int part, int parts) {
        if (!call.dx.data) return;
        const std::ptrdiff_t I = call.size.I, H = call.size.H;
        const Panels<V> W_ih = panels_of_W_ih(call, Layout(call.size, parts));
        for (std::ptrdiff_t p = W_ih.count() * part / parts; p < W_ih.count() * (part + 1) / parts; ++p) {
            for (int block = 0; block < C::kBlocks; ++block) W_ih.pack(p, block * H, H, call.W_ih + C::block_of(block) * H * I);
        }
    }

    static void run(const Backward<S>& call, const Block& block, int part, int parts) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Layout layout(call.size, parts);
        S* const own = call.work + layout.parts + part * layout.part_size;
        const Target targets[] = {{&Row::x, I, call.dW_ih, call.db_ih, 0}, {&Row::h_prev, P, call.dW_hh, call.db_hh, C::kFirstRecurrent}};
        if (block.last == T) start(call, targets, own, layout, part, parts);
        Row rows[kChunk];
        std::ptrdiff_t count = 0;
        for (std::ptrdiff_t s = block.first; s < block.last; ++s) {
            for (std::ptrdiff_t n = 0; n < N; ++n) {
                const bool is_last = s == block.last - 1 && n == N - 1;
                if (s < length_of(call.steps, n, T)) rows[count++] = row(call, block, s, n, own + layout.zeros);
                if (count == kChunk || (is_last && count > 0)) {
                    for (const Target& target : targets) add(target, rows, count, H, own, part, parts);
                    if (call.db_ih || call.db_hh) add_biases(rows, count, H, own + layout.bias, part, parts);
                    if (call.dx.data) input_gradient(call, rows, count * part / parts, count * (part + 1) / parts, layout);
                    count = 0;
                }
            }
        }
        for (const Target& target : targets) {
            if (block.first == 0) write_bias(target, H, own + layout.bias, part, parts);
        }
    }

    // Sums begin at zero; padding is zero.
    static void start(const Backward<S>& call, const Target (&targets)[2], S* own, const Layout& layout, int part, int parts) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        for (const Target& target : targets) clear(target, call.size, part, parts);
        zero(own + layout.bias, C::kGradients * H);
        zero(own + layout.zeros, zeros_of(call.size));
        if (!call.dx.data || call.is_dx_added || call.steps.offsets || part > 0) return;
        for (std::ptrdiff_t n = 0; n < N; ++n) {
            for (std::ptrdiff_t t = length_of(call.steps, n, T); t < T; ++t) zero(row_at(call.dx, call.steps, t, n), I);
        }
    }

    static Row row(const Backward<S>& call, const Block& block, std::ptrdiff_t s, std::ptrdiff_t n, const S* zeros) {
        const Place place = place_of(call.steps, s, n, call.size.T);
        return {
            .da = call.da + ((s - block.first) * call.size.N + n) * C::kGradients * call.size.H,
            .x = row_at(call.x, call.steps, place.t, n),
            .h_prev = place.is_first ? first_state(call.h_0, n, zeros) : row_at(call.y, call.steps, place.before, n),
            .dx = call.dx.data ? row_at(call.dx, call.steps, place.t, n) : nullptr,
        };
    }

    // The first of the rows m of dW that are a part's: the same ones in each block.
    static std::ptrdiff_t first_row(std::ptrdiff_t H, int part, int parts) {
        return part == parts ? H : H * part / parts / kWeightRows * kWeightRows;
    }

    static void clear(const Target& target, const Sizes& size, int part, int parts) {
        const std::ptrdiff_t begin = first_row(size.H, part, parts), count = first_row(size.H, part + 1, parts) - begin;
        for (int block = 0; target.dW && block < C::kBlocks; ++block) {
            zero(target.dW + (block * size.H + begin) * target.columns, count * target.columns);
        }
    }

    // Adds the products of a chunk to dW.
    static void add(const Target& target, const Row* rows, std::ptrdiff_t count, std::ptrdiff_t H, S* panel, int part, int parts) {
        const std::ptrdiff_t begin = first_row(H, part, parts), end = first_row(H, part + 1, parts);
        for (std::ptrdiff_t k = 0; target.dW && k < target.columns; k += kWidth) {
            pack_source(rows, count, target, k, panel);
            for (int block = 0; block < C::kBlocks; ++block) {
                const std::ptrdiff_t from = (target.first + block) * H, to = row_of_block(target, block, H);
                for (std::ptrdiff_t m = begin; m < end; m += kWeightRows) {
                    S* const dW = target.dW + (to + m) * target.columns + k;
                    const WeightTile<V> tile{rows, count, from + m, panel, dW, target.columns, target.columns - k};
                    tile.template choose<kWeightRows>(end - m);
                }
            }
        }
    }

    // The row of dW and db at which a block of the target begins.
    static std::ptrdiff_t row_of_block(const Target& target, int block, std::ptrdiff_t H) {
        return (target.first == 0 ? C::block_of(block) : block) * H;
    }

    // The columns k .. of the source, as many vectors of them as there are, at most a panel; zero where a column does not exist.
    static void pack_source(const Row* rows, std::ptrdiff_t count, const Target& target, std::ptrdiff_t k, S* to) {
        const std::ptrdiff_t end = k + kWidth < target.columns ? k + kWidth : target.columns;
        for (std::ptrdiff_t r = 0; r < count; ++r) {
            const S* const from = rows[r].*target.source;
            for (std::ptrdiff_t u = k; u < end; u += kLanes<V>, to += kLanes<V>) store(to, load_upto<V>(from, u, target.columns));
        }
    }

    // Adds the part's share of the rows of da to `bias` [kGradients*H].
    static void add_biases(const Row* rows, std::ptrdiff_t count, std::ptrdiff_t H, S* bias, int part, int parts) {
        const std::ptrdiff_t begin = first_row(H, part, parts), end = first_row(H, part + 1, parts);
        for (int block = 0; block < C::kGradients; ++block) {
            for (std::ptrdiff_t m = begin; m < end; m += kLanes<V>) {
                V sum{};
                for (std::ptrdiff_t r = 0; r < count; ++r) sum = sum + load_upto<V>(rows[r].da + block * H, m, end);
                S* const to = bias + block * H;
                store_upto(to, sum + load_upto<V>(to, m, end), m, end);
            }
        }
    }

    static void write_bias(const Target& target, std::ptrdiff_t H, const S* bias, int part, int parts) {
        const std::ptrdiff_t begin = first_row(H, part, parts), count = first_row(H, part + 1, parts) - begin;
        for (int block = 0; target.db && block < C::kBlocks; ++block) {
            copy(bias + (target.first + block) * H + begin, target.db + row_of_block(target, block, H) + begin, count);
        }
    }

    // In blocks of k: the panel of a whole G*H would leave no room in the second-level cache.
    static void input_gradient(const Backward<S>& call, const Row* rows, std::ptrdiff_t begin, std::ptrdiff_t end, const Layout& layout) {
        constexpr std::ptrdiff_t kInner = 512;
        for (std::ptrdiff_t k = 0; k < layout.K; k += kInner) {
            const ToInput<V> to_input{call.is_dx_added || k > 0};
            multiply_panels(rows, begin, end, panels_of_W_ih(call, layout), k, layout.K - k < kInner ? layout.K - k : kInner, to_input);
        }
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
