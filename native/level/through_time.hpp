// A layer and direction backward, from each sequence's last step to its first: the gates' gradients, then dh_{t-1} through W_hh.
#pragma once

#include "forward.hpp"
#include "recorded.hpp"

namespace gatewise::GATEWISE_LEVEL {

template <class C>
struct ThroughTimeKernel {
    using V = typename C::Vector;
    using S = Scalar<V>;
    using Row = BackwardRow<S>;
    static constexpr std::ptrdiff_t kAlign = Workspace<S>::kAlign;
    static_assert(Panels<V>::kWidth % kAlign == 0, "a part's units begin with a line, or they could not be streamed");

    struct Layout : Workspace<S> {
        std::ptrdiff_t K, W_hr;                // among the weights, which begin with W_hh
        std::ptrdiff_t sequences, zeros, dh, dc, m, norms;  // in a part's place, which begins with the rows of a step

        Layout(const Sizes& of, const Division& division) {
            K = C::kBlocks * of.H;
            sequences = most_sequences(division, of.N);
            W_hr = Panels<V>::size_of(K, of.P);  // after panels of [K,P], panels of [P,H]
            zeros = rounded_up(sequences * std::ptrdiff_t{sizeof(Row)} / std::ptrdiff_t{sizeof(S)}, kAlign);
            dh = rounded_up(zeros + zeros_of(of), kAlign);                            // [sequences,P]
            dc = rounded_up(dh + sequences * of.P, kAlign);                           // [sequences,H]
            m = rounded_up(dc + (C::kHasCellState ? sequences * of.H : 0), kAlign);   // dL/d(o * tanh(c_t)) [sequences,H], if it is projected
            norms = rounded_up(m + (of.has_projection ? sequences * of.H : 0), kAlign);  // of two steps, over a part of the units [2,2,sequences]
            const std::ptrdiff_t norms_size = division.shares_units ? 4 * sequences * std::ptrdiff_t{sizeof(double)} / std::ptrdiff_t{sizeof(S)} : 0;
            this->divide(W_hr + (of.has_projection ? Panels<V>::size_of(of.P, of.H) : 0), norms + norms_size, division.parts,
                         division.is_packed_apart ? division.parts : 1);
        }

        // Of dh_t [sequences], then of dc_t, over a part's units. Two steps take turns: while one is added up the next may come.
        double* norms_of(S* work, int part, std::ptrdiff_t s) const {
            return static_cast<double*>(static_cast<void*>(this->own(work, part) + norms)) + s % 2 * 2 * sequences;
        }

        Panels<V> panels_of_W_hh(const Backward<S>& call, int part) const { return {this->weights(call.work, part), K, call.size.P}; }
        Panels<V> panels_of_W_hr(const Backward<S>& call, int part) const {
            return {this->weights(call.work, part) + W_hr, call.size.P, call.size.H};
        }
    };

    static std::ptrdiff_t work(const Sizes& size, const Division& division) { return Layout(size, division).size(); }

    static void pack(const Backward<S>& call, const Division& division, int part) {
        const Layout layout(call.size, division);
        layout.panels_of_W_hh(call, part).pack_share(call.W_hh, part, division);
        if (call.size.has_projection) layout.panels_of_W_hr(call, part).pack_share(call.W_hr, part, division);
    }

    // dh_{t-1} = da W_hh.
    struct ToHidden {
        std::ptrdiff_t first;  // where the blocks of W_hh begin in da
        std::ptrdiff_t H, P;

        const S* left(const Row& row) const { return row.da + first; }
        GATEWISE_INLINE void put(const Row& row, V sum, std::ptrdiff_t u, std::ptrdiff_t) const {
            store_upto(row.dh, C::kKeepsHidden ? sum + load_upto<V>(row.dh, u, P) : sum, u, P);
        }

        // What the row's next step reads of what was kept: it is larger than the caches near a core, and comes while the row is multiplied. A
        // processor that sees addresses ascend fetches what lies behind them.
        GATEWISE_INLINE void fetch(const Row& row, std::ptrdiff_t column, std::ptrdiff_t width) const {
            const std::ptrdiff_t end = (column + width) * H / P < H ? (column + width) * H / P : H;
            for (std::ptrdiff_t u = column * H / P; C::kKept > 0 && u < end; u += kAlign) {
                for (int k = 0; row.next_kept && k < C::kKept; ++k) __builtin_prefetch(row.next_kept + k * H + u);
                if (row.next_c_prev) __builtin_prefetch(row.next_c_prev + u);
            }
        }
    };

    // dm = dh_t W_hr.
    struct ToUnprojected {
        const S* left(const Row& row) const { return row.dh; }
        GATEWISE_INLINE void put(const Row& row, V sum, std::ptrdiff_t u, std::ptrdiff_t H) const { store_upto(row.dm, sum, u, H); }
    };

