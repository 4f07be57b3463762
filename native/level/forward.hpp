// A layer and direction forward: blocks of steps, in each first the input projection of all its steps, then step after step the recurrent
// product and the cell's equations. Sequences never meet, so each part of a batch runs through all its steps alone.
#pragma once

#include "cells.hpp"
#include "panels.hpp"

namespace gatewise::GATEWISE_LEVEL {

// A part's preactivations of a block of steps stay within this: half of a small second-level cache.
inline constexpr std::ptrdiff_t kBlockBytes = 256 * 1024;

// Every block reads all of W_ih. Where it has more than kManyWeightsBytes no cache near a core holds it, and blocks are larger than such a cache, of
// so much in all parts together: preactivations are then read back from as far away as W_ih, which is read more seldom.
inline constexpr std::ptrdiff_t kManyWeightsBytes = 2 * 1024 * 1024, kLargeBlockBytes = 6 * 1024 * 1024;

template <class C>
struct ForwardKernel {
    using V = typename C::Vector;
    using S = Scalar<V>;
    using Row = ForwardRow<S>;
    static constexpr std::ptrdiff_t kAlign = Workspace<S>::kAlign;
    // So many rows of a step are multiplied before their units go on: what lies between the two stays in the caches near a core.
    static constexpr std::ptrdiff_t kStepRows = 48;

    struct Layout : Workspace<S> {
        std::ptrdiff_t width, block_steps;            // width: from row to row of the preactivations that a part makes
        std::ptrdiff_t W_ih, W_hh, W_hr, b_ih, b_hh;  // among the weights
        std::ptrdiff_t zeros, c, m, s, a;             // in a part's place, which begins with the rows of a block

        Layout(const Sizes& of, const Division& division) {
            const std::ptrdiff_t units = most_units<S>(division, of.H), columns = C::kBlocks * units;
            width = rounded_up(columns, kLanes<V>) + kLanes<V>;  // the last vector of the last block reaches beyond it
            const std::ptrdiff_t sequences = most_sequences(division, of.N);
            const std::ptrdiff_t fitting = block_bytes(of, division.parts) / (width * sequences * std::ptrdiff_t{sizeof(S)});
            block_steps = division.is_projected_ahead || fitting > of.T ? of.T : fitting < 1 ? 1 : fitting;
            W_ih = 0;                                                                // panels of [I,columns]
            W_hh = W_ih + Panels<V>::size_of(of.I, columns);                         // panels of [P,columns]
            W_hr = W_hh + Panels<V>::size_of(of.P, columns);                         // panels of [H,P]
            b_ih = W_hr + (of.has_projection ? Panels<V>::size_of(of.H, of.P) : 0);  // [columns]
            b_hh = b_ih + rounded_up(columns, kAlign);
            zeros = rounded_up(block_steps * sequences * std::ptrdiff_t{sizeof(Row)} / std::ptrdiff_t{sizeof(S)}, kAlign);
            c = rounded_up(zeros + zeros_of(of), kAlign);                                     // [sequences,c_stride]
            m = rounded_up(c + (C::kHasCellState ? sequences * c_stride(of.H) : 0), kAlign);  // o * tanh(c_t) of a step [sequences,H], if projected
            s = rounded_up(m + (of.has_projection ? sequences * of.H : 0), kAlign);           // [kStepRows,width]
            a = rounded_up(s + (sequences < kStepRows ? sequences : kStepRows) * width, kAlign);  // [block_steps*sequences,width]
            const int packers = division.is_packed_apart || division.shares_units ? division.parts : 1;
            this->divide(b_hh + rounded_up(columns, kAlign), a + block_steps * sequences * width, division.parts, packers);
        }
    };

    // How many bytes of preactivations a part makes before it walks through their steps, if a single step is no more.
    static std::ptrdiff_t block_bytes(const Sizes& of, int parts) {
        const bool has_many_weights = C::kBlocks * of.H * of.I * std::ptrdiff_t{sizeof(S)} > kManyWeightsBytes;
        return has_many_weights && kLargeBlockBytes / parts > kBlockBytes ? kLargeBlockBytes / parts : kBlockBytes;
    }

    static std::ptrdiff_t c_stride(std::ptrdiff_t H) { return rounded_up(H, kLanes<V>); }

    static std::ptrdiff_t work(const Sizes& size, const Division& division) { return Layout(size, division).size(); }

    // A part's weights and biases, packed: column block * count + i belongs to the i-th of its units.
    struct Weights {
        Span units;
        std::ptrdiff_t H;
        Panels<V> W_ih, W_hh, W_hr;
        S *b_ih, *b_hh;

