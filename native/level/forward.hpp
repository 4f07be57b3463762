// A layer and direction forward: blocks of steps, in each first the input projection of all its steps, then step after step the recurrent
// product with the cell's equations on its register tile. Sequences never meet, so each part of a batch runs through all its steps alone.
#pragma once

#include "cells.hpp"

namespace gatewise::GATEWISE_LEVEL {

// The preactivations of a block of steps stay within this: half of a small second-level cache.
inline constexpr std::ptrdiff_t kBlockBytes = 256 * 1024;

GATEWISE_INLINE std::ptrdiff_t rounded_up(std::ptrdiff_t n, std::ptrdiff_t unit) { return (n + unit - 1) / unit * unit; }

GATEWISE_INLINE std::ptrdiff_t steps_of(const std::int64_t* lengths, std::ptrdiff_t n, std::ptrdiff_t T) {
    return lengths ? static_cast<std::ptrdiff_t>(lengths[n]) : T;
}

template <class C>
struct ForwardKernel {
    using V = typename C::Vector;
    using S = Scalar<V>;
    using Row = ForwardRow<S>;
    static constexpr int kVectors = C::kBlocks * C::kUnits;
    static constexpr std::ptrdiff_t kWidth = kVectors * kLanes<V>;      // columns of a panel
    static constexpr std::ptrdiff_t kUnits = C::kUnits * kLanes<V>;     // units of a panel
    static constexpr std::ptrdiff_t kAlign = 64 / std::ptrdiff_t{sizeof(S)};

    // Where everything lies in the workspace, in elements.
    struct Layout {
        std::ptrdiff_t panels, W_ih, W_hh, b_ih, b_hh, parts, part_size, block_steps, a, size;

        Layout(const Sizes& size_of, int num_parts) {
            panels = (size_of.H + kUnits - 1) / kUnits;
            const std::ptrdiff_t columns = panels * kWidth;
            const std::ptrdiff_t sequences = (size_of.N + num_parts - 1) / num_parts;
            const std::ptrdiff_t fitting = kBlockBytes / (columns * sequences * std::ptrdiff_t{sizeof(S)});
            block_steps = fitting < 1 ? 1 : fitting > size_of.T ? size_of.T : fitting;
            W_ih = 0;  // [panels,I,kWidth]
            W_hh = W_ih + columns * size_of.I;  // [panels,H,kWidth]
            b_ih = W_hh + columns * size_of.H;  // [panels,kWidth]
            b_hh = b_ih + columns;
            parts = rounded_up(b_hh + columns, kAlign);
            // Each part: the rows of a block, then their preactivations [block_steps*sequences,panels*kWidth].
            a = rounded_up(block_steps * sequences * std::ptrdiff_t{sizeof(Row)} / std::ptrdiff_t{sizeof(S)}, kAlign);
            part_size = rounded_up(a + block_steps * sequences * columns, kAlign);
            size = parts + num_parts * part_size;
        }
    };

    static std::ptrdiff_t work(const Sizes& size, int parts) { return Layout(size, parts).size; }

    static void pack(const Forward<S>& call, int part, int parts) {
        const auto& [T, N, I, H] = call.size;
        const Layout layout(call.size, parts);
        for (std::ptrdiff_t p = layout.panels * part / parts; p < layout.panels * (part + 1) / parts; ++p) {
            const std::ptrdiff_t first = p * kUnits;
            pack_rows<V, C::kBlocks, C::kUnits>(call.W_ih, H, I, first, call.work + layout.W_ih + p * I * kWidth);
            pack_rows<V, C::kBlocks, C::kUnits>(call.W_hh, H, H, first, call.work + layout.W_hh + p * H * kWidth);
            pack_bias(call.b_ih, H, first, call.work + layout.b_ih + p * kWidth);
            pack_bias(call.b_hh, H, first, call.work + layout.b_hh + p * kWidth);
        }
    }

    static void pack_bias(const S* bias, std::ptrdiff_t H, std::ptrdiff_t first, S* to) {
        if (bias) return pack_rows<V, C::kBlocks, C::kUnits>(bias, H, 1, first, to);
        for (int v = 0; v < kVectors; ++v) store(to + v * kLanes<V>, V{});
    }

    // a = W_ih x + b_ih.
    struct ProjectionTile {
        static constexpr int kVectors = ForwardKernel::kVectors;
        const Row* rows;
        const S *W_ih, *b_ih;
        std::ptrdiff_t I;

        template <int Rows, int Panels>
        [[gnu::noinline]] void run(std::ptrdiff_t first, std::ptrdiff_t panel) const {
            Array<const S*, Rows> x;
            for (int r = 0; r < Rows; ++r) x[r] = rows[first + r].x;
            Array<Array<V, kVectors * Panels>, Rows> sums;
            multiply<V, Rows, kVectors, Panels>(x, W_ih + panel * I * kWidth, I, sums);
#pragma GCC unroll 12
            for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
                for (int v = 0; v < kVectors * Panels; ++v) {
                    const std::ptrdiff_t column = panel * kWidth + v * kLanes<V>;
                    store(rows[first + r].a + column, sums[r][v] + load<V>(b_ih + column));
                }
            }
        }
    };

    // h_t from h_{t-1} and a.
    struct StepTile {
        static constexpr int kVectors = ForwardKernel::kVectors;
        const Row* rows;
        const S *W_hh, *b_hh;
        std::ptrdiff_t H;