    // All units of a share of the sequences; where there is a meeting, a share of the units of all sequences.
    static void run(Backward<S> call, Division division, Block block, Share share, int part, Meeting* meeting) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        const Layout layout(call.size, division);
        S* const own = layout.own(call.work, part);
        Row* const rows = static_cast<Row*>(static_cast<void*>(own));
        const Panels<V> W_hh = layout.panels_of_W_hh(call, part), W_hr = layout.panels_of_W_hr(call, part);
        const Span panels = panels_of(W_hh.count(), part, meeting ? division.parts : 1);
        const Span of_state = {panels.begin * W_hh.kWidth, panels.end * W_hh.kWidth < P ? panels.end * W_hh.kWidth : P};
        const Span units = has_projection ? Span{0, H} : of_state;

        zero(own + layout.zeros, zeros_of(call.size));
        if (block.last == T) start(call, share, own + layout.dh, own + layout.dc, !meeting || part == 0);
        const std::ptrdiff_t longest = longest_of(call.steps, share, T);
        for (std::ptrdiff_t s = block.last < longest ? block.last : longest; s-- > block.first;) {
            double* const own_norms = meeting ? layout.norms_of(call.work, part, s) : nullptr;
            const std::ptrdiff_t count = list_rows(call, block, share, s, layout, own, own_norms, rows);
            with_recorder<V>(call.dh, call.dh_norm, [&]<class Recorder>() {
                for (std::ptrdiff_t k = 0; k < count; ++k) total_gradient<Recorder>(call, rows[k], of_state);
            });
            if (C::kMayProject && has_projection) multiply_panels(rows, 0, count, W_hr, W_hr.all(), 0, P, ToUnprojected{});
            with_recorder_of_cell(call, [&]<class Recorder>() {
                for (std::ptrdiff_t k = 0; k < count; ++k) gate_gradients<Recorder>(call, rows[k], units);
            });
            if (meeting) meet(*meeting);
            if (meeting && part == 0) add_up_norms(call, layout, division.parts, s, rows, count);
            multiply_panels(rows, 0, count, W_hh, panels, 0, layout.K, ToHidden{C::kFirstRecurrent * H, H, P});
        }
        end_streams();
        if (block.first == 0) finish(call, share, of_state, units, own + layout.dh, own + layout.dc);
    }