        Weights(const Forward<S>& call, const Layout& layout, const Division& division, int part)
            : units(units_of<S>(division, call.size.H, part)), H(call.size.H) {
            S* const all = layout.weights(call.work, part);
            W_ih = {all + layout.W_ih, call.size.I, C::kBlocks * count()};
            W_hh = {all + layout.W_hh, call.size.P, C::kBlocks * count()};
            W_hr = {all + layout.W_hr, H, call.size.P};
            b_ih = all + layout.b_ih;
            b_hh = all + layout.b_hh;
        }

        std::ptrdiff_t count() const { return units.end - units.begin; }

        void pack(Span panels, const S* W, const S* b, const Panels<V>& packed_W, S* packed_b) const {
            const auto row_of = [this](std::ptrdiff_t column) { return column / count() * H + units.begin + column % count(); };
            for (std::ptrdiff_t p = panels.begin; p < panels.end; ++p) {
                packed_W.pack_transposed(p, W, row_of);
                const std::ptrdiff_t first = p * packed_W.kWidth, end = first + packed_W.width_of(p);
                for (std::ptrdiff_t u = first; u < end; ++u) packed_b[u] = b && u < packed_W.columns ? b[row_of(u)] : 0;
            }
        }

        void pack_input(Span panels, const Forward<S>& call) const { pack(panels, call.W_ih, call.b_ih, W_ih, b_ih); }
        void pack_recurrent(Span panels, const Forward<S>& call) const { pack(panels, call.W_hh, call.b_hh, W_hh, b_hh); }
    };

    static void pack(const Forward<S>& call, const Division& division, int part) {
        const Weights weights(call, Layout(call.size, division), division, part);
        const int packers = division.is_packed_apart || division.shares_units ? 1 : division.parts;
        const Span share = panels_of(weights.W_hh.count(), part, packers);
        if (!division.is_projected_ahead) weights.pack_input(share, call);
        weights.pack_recurrent(share, call);
        if (!call.size.has_projection) return;
        const Span of_W_hr = panels_of(weights.W_hr.count(), part, packers);
        for (std::ptrdiff_t p = of_W_hr.begin; p < of_W_hr.end; ++p) weights.W_hr.pack_transposed(p, call.W_hr, [](std::ptrdiff_t c) { return c; });
    }

    // a = W_ih x + b_ih.
    struct FromInput {
        const S* bias;

        const S* left(const Row& row) const { return row.x; }
        GATEWISE_INLINE void put(const Row& row, V sum, std::ptrdiff_t column, std::ptrdiff_t) const {
            store(row.a + column, sum + load<V>(bias + column));
        }
    };

    // s = W_hh h_{t-1} + b_hh.
    struct FromHidden {
        const S* bias;
        std::ptrdiff_t H;  // 0: fetches nothing

        const S* left(const Row& row) const { return row.h_prev; }
        GATEWISE_INLINE void put(const Row& row, V sum, std::ptrdiff_t column, std::ptrdiff_t) const {
            store(row.s + column, sum + load<V>(bias + column));
        }

        // Where the row's results will lie: their lines come while it is multiplied.
        GATEWISE_INLINE void fetch(const Row& row, std::ptrdiff_t column, std::ptrdiff_t width) const {
            for (std::ptrdiff_t u = column; u < column + width && H > 0; u += kAlign) {
                if (u < H) __builtin_prefetch(row.h + u, 1);
                if (C::kKept > 0 && row.kept) __builtin_prefetch(row.kept + u, 1);
                if (C::kKept > 0 && row.kept && u < H) __builtin_prefetch(row.kept + C::kBlocks * H + u, 1);
            }
        }
    };

