// What is parallel over time in backward: the gradients of the weights, the biases and x, from da.
//
// dW[m,k] = sum over the rows of da[m] * source[k], the source being x for W_ih and h_{t-1} for W_hh. Rows are taken in chunks; a panel of the
// source is packed once for all m, da once for all k. Each chunk adds its own sum: rounding grows with the number of chunks and not of rows.
// Groups of sequences have sums of their own, which sum_up adds; within a group parts share out the rows m of dW and the rows of dx: every number
// is made by one part, in one order.
#pragma once

#include "panels.hpp"
#include "weight_tile.hpp"

namespace gatewise::GATEWISE_LEVEL {

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
    static constexpr std::ptrdiff_t kWidth = kWeightVectors * kLanes<V>;

    // One weight matrix and bias: dW [G*H,columns] and db [G*H], either may be null.
    struct Target {
        const S* Row::* source;  // [columns]
        std::ptrdiff_t columns;
        S *dW, *db;
        int first;  // its first block in da

        // The row of dW and db at which a block begins.
        std::ptrdiff_t row_of(int block, std::ptrdiff_t H) const { return (first == 0 ? C::block_of(block) : block) * H; }
    };

    struct Targets {
        Target weights[2];  // W_ih, W_hh
    };

    // The rows m of each block of dW that are a part's: the same ones in each block of steps.
    struct Slice {
        std::ptrdiff_t begin, end;

        Slice(std::ptrdiff_t H, int part, int parts) : begin(first(H, part, parts)), end(first(H, part + 1, parts)) {}

        static std::ptrdiff_t first(std::ptrdiff_t H, int part, int parts) {
            return part == parts ? H : H * part / parts / kWeightRows * kWeightRows;
        }

        // Of so many rows, as many as a line has numbers at a time.
        static std::ptrdiff_t tiles_of(std::ptrdiff_t rows) { return rounded_up(rows, Workspace<S>::kAlign) / kWeightRows; }

        std::ptrdiff_t tiles() const { return tiles_of(end - begin); }
    };

    // The parts are followed by the sums of the groups. The first group adds to the results themselves.
    struct Layout : Workspace<S> {
        std::ptrdiff_t K;                         // the weights are panels of W_ih [K,I], its blocks in the order of da
        std::ptrdiff_t da, zeros;                 // in a part's place, which begins with a panel of the source [kChunk,kWidth]
        std::ptrdiff_t dW_ih, dW_hh, group_size;  // in a group's place, which begins with the sum of its rows of da [kGradients*H]

        Layout(const Sizes& of, const Division& division) {
            K = C::kBlocks * of.H;
            da = kChunk * kWidth;                 // [kGradients,tiles,count,kWeightRows]
            const std::ptrdiff_t rows = of.T * of.N < kChunk ? of.T * of.N : kChunk;
            zeros = da + C::kGradients * Slice::tiles_of(of.H / division.slices + kWeightRows) * kWeightRows * rows;
            dW_ih = C::kGradients * of.H;
            dW_hh = dW_ih + (division.groups > 1 ? K * of.I : 0);
            group_size = rounded_up(dW_hh + (division.groups > 1 ? K * of.P : 0), Workspace<S>::kAlign) + Workspace<S>::kGap;
            const int product_parts = division.groups * division.slices;
            this->divide(Panels<V>::size_of(K, of.I), zeros + zeros_of(of), product_parts, division.is_packed_apart ? product_parts : 1);
        }

        Panels<V> panels_of_W_ih(const Backward<S>& call, int part) const { return {this->weights(call.work, part), K, call.size.I}; }

        S* group(const Backward<S>& call, int number) const { return call.work + this->size() + number * group_size; }

        Targets targets(const Backward<S>& call, int number) const {
            const bool is_first = number == 0;
            S* const sums = group(call, number);
            return {{{&Row::x, call.size.I, is_first || !call.dW_ih ? call.dW_ih : sums + dW_ih, call.db_ih, 0},
                     {&Row::h_prev, call.size.P, is_first || !call.dW_hh ? call.dW_hh : sums + dW_hh, call.db_hh, C::kFirstRecurrent}}};
        }
    };

    static std::ptrdiff_t work(const Sizes& size, const Division& division) {
        const Layout layout(size, division);
        return layout.size() + division.groups * layout.group_size;
    }

    static void pack(const Backward<S>& call, const Division& division, int part) {
        if (!call.dx.data) return;
        const std::ptrdiff_t I = call.size.I, H = call.size.H;
        const Panels<V> W_ih = Layout(call.size, division).panels_of_W_ih(call, part);
        const Span share = panels_of(W_ih.count(), part, division.is_packed_apart ? 1 : division.groups * division.slices);
        for (std::ptrdiff_t p = share.begin; p < share.end; ++p) {
            for (int block = 0; block < C::kBlocks; ++block) W_ih.pack(p, block * H, H, call.W_ih + C::block_of(block) * H * I);
        }
    }

