// A layer and direction forward: blocks of steps, in each first the input projection of all its steps, then step after step the recurrent
// product with the cell's equations on its register tile. Sequences never meet, so each part of a batch runs through all its steps alone.
#pragma once

#include "cells.hpp"
#include "panels.hpp"

namespace gatewise::GATEWISE_LEVEL {

// The preactivations of a block of steps stay within this: half of a small second-level cache.
inline constexpr std::ptrdiff_t kBlockBytes = 256 * 1024;

template <class C>
struct ForwardKernel {
    using V = typename C::Vector;
    using S = Scalar<V>;
    using Row = ForwardRow<S>;
    static constexpr int kVectors = C::kBlocks * C::kUnits;
    static constexpr std::ptrdiff_t kWidth = kVectors * kLanes<V>;      // columns of a panel
    static constexpr std::ptrdiff_t kUnits = C::kUnits * kLanes<V>;     // units of a panel
    static constexpr std::ptrdiff_t kAlign = Workspace<S>::kAlign;

    struct Layout : Workspace<S> {
        std::ptrdiff_t panels, columns, block_steps;  // columns: of the preactivations that a part makes
        std::ptrdiff_t W_ih, W_hh, W_hr, b_ih, b_hh;  // among the weights
        std::ptrdiff_t zeros, c, m, a;                // in a part's place, which begins with the rows of a block

        Layout(const Sizes& of, const Division& division) {
            panels = (of.H + kUnits - 1) / kUnits;
            const std::ptrdiff_t all = panels * kWidth;
            columns = division.shares_units ? (panels + division.parts - 1) / division.parts * kWidth : all;
            const std::ptrdiff_t sequences = most_sequences(division, of.N);
            const std::ptrdiff_t fitting = kBlockBytes / (columns * sequences * std::ptrdiff_t{sizeof(S)});
            block_steps = division.stretches > 1 || fitting > of.T ? of.T : fitting < 1 ? 1 : fitting;
            W_ih = 0;                              // [panels,I,kWidth]
            W_hh = W_ih + all * of.I;              // [panels,P,kWidth]
            W_hr = W_hh + all * of.P;              // panels of [H,P]
            b_ih = W_hr + (of.has_projection ? Panels<V>::size_of(of.H, of.P) : 0);  // [panels,kWidth]
            b_hh = b_ih + all;
            zeros = rounded_up(block_steps * sequences * std::ptrdiff_t{sizeof(Row)} / std::ptrdiff_t{sizeof(S)}, kAlign);
            c = rounded_up(zeros + zeros_of(of), kAlign);                                // [sequences,H]
            m = rounded_up(c + (C::kHasCellState ? sequences * of.H : 0), kAlign);       // o * tanh(c_t) of a step [sequences,H], if it is projected
            a = rounded_up(m + (of.has_projection ? sequences * of.H : 0), kAlign);      // preactivations [block_steps*sequences,columns]
            const int packers = division.stretches > 1 ? division.stretches : division.is_packed_apart ? division.parts : 1;
            this->divide(b_hh + all, a + block_steps * sequences * columns, division.parts, packers);
        }
    };

    static std::ptrdiff_t work(const Sizes& size, const Division& division) { return Layout(size, division).size(); }

    static void pack(const Forward<S>& call, const Division& division, int part) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Layout layout(call.size, division);
        S* const weights = layout.weights(call.work, part);
        const int packers = division.is_packed_apart ? 1 : division.parts;
        const Span share = panels_of(layout.panels, part, packers);
        for (std::ptrdiff_t p = share.begin; p < share.end; ++p) {
            if (division.stretches == 1) pack_input(call, layout, p, weights);
            pack_rows<V, C::kBlocks>(call.W_hh, H, P, p * kUnits, kVectors, weights + layout.W_hh + p * P * kWidth);
            pack_bias(call.b_hh, H, p * kUnits, weights + layout.b_hh + p * kWidth);
        }
        if (!has_projection) return;
        const Panels<V> W_hr{weights + layout.W_hr, H, P};
        const Span of_W_hr = panels_of(W_hr.count(), part, packers);
        for (std::ptrdiff_t p = of_W_hr.begin; p < of_W_hr.end; ++p) W_hr.pack_transposed(p, call.W_hr);
    }

    static void pack_input(const Forward<S>& call, const Layout& layout, std::ptrdiff_t panel, S* weights) {
        const std::ptrdiff_t I = call.size.I, H = call.size.H, first = panel * kUnits;
        pack_rows<V, C::kBlocks>(call.W_ih, H, I, first, kVectors, weights + layout.W_ih + panel * I * kWidth);
        pack_bias(call.b_ih, H, first, weights + layout.b_ih + panel * kWidth);
    }