        template <int Rows, int Panels>
        [[gnu::noinline]] void run(std::ptrdiff_t first, std::ptrdiff_t panel) const {
            Array<const S*, Rows> h_prev;
            for (int r = 0; r < Rows; ++r) h_prev[r] = rows[first + r].h_prev;
            Array<Array<V, kVectors * Panels>, Rows> sums;
            multiply<V, Rows, kVectors, Panels>(h_prev, W_hh + panel * H * kWidth, H, sums);
            constexpr int units = C::kUnits * Panels;
            Array<Array<typename C::Halfway, units>, Rows> halfway;
            for (int r = 0; r < Rows; ++r) {
                const Row& row = rows[first + r];
                for (int k = 0; k < units; ++k) {
                    const std::ptrdiff_t u = panel * kUnits + k * kLanes<V>;
                    Array<V, C::kBlocks> a, s;
#pragma GCC unroll 4
                    for (int g = 0; g < C::kBlocks; ++g) {
                        const int v = k * C::kBlocks + g;
                        const std::ptrdiff_t column = panel * kWidth + v * kLanes<V>;
                        a[g] = load<V>(row.a + column);
                        s[g] = sums[r][v] + load<V>(b_hh + column);
                    }
                    halfway[r][k] = C::begin(row, a, s, u, H);
                }
            }
            for (int r = 0; r < Rows; ++r) {
                for (int k = 0; k < units; ++k) C::finish(rows[first + r], halfway[r][k], panel * kUnits + k * kLanes<V>, H);
            }
        }
    };

    static void run(const Forward<S>& call, std::ptrdiff_t begin, std::ptrdiff_t end, int part, int parts) {
        const auto& [T, N, I, H] = call.size;
        const Layout layout(call.size, parts);
        S* const own = call.work + layout.parts + part * layout.part_size;
        Row* const rows = static_cast<Row*>(static_cast<void*>(own));
        std::ptrdiff_t longest = 0;
        for (std::ptrdiff_t n = begin; n < end; ++n) {
            const std::ptrdiff_t steps = steps_of(call.lengths, n, T);
            if (steps > longest) longest = steps;
            if (C::kHasCellState) copy(call.c_0.row(0, n), call.c_n + n * H, H);
            for (std::ptrdiff_t t = steps; t < T; ++t) zero(call.y.row(t, n), H);
        }
        for (std::ptrdiff_t block = 0; block < longest; block += layout.block_steps) {
            const std::ptrdiff_t block_end = block + layout.block_steps < longest ? block + layout.block_steps : longest;
            const std::ptrdiff_t count = list_rows(call, begin, end, block, block_end, layout, own, rows);
            const ProjectionTile projection{rows, call.work + layout.W_ih, call.work + layout.b_ih, I};
            for_each_tile(0, count, layout.panels, projection);
            const StepTile step{rows, call.work + layout.W_hh, call.work + layout.b_hh, H};
            std::ptrdiff_t first = 0;
            for (std::ptrdiff_t s = block; s < block_end; ++s) {
                std::ptrdiff_t last = first;
                for (std::ptrdiff_t n = begin; n < end; ++n) last += steps_of(call.lengths, n, T) > s ? 1 : 0;
                for_each_tile(first, last, layout.panels, step);
                first = last;
            }
        }
        for (std::ptrdiff_t n = begin; n < end; ++n) {
            const std::ptrdiff_t steps = steps_of(call.lengths, n, T);
            copy(steps == 0 ? call.h_0.row(0, n) : call.y.row(call.is_reverse ? 0 : steps - 1, n), call.h_n + n * H, H);
        }
    }

    // The rows of steps block .. block_end-1, step by step, of the sequences that are still running; returns how many there are.
    static std::ptrdiff_t list_rows(const Forward<S>& call, std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t block,
                                    std::ptrdiff_t block_end, const Layout& layout, S* own, Row* rows) {
        const auto& [T, N, I, H] = call.size;
        std::ptrdiff_t count = 0;
        for (std::ptrdiff_t s = block; s < block_end; ++s) {
            for (std::ptrdiff_t n = begin; n < end; ++n) {
                const std::ptrdiff_t steps = steps_of(call.lengths, n, T);
                if (s >= steps) continue;
                const std::ptrdiff_t t = call.is_reverse ? steps - 1 - s : s;
                const std::ptrdiff_t before = call.is_reverse ? t + 1 : t - 1;
                rows[count] = {
                    .x = call.x.row(t, n),
                    .a = own + layout.a + count * layout.panels * kWidth,
                    .h_prev = s == 0 ? call.h_0.row(0, n) : call.y.row(before, n),
                    .h = call.y.row(t, n),
                    .c = C::kHasCellState ? call.c_n + n * H : nullptr,
                    .gates = call.gates ? call.gates + (t * N + n) * C::kBlocks * H : nullptr,
                    .kept = call.kept ? call.kept + (t * N + n) * H : nullptr,
                };
                ++count;
            }
        }
        return count;
    }

    static void copy(const S* from, S* to, std::ptrdiff_t n) { __builtin_memcpy(to, from, static_cast<std::size_t>(n) * sizeof(S)); }
    static void zero(S* to, std::ptrdiff_t n) { __builtin_memset(to, 0, static_cast<std::size_t>(n) * sizeof(S)); }
};

}  // namespace gatewise::GATEWISE_LEVEL