    static void run(Backward<S> call, Division division, Block block, Share share, int part) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const int group = part / division.slices, number = part % division.slices;
        const Layout layout(call.size, division);
        const Targets targets = layout.targets(call, group);
        const Slice slice(H, number, division.slices);
        S *const own = layout.own(call.work, part), *const sums = layout.group(call, group);
        const Panels<V> W_ih = layout.panels_of_W_ih(call, part);
        const bool has_sums = call.dW_ih || call.dW_hh || call.db_ih || call.db_hh;

        if (block.last == T) {
            zero(own + layout.zeros, zeros_of(call.size));
            clear(targets, H, sums, slice);
            if (call.dx.data && !call.is_dx_added && number == 0) clear_padding(call, share);
        }
        Row rows[kChunk];
        std::ptrdiff_t count = 0;
        const auto add_chunk = [&] {
            if (has_sums) pack_gradients(rows, count, H, slice, own + layout.da, sums);
            for (const Target& target : targets.weights) add(target, rows, count, H, own, own + layout.da, slice);
            if (call.dx.data) input_gradient(call, rows, count * number / division.slices, count * (number + 1) / division.slices, W_ih);
            count = 0;
        };
        for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride) {
            const std::ptrdiff_t length = length_of(call.steps, n, T);
            for (std::ptrdiff_t s = block.first; s < block.last && s < length; ++s) {
                rows[count++] = row(call, block, s, n, own + layout.zeros);
                if (count == kChunk) add_chunk();
            }
        }
        if (count > 0) add_chunk();
        if (division.groups == 1 && block.first == 0) write_biases(targets, H, sums, slice);
    }

    // Adds up the sums of the groups, as one of product_threads.
    static void sum_up(const Backward<S>& call, const Division& division, int thread) {
        const Layout layout(call.size, division);
        const std::ptrdiff_t H = call.size.H;
        const Slice slice(H, thread, division.product_threads);
        const Targets results = layout.targets(call, 0);
        S* const bias = layout.group(call, 0);
        for (int group = 1; group < division.groups; ++group) {
            const Targets sums = layout.targets(call, group);
            for (int k = 0; k < 2; ++k) add_rows(results.weights[k], sums.weights[k], H, slice);
            for (int block = 0; block < C::kGradients; ++block) {
                add_to(bias, layout.group(call, group), block * H + slice.begin, block * H + slice.end);
            }
        }
        write_biases(results, H, bias, slice);
    }

    static void clear_padding(const Backward<S>& call, const Share& share) {
        for (std::ptrdiff_t n = share.begin; n < share.end && !call.steps.offsets; n += share.stride) {
            for (std::ptrdiff_t t = length_of(call.steps, n, call.size.T); t < call.size.T; ++t) zero(row_at(call.dx, call.steps, t, n), call.size.I);
        }
    }

    static void clear(const Targets& targets, std::ptrdiff_t H, S* bias, const Slice& slice) {
        const std::ptrdiff_t count = slice.end - slice.begin;
        for (const Target& target : targets.weights) {
            for (int block = 0; target.dW && block < C::kBlocks; ++block) {
                zero(target.dW + (block * H + slice.begin) * target.columns, count * target.columns);
            }
        }
        for (int block = 0; block < C::kGradients; ++block) zero(bias + block * H + slice.begin, count);
    }

    static Row row(const Backward<S>& call, const Block& block, std::ptrdiff_t s, std::ptrdiff_t n, const S* zeros) {
        const Place place = place_of(call.steps, s, n, call.size.T);
        return {
            .da = call.da + row_in(block, s, n) * C::kGradients * call.size.H,
            .x = row_at(call.x, call.steps, place.t, n),
            .h_prev = place.is_first ? first_state(call.h_0, n, zeros) : row_at(call.y, call.steps, place.before, n),
            .dx = call.dx.data ? row_at(call.dx, call.steps, place.t, n) : nullptr,
        };
    }

    // A part's slice of da, tile by tile: read as it lies, every row of a tile is another line of the cache, and they are often a power of two
    // apart. Takes as many numbers at a time as a line has, those past the slice too, which nobody uses. Adds its rows to `bias` [kGradients*H].
    static void pack_gradients(const Row* rows, std::ptrdiff_t count, std::ptrdiff_t H, const Slice& slice, S* to, S* bias) {
        constexpr std::ptrdiff_t line = Workspace<S>::kAlign;
        for (int block = 0; block < C::kGradients; ++block) {
            for (std::ptrdiff_t m = slice.begin; m < slice.end; m += line, to += line * count) {
                pack_columns(rows, count, block * H, m, slice.end, to, bias + block * H);
            }
        }
    }

    // The columns m .. of a block that begins at `first`, those before `end` also to the block's `bias`.
    static void pack_columns(const Row* rows, std::ptrdiff_t count, std::ptrdiff_t first, std::ptrdiff_t m, std::ptrdiff_t end, S* to, S* bias) {
        constexpr std::ptrdiff_t line = Workspace<S>::kAlign, tiles = line / kWeightRows, vectors = line / kLanes<V>;
        static_assert(line % kWeightRows == 0 && line % kLanes<V> == 0);
        Array<V, vectors> sums{};
        for (std::ptrdiff_t r = 0; r < count; ++r) {
            const S* const from = rows[r].da + first;
#pragma GCC unroll 8
            for (std::ptrdiff_t i = 0; i < tiles; ++i) {
                __builtin_memcpy(to + (i * count + r) * kWeightRows, from + m + i * kWeightRows, kWeightRows * sizeof(S));
            }
#pragma GCC unroll 8
            for (std::ptrdiff_t v = 0; v < vectors; ++v) sums[v] = sums[v] + load_upto<V>(from, m + v * kLanes<V>, end);
        }
        for (std::ptrdiff_t v = 0; v < vectors; ++v) {
            const std::ptrdiff_t u = m + v * kLanes<V>;
            store_upto(bias, sums[v] + load_upto<V>(bias, u, end), u, end);
        }
    }

    // Adds the products of a chunk to dW, with da as it was packed. Panels are as even as they can be: four vectors are 2 + 2, never 3 + 1.
    static void add(const Target& target, const Row* rows, std::ptrdiff_t count, std::ptrdiff_t H, S* panel, const S* da, const Slice& slice) {
        if (!target.dW || slice.begin == slice.end) return;
        const std::ptrdiff_t vectors = (target.columns + kLanes<V> - 1) / kLanes<V>, panels = (vectors + kWeightVectors - 1) / kWeightVectors;
        std::ptrdiff_t k = 0;
        for (std::ptrdiff_t p = 0; p < panels; ++p) {
            const std::ptrdiff_t width = even_share(vectors, panels, p) * kLanes<V>;
            const std::ptrdiff_t end = k + width < target.columns ? k + width : target.columns;
            pack_source(rows, count, target, k, end, panel);
            add_panel(target, count, H, k, end, panel, da, slice);
            k = end;
        }
    }

    // The columns k .. end-1 of dW.
    static void add_panel(const Target& target, std::ptrdiff_t count, std::ptrdiff_t H, std::ptrdiff_t k, std::ptrdiff_t end, const S* panel,
                          const S* da, const Slice& slice) {
        const std::ptrdiff_t tile_size = kWeightRows * count;
        for (int block = 0; block < C::kBlocks; ++block) {
            const std::ptrdiff_t to = target.row_of(block, H);
            const S* from = da + (target.first + block) * slice.tiles() * tile_size;
            for (std::ptrdiff_t m = slice.begin; m < slice.end; m += kWeightRows, from += tile_size) {
                S* const dW = target.dW + (to + m) * target.columns + k;
                const WeightTile<V> tile{count, from, panel, dW, target.columns, end - k};
                tile.template choose<kWeightRows>(slice.end - m);
            }
        }
    }

    // The columns k .. end-1 of the source, in whole vectors; zero where a column does not exist.
    static void pack_source(const Row* rows, std::ptrdiff_t count, const Target& target, std::ptrdiff_t k, std::ptrdiff_t end, S* to) {
        for (std::ptrdiff_t r = 0; r < count; ++r) {
            const S* const from = rows[r].*target.source;
            for (std::ptrdiff_t u = k; u < end; u += kLanes<V>, to += kLanes<V>) store(to, load_upto<V>(from, u, target.columns));
        }
    }

    static void add_to(S* sum, const S* more, std::ptrdiff_t begin, std::ptrdiff_t end) {
        for (std::ptrdiff_t i = begin; i < end; i += kLanes<V>) store_upto(sum, load_upto<V>(sum, i, end) + load_upto<V>(more, i, end), i, end);
    }

    static void add_rows(const Target& sum, const Target& more, std::ptrdiff_t H, const Slice& slice) {
        for (int block = 0; sum.dW && block < C::kBlocks; ++block) {
            add_to(sum.dW, more.dW, (block * H + slice.begin) * sum.columns, (block * H + slice.end) * sum.columns);
        }
    }

    static void write_biases(const Targets& targets, std::ptrdiff_t H, const S* bias, const Slice& slice) {
        for (const Target& target : targets.weights) {
            for (int block = 0; target.db && block < C::kBlocks; ++block) {
                copy(bias + (target.first + block) * H + slice.begin, target.db + target.row_of(block, H) + slice.begin, slice.end - slice.begin);
            }
        }
    }

    // In blocks of k: the panel of a whole G*H would leave no room in the second-level cache.
    static void input_gradient(const Backward<S>& call, const Row* rows, std::ptrdiff_t begin, std::ptrdiff_t end, const Panels<V>& W_ih) {
        constexpr std::ptrdiff_t kInner = 512;
        for (std::ptrdiff_t k = 0; k < W_ih.K; k += kInner) {
            const ToInput<V> to_input{call.is_dx_added || k > 0};
            multiply_panels(rows, begin, end, W_ih, W_ih.all(), k, W_ih.K - k < kInner ? W_ih.K - k : kInner, to_input);
        }
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