    static void pack_bias(const S* bias, std::ptrdiff_t H, std::ptrdiff_t first, S* to) {
        for (int v = 0; v < kVectors; ++v) {
            const std::ptrdiff_t block = v % C::kBlocks, unit = first + v / C::kBlocks * kLanes<V>;
            store(to + v * kLanes<V>, bias ? load_upto<V>(bias + block * H, unit, H) : V{});
        }
    }

    // a = W_ih x + b_ih.
    struct ProjectionTile {
        static constexpr int kVectors = ForwardKernel::kVectors;
        const Row* rows;
        const S *W_ih, *b_ih;
        std::ptrdiff_t I, first_panel;  // of the part

        template <int Rows, int Panels>
        [[gnu::noinline]] void run(std::ptrdiff_t first, std::ptrdiff_t panel) const {
            Array<const S*, Rows> x;
            for (int r = 0; r < Rows; ++r) x[r] = rows[first + r].x;
            Array<Array<V, kVectors * Panels>, Rows> sums;
            multiply<V, Rows, kVectors, Panels>(x, W_ih + panel * I * kWidth, I, I * kWidth, sums);
#pragma GCC unroll 12
            for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
                for (int v = 0; v < kVectors * Panels; ++v) {
                    const std::ptrdiff_t column = panel * kWidth + v * kLanes<V>;
                    store(rows[first + r].a + column - first_panel * kWidth, sums[r][v] + load<V>(b_ih + column));
                }
            }
        }
    };

    // h_t, or what is projected to it, from h_{t-1} and a.
    struct StepTile {
        static constexpr int kVectors = ForwardKernel::kVectors;
        const Row* rows;
        const S *W_hh, *b_hh;
        std::ptrdiff_t H, P, first_panel;  // of the part

        template <int Rows, int Panels>
        [[gnu::noinline]] void run(std::ptrdiff_t first, std::ptrdiff_t panel) const {
            Array<const S*, Rows> h_prev;
            for (int r = 0; r < Rows; ++r) {
                h_prev[r] = rows[first + r].h_prev;
                fetch_results(rows[first + r], panel * kUnits, H);
            }
            Array<Array<V, kVectors * Panels>, Rows> sums;
            multiply<V, Rows, kVectors, Panels>(h_prev, W_hh + panel * P * kWidth, P, P * kWidth, sums);
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
                        a[g] = load<V>(row.a + column - first_panel * kWidth);
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

    // Fetches where the results of a tile's first units will lie: their lines come while it multiplies.
    GATEWISE_INLINE static void fetch_results(const Row& row, std::ptrdiff_t u, std::ptrdiff_t H) {
        __builtin_prefetch(row.h + u, 1);
        for (int block = 0; row.kept && block < C::kKept; ++block) __builtin_prefetch(row.kept + block * H + u, 1);
    }

    // h_t = W_hr m.
    struct Projection {
        const S* left(const Row& row) const { return row.h; }
        GATEWISE_INLINE void put(const Row& row, V sum, std::ptrdiff_t u, std::ptrdiff_t P) const { store_upto(row.y, sum, u, P); }
    };

    // A stretch of the steps of a single sequence, with weights packed for it: the walk waits for every step before, the projection for none.
    static void project(Forward<S> call, Division division, int stretch) {
        constexpr std::ptrdiff_t kRows = 48;
        const Layout layout(call.size, division);
        S *const weights = layout.weights(call.work, stretch), *const own = layout.own(call.work, 0);
        for (std::ptrdiff_t p = 0; p < layout.panels; ++p) pack_input(call, layout, p, weights);
        Row rows[kRows];
        const ProjectionTile input{rows, weights + layout.W_ih, weights + layout.b_ih, call.size.I, 0};
        const std::ptrdiff_t length = length_of(call.steps, 0, call.size.T), end = length * (stretch + 1) / division.stretches;
        for (std::ptrdiff_t s = length * stretch / division.stretches; s < end; s += kRows) {
            const std::ptrdiff_t last = s + kRows < end ? s + kRows : end;
            S* const a = own + layout.a + s * layout.columns;
            for_each_tile(0, list_rows(call, {0, 1, 1}, s, last, layout, own, a, rows), {0, layout.panels}, input);
        }
    }

    // All units of a share of the sequences; where there is a meeting, a share of the units of all sequences.
    static void run(Forward<S> call, Division division, Share share, int part, Meeting* meeting) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Layout layout(call.size, division);
        S *const weights = layout.weights(call.work, part), *const own = layout.own(call.work, part);
        Row* const rows = static_cast<Row*>(static_cast<void*>(own));
        const Panels<V> W_hr{weights + layout.W_hr, H, P};
        const Span panels = panels_of(layout.panels, part, meeting ? division.parts : 1);
        const StepTile step{rows, weights + layout.W_hh, weights + layout.b_hh, H, P, panels.begin};
        const ProjectionTile input{rows, weights + layout.W_ih, weights + layout.b_ih, I, panels.begin};
        const Span units = {panels.begin * kUnits, panels.end * kUnits < H ? panels.end * kUnits : H};

        zero(own + layout.zeros, zeros_of(call.size));
        start(call, share, own + layout.c, !meeting || part == 0);
        const std::ptrdiff_t longest = longest_of(call.steps, share, T);
        for (std::ptrdiff_t block = 0; block < longest; block += layout.block_steps) {
            const std::ptrdiff_t block_end = block + layout.block_steps < longest ? block + layout.block_steps : longest;
            const std::ptrdiff_t count = list_rows(call, share, block, block_end, layout, own, own + layout.a, rows);
            if (division.stretches == 1) for_each_tile(0, count, panels, input);
            std::ptrdiff_t first = 0;
            for (std::ptrdiff_t s = block; s < block_end; ++s) {
                std::ptrdiff_t last = first;
                for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride) last += length_of(call.steps, n, T) > s ? 1 : 0;
                for_each_tile(first, last, panels, step, s % 2 == 0 ? Walk::upwards : Walk::downwards);
                if (C::kMayProject && has_projection) multiply_panels(rows, first, last, W_hr, W_hr.all(), 0, H, Projection{});
                if (meeting) meet(*meeting);
                first = last;
            }
        }
        finish(call, share, units, own + layout.c);
    }

    // c: [sequences,H] of the part. Not in c_n itself: two cores would take its lines from each other at every step.
    static void finish(const Forward<S>& call, const Share& share, const Span& units, const S* c) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Span of_state = has_projection ? Span{0, P} : units;
        for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride, c += H) {
            if (C::kHasCellState) copy(c + units.begin, call.c_n + n * H + units.begin, units.end - units.begin);
            const std::ptrdiff_t length = length_of(call.steps, n, T);
            const std::ptrdiff_t last = call.steps.is_reverse ? 0 : length - 1;
            const S* const h = length == 0 ? row_at(call.h_0, n) : row_at(call.y, call.steps, last, n);
            copy_or_zero<S>(h ? h + of_state.begin : h, call.h_n + n * P + of_state.begin, of_state.end - of_state.begin);
        }
    }

    // c begins as c_0; padding becomes zero, if it is this part's.
    static void start(const Forward<S>& call, const Share& share, S* c, bool has_padding) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride, c += H) {
            if (C::kHasCellState) copy_or_zero(row_at(call.c_0, n), c, H);
            if (call.steps.offsets || !has_padding) continue;
            for (std::ptrdiff_t t = length_of(call.steps, n, T); t < T; ++t) {
                zero(row_at(call.y, call.steps, t, n), P);
                if (call.kept) zero(call.kept + (t * N + n) * C::kKept * H, C::kKept * H);
            }
        }
    }

    // The rows of steps block .. block_end-1, step by step, of the sequences that are still running, with their preactivations at `a`; returns how
    // many there are.
    static std::ptrdiff_t list_rows(const Forward<S>& call, const Share& share, std::ptrdiff_t block, std::ptrdiff_t block_end,
                                    const Layout& layout, S* own, S* a, Row* rows) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        std::ptrdiff_t count = 0;
        for (std::ptrdiff_t s = block; s < block_end; ++s) {
            for_each_sequence(share, [&](std::ptrdiff_t n, std::ptrdiff_t i) {
                if (s >= length_of(call.steps, n, T)) return;
                const Place place = place_of(call.steps, s, n, T);
                const std::ptrdiff_t number = row_of(call.steps, place.t, n, N);
                S* const y = row_at(call.y, call.steps, place.t, n);
                rows[count] = {
                    .x = row_at(call.x, call.steps, place.t, n),
                    .a = a + count * layout.columns,
                    .h_prev = place.is_first ? first_state(call.h_0, n, own + layout.zeros) : row_at(call.y, call.steps, place.before, n),
                    .h = has_projection ? own + layout.m + i * H : y,
                    .y = y,
                    .c = C::kHasCellState ? own + layout.c + i * H : nullptr,
                    .kept = call.kept ? call.kept + number * C::kKept * H : nullptr,
                };
                ++count;
            });
        }
        return count;
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