    // h_t of a row from its preactivations.
    [[gnu::noinline]] static void step(const Row& row, Span units, std::ptrdiff_t H) {
        const std::ptrdiff_t count = units.end - units.begin;
        const auto of = [&](std::ptrdiff_t u) { return Preactivations<V>{row.a + u - units.begin, row.s + u - units.begin, count}; };
        for_each_vector<V>(units.begin, units.end, H, [&](std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA { C::begin(row, of(u), u, H); });
        for_each_vector<V>(units.begin, units.end, H, [&](std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA { C::finish(row, of(u), u, H); });
    }

    // h_t = W_hr m.
    struct Projection {
        const S* left(const Row& row) const { return row.h; }
        GATEWISE_INLINE void put(const Row& row, V sum, std::ptrdiff_t u, std::ptrdiff_t P) const { store_upto(row.y, sum, u, P); }
    };

    // The preactivations of a single sequence for the thread that walks behind, few steps at a time, since it waits for the first of them.
    static void project(Forward<S> call, Division division, Progress& progress) {
        constexpr std::ptrdiff_t kStepsAtATime = 12;
        const Layout layout(call.size, division);
        const Weights weights(call, layout, division, 0);
        S* const own = layout.own(call.work, 0);
        weights.pack_input(weights.W_ih.all(), call);
        Row rows[kStepsAtATime];
        const std::ptrdiff_t length = length_of(call.steps, 0, call.size.T);
        for (std::ptrdiff_t s = 0; s < length; s += kStepsAtATime) {
            const std::ptrdiff_t last = s + kStepsAtATime < length ? s + kStepsAtATime : length;
            const std::ptrdiff_t count = list_rows(call, {0, 1, 1}, s, last, layout, own, own + layout.a + s * layout.width, rows);
            multiply_panels(rows, 0, count, weights.W_ih, weights.W_ih.all(), 0, call.size.I, FromInput{weights.b_ih});
            reach(progress, last);
        }
    }

    // All units of a share of the sequences; where there is a meeting, a share of the units of all sequences. With a progress, behind `project`.
    static void run(Forward<S> call, Division division, Share share, int part, Meeting* meeting, const Progress* progress) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Layout layout(call.size, division);
        const Weights weights(call, layout, division, part);
        S* const own = layout.own(call.work, part);
        Row* const rows = static_cast<Row*>(static_cast<void*>(own));
        const FromHidden from_hidden{weights.b_hh, meeting ? 0 : H};

        zero(own + layout.zeros, zeros_of(call.size));
        start(call, share, own + layout.c, !meeting || part == 0);
        const std::ptrdiff_t longest = longest_of(call.steps, share, T);
        std::ptrdiff_t projected = 0;
        for (std::ptrdiff_t block = 0; block < longest; block += layout.block_steps) {
            const std::ptrdiff_t block_end = block + layout.block_steps < longest ? block + layout.block_steps : longest;
            const std::ptrdiff_t count = list_rows(call, share, block, block_end, layout, own, own + layout.a, rows);
            if (!progress) multiply_panels(rows, 0, count, weights.W_ih, weights.W_ih.all(), 0, I, FromInput{weights.b_ih});
            std::ptrdiff_t first = 0;
            for (std::ptrdiff_t s = block; s < block_end; ++s) {
                const Walk walk = s % 2 == 0 ? Walk::upwards : Walk::downwards;
                if (progress && projected <= s) projected = wait_for(*progress, s + 1);
                std::ptrdiff_t last = first;
                for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride) last += length_of(call.steps, n, T) > s ? 1 : 0;
                for (std::ptrdiff_t next; first < last; first = next) {
                    next = first + kStepRows < last ? first + kStepRows : last;
                    multiply_panels(rows, first, next, weights.W_hh, weights.W_hh.all(), 0, P, from_hidden, walk);
                    for (std::ptrdiff_t r = first; r < next; ++r) step(rows[r], weights.units, H);
                    if (C::kMayProject && has_projection) multiply_panels(rows, first, next, weights.W_hr, weights.W_hr.all(), 0, H, Projection{});
                }
                if (meeting) meet(*meeting);
            }
        }
        finish(call, share, weights.units, own + layout.c);
    }

    // c: [sequences,c_stride] of the part. Not in c_n itself: two cores would take its lines from each other at every step.
    static void finish(const Forward<S>& call, const Share& share, const Span& units, const S* c) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Span of_state = has_projection ? Span{0, P} : units;
        for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride, c += c_stride(H)) {
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
        for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride, c += c_stride(H)) {
            if (C::kHasCellState) copy_or_zero(row_at(call.c_0, n), c, H);
            if (C::kHasCellState) zero(c + H, c_stride(H) - H);
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
            const std::ptrdiff_t first = count;
            for_each_sequence(share, [&](std::ptrdiff_t n, std::ptrdiff_t i) {
                if (s >= length_of(call.steps, n, T)) return;
                const Place place = place_of(call.steps, s, n, T);
                const std::ptrdiff_t number = row_of(call.steps, place.t, n, N);
                S* const y = row_at(call.y, call.steps, place.t, n);
                rows[count] = {
                    .x = row_at(call.x, call.steps, place.t, n),
                    .a = a + count * layout.width,
                    .s = own + layout.s + (count - first) % kStepRows * layout.width,
                    .h_prev = place.is_first ? first_state(call.h_0, n, own + layout.zeros) : row_at(call.y, call.steps, place.before, n),
                    .h = has_projection ? own + layout.m + i * H : y,
                    .y = y,
                    .c = C::kHasCellState ? own + layout.c + i * c_stride(H) : nullptr,
                    .kept = call.kept ? call.kept + number * C::kKept * H : nullptr,
                };
                ++count;
            });
        }
        return count;
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