    // dh [sequences,P] and dc [sequences,H] of the part begin as dh_n and dc_n; padding becomes zero, if it is this part's.
    static void start(const Backward<S>& call, const Share& share, S* dh, S* dc, bool has_padding) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride, dh += P, dc += H) {
            copy_or_zero(row_at(call.dh_n, n), dh, P);
            if (C::kHasCellState) copy_or_zero(row_at(call.dc_n, n), dc, H);
            if (call.steps.offsets || !has_padding) continue;
            for (std::ptrdiff_t t = length_of(call.steps, n, T); t < T; ++t) {
                const std::ptrdiff_t number = t * N + n;
                if (call.dh.data) zero(call.dh.row(number), P);
                if (call.dh_norm) call.dh_norm[number] = 0;
                if (C::kHasCellState && call.dc.data) zero(call.dc.row(number), H);
                if (C::kHasCellState && call.dc_norm) call.dc_norm[number] = 0;
            }
        }
    }

    static void finish(const Backward<S>& call, const Share& share, const Span& of_state, const Span& units, const S* dh, const S* dc) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride, dh += P, dc += H) {
            if (call.dh_0) copy(dh + of_state.begin, call.dh_0 + n * P + of_state.begin, of_state.end - of_state.begin);
            if (C::kHasCellState && call.dc_0) copy(dc + units.begin, call.dc_0 + n * H + units.begin, units.end - units.begin);
        }
    }

    // dh_t, in place of the part of it that came through later steps; the step's own output may add to it.
    template <class Recorder>
    [[gnu::noinline]] static void total_gradient(const Backward<S>& call, const Row& row, Span of_state) {
        const std::ptrdiff_t P = call.size.P;
        Recorder recorder({call.dh, row.number, P, row.dh_norm, of_state});
        S* const dh = row.dh;
        const S* const dy = row.dy;
        const auto each = [&](const auto& total) GATEWISE_INLINE_LAMBDA {
            for_each_vector<V>(of_state.begin, of_state.end, P, [&](std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA { recorder.take(u, total(u)); });
        };
        const auto with = [dh, P](V output, std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA {
            const V total = load_upto<V>(dh, u, P) + output;
            store_upto(dh, total, u, P);
            return total;
        };
        if (!dy) {
            if (Recorder::kTakes) each([=](std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA { return load_upto<V>(dh, u, P); });
        } else if (call.dy_column == 0) {
            each([=, all = splat<V>(*dy)](std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA { return with(upto(all, u, P), u); });
        } else {
            each([=](std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA { return with(load_upto<V>(dy, u, P), u); });
        }
        recorder.end();
    }

    // Without a cell state there is no dc_t.
    template <class Run>
    GATEWISE_INLINE static void with_recorder_of_cell(const Backward<S>& call, const Run& run) {
        if constexpr (C::kHasCellState) return with_recorder<V>(call.dc, call.dc_norm, run);
        run.template operator()<Unrecorded<V>>();
    }

    template <class Recorder>
    [[gnu::noinline]] static void gate_gradients(const Backward<S>& call, const Row& row, Span units) {
        const std::ptrdiff_t H = call.size.H;
        Recorder recorder({call.dc, row.number, H, row.dc_norm, units});
        const S* const dh = call.size.has_projection ? row.dm : row.dh;
        for_each_vector<V>(units.begin, units.end, H, [&](std::ptrdiff_t u) GATEWISE_INLINE_LAMBDA {
            recorder.take(u, C::backward(row, load_upto<V>(dh, u, H), u, H));
        });
        recorder.end();
    }

    // The norms of a step's rows, from those over each part's units.
    static void add_up_norms(const Backward<S>& call, const Layout& layout, int parts, std::ptrdiff_t s, const Row* rows, std::ptrdiff_t count) {
        const double* const first = layout.norms_of(call.work, 0, s);
        const auto all = [&](const double* of_first_part) {
            double squares = 0;
            for (int part = 0; part < parts; ++part) {
                const double of_part = layout.norms_of(call.work, part, s)[of_first_part - first];
                squares += of_part * of_part;
            }
            return __builtin_sqrt(squares);
        };
        for (std::ptrdiff_t k = 0; k < count; ++k) {
            if (rows[k].dh_norm) call.dh_norm[rows[k].number] = all(rows[k].dh_norm);
            if (rows[k].dc_norm) call.dc_norm[rows[k].number] = all(rows[k].dc_norm);
        }
    }

    // Where the norms of the next step go: they are in memory, and a store that waits for its line holds up all that come after it.
    GATEWISE_INLINE static void fetch_norms(const Backward<S>& call, std::ptrdiff_t number) {
        __builtin_prefetch(call.dh_norm + number, 1);
        if (call.dc_norm) __builtin_prefetch(call.dc_norm + number, 1);
    }

    // The s-th steps of the sequences that have so many; returns how many there are. `own_norms` is where norms go first, if they are of a part's
    // units only.
    static std::ptrdiff_t list_rows(const Backward<S>& call, const Block& block, const Share& share, std::ptrdiff_t s, const Layout& layout, S* own,
                                    double* own_norms, Row* rows) {
        const auto& [T, N, I, H, P, has_projection] = call.size;
        std::ptrdiff_t count = 0;
        for_each_sequence(share, [&](std::ptrdiff_t n, std::ptrdiff_t i) {
            if (s >= length_of(call.steps, n, T)) return;
            const Place place = place_of(call.steps, s, n, T);
            const std::ptrdiff_t number = row_of(call.steps, place.t, n, N);
            const auto kept_of = [&](std::ptrdiff_t t) { return call.kept + row_of(call.steps, t, n, N) * C::kKept * H; };
            const S* const next_kept = C::kKept == 0 || place.is_first ? nullptr : kept_of(place.before);
            const S* const c_prev = !C::kHasCellState ? nullptr : next_kept ? next_kept + C::kBlocks * H : first_state(call.c_0, n, own + layout.zeros);
            const std::ptrdiff_t two_before = 2 * place.before - place.t;
            if (call.dh_norm && !own_norms && !place.is_first) fetch_norms(call, row_of(call.steps, place.before, n, N));
            rows[count] = {
                .dy = call.dy.data ? row_at(call.dy, call.steps, place.t, n) : nullptr,
                .dkept = call.dkept ? call.dkept + number * C::kKept * H : nullptr,
                .h = row_at(call.y, call.steps, place.t, n),
                .h_prev = place.is_first ? first_state(call.h_0, n, own + layout.zeros) : row_at(call.y, call.steps, place.before, n),
                .c_prev = c_prev,
                .kept = C::kKept > 0 ? kept_of(place.t) : nullptr,
                .next_kept = next_kept,
                .next_c_prev = C::kHasCellState && s > 1 ? kept_of(two_before) + C::kBlocks * H : nullptr,
                .dh = own + layout.dh + i * P,
                .dc = C::kHasCellState ? own + layout.dc + i * H : nullptr,
                .da = call.da + row_in(block, s, n) * C::kGradients * H,
                .dm = has_projection ? own + layout.m + i * H : nullptr,
                .dh_norm = !call.dh_norm ? nullptr : own_norms ? own_norms + i : call.dh_norm + number,
                .dc_norm = !C::kHasCellState || !call.dc_norm ? nullptr : own_norms ? own_norms + layout.sequences + i : call.dc_norm + number,
                .number = number,
            };
            ++count;
        });
        return count;
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
