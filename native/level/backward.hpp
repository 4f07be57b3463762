// A layer and direction backward, from each sequence's last step to its first: the gates' gradients, then dh_{t-1} through W_hh.
#pragma once

#include "forward.hpp"

namespace gatewise::GATEWISE_LEVEL {

template <class C>
struct BackwardKernel {
    using V = typename C::Vector;
    using S = Scalar<V>;
    using Row = BackwardRow<S>;
    static constexpr int kVectors = kPanelVectors;
    static constexpr std::ptrdiff_t kWidth = kVectors * kLanes<V>;
    static constexpr std::ptrdiff_t kAlign = 64 / std::ptrdiff_t{sizeof(S)};

    struct Layout {
        std::ptrdiff_t panels, K, W_hh, parts, part_size, size;

        Layout(const Sizes& size_of, int num_parts) {
            panels = (size_of.H + kWidth - 1) / kWidth;
            K = C::kBlocks * size_of.H;
            const std::ptrdiff_t sequences = (size_of.N + num_parts - 1) / num_parts;
            W_hh = 0;  // [panels,K,kWidth]
            parts = rounded_up(panels * kWidth * K, kAlign);
            part_size = rounded_up(sequences * std::ptrdiff_t{sizeof(Row)} / std::ptrdiff_t{sizeof(S)}, kAlign);  // the rows of a step
            size = parts + num_parts * part_size;
        }
    };

    static std::ptrdiff_t work(const Sizes& size, int parts) { return Layout(size, parts).size; }

    static void pack(const Backward<S>& call, int part, int parts) {
        const Layout layout(call.size, parts);
        for (std::ptrdiff_t p = layout.panels * part / parts; p < layout.panels * (part + 1) / parts; ++p) {
            pack_columns<V, kVectors>(call.W_hh, layout.K, call.size.H, p * kWidth, call.work + layout.W_hh + p * layout.K * kWidth);
        }
    }

    // dh_{t-1} = da W_hh.
    struct HiddenTile {
        static constexpr int kVectors = BackwardKernel::kVectors;
        const Row* rows;
        const S* W_hh;
        std::ptrdiff_t K, H;

        template <int Rows, int Panels>
        [[gnu::noinline]] void run(std::ptrdiff_t first, std::ptrdiff_t panel) const {
            Array<const S*, Rows> da;
            for (int r = 0; r < Rows; ++r) da[r] = rows[first + r].da + C::kFirstRecurrent * H;
            Array<Array<V, kVectors * Panels>, Rows> sums;
            multiply<V, Rows, kVectors, Panels>(da, W_hh + panel * K * kWidth, K, sums);
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) {
                S* const dh = rows[first + r].dh;
#pragma GCC unroll 8
                for (int v = 0; v < kVectors * Panels; ++v) {
                    const std::ptrdiff_t u = panel * kWidth + v * kLanes<V>;
                    store_upto(dh, C::kKeepsHidden ? sums[r][v] + load_upto<V>(dh, u, H) : sums[r][v], u, H);
                }
            }
        }
    };

    static void run(const Backward<S>& call, std::ptrdiff_t begin, std::ptrdiff_t end, int part, int parts) {
        const auto& [T, N, I, H] = call.size;
        const Layout layout(call.size, parts);
        Row* const rows = static_cast<Row*>(static_cast<void*>(call.work + layout.parts + part * layout.part_size));
        std::ptrdiff_t longest = 0;
        for (std::ptrdiff_t n = begin; n < end; ++n) {
            const std::ptrdiff_t steps = steps_of(call.lengths, n, T);
            if (steps > longest) longest = steps;
            copy_or_zero(call.dh_n.data ? call.dh_n.row(0, n) : nullptr, call.dh_0 + n * H, H);
            if (C::kHasCellState) copy_or_zero(call.dc_n.data ? call.dc_n.row(0, n) : nullptr, call.dc_0 + n * H, H);
            for (std::ptrdiff_t t = steps; t < T; ++t) copy_or_zero(nullptr, call.da + (t * N + n) * C::kGradients * H, C::kGradients * H);
        }
        for (std::ptrdiff_t s = longest - 1; s >= 0; --s) {
            const std::ptrdiff_t count = list_rows(call, begin, end, s, rows);
            for (std::ptrdiff_t k = 0; k < count; ++k) gate_gradients(rows[k], H);
            const HiddenTile tile{rows, call.work + layout.W_hh, layout.K, H};
            for_each_tile(0, count, layout.panels, tile);
        }
    }

    [[gnu::noinline]] static void gate_gradients(const Row& row, std::ptrdiff_t H) {
        for (std::ptrdiff_t u = 0; u < H; u += kLanes<V>) {
            V dh = load_upto<V>(row.dh, u, H);
            if (row.dy) dh = dh + load_upto<V>(row.dy, u, H);
            C::backward(row, dh, u, H);
        }
    }

    // The s-th steps of the sequences that have so many; returns how many there are.
    static std::ptrdiff_t list_rows(const Backward<S>& call, std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t s, Row* rows) {
        const auto& [T, N, I, H] = call.size;
        std::ptrdiff_t count = 0;
        for (std::ptrdiff_t n = begin; n < end; ++n) {
            const std::ptrdiff_t steps = steps_of(call.lengths, n, T);
            if (s >= steps) continue;
            const std::ptrdiff_t t = call.is_reverse ? steps - 1 - s : s;
            const std::ptrdiff_t before = call.is_reverse ? t + 1 : t - 1;
            rows[count] = {
                .dy = call.dy.data ? call.dy.row(t, n) : nullptr,
                .h = call.y.row(t, n),
                .h_prev = s == 0 ? call.h_0.row(0, n) : call.y.row(before, n),
                .c_prev = !C::kHasCellState ? nullptr : s == 0 ? call.c_0.row(0, n) : call.kept + (before * N + n) * H,
                .gates = C::kKeepsMore ? call.gates + (t * N + n) * C::kBlocks * H : nullptr,
                .kept = C::kKeepsMore ? call.kept + (t * N + n) * H : nullptr,
                .dh = call.dh_0 + n * H,
                .dc = C::kHasCellState ? call.dc_0 + n * H : nullptr,
                .da = call.da + (t * N + n) * C::kGradients * H,
            };
            ++count;
        }
        return count;
    }

    static void copy_or_zero(const S* from, S* to, std::ptrdiff_t n) {
        const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(S);
        if (from) {
            __builtin_memcpy(to, from, bytes);
        } else {
            __builtin_memset(to, 0, bytes);
        }
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
