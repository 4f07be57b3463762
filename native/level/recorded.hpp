// What becomes of a row of total gradients while it is made, a vector at a time: nothing, or what a recording wants of it. Whoever makes the row
// calls `take` for every vector of a part of it, whose lanes beyond the row's end are zero, and then `end`. Nobody passes these by value: what has
// just been stored in pieces comes back as a vector only once it has reached the cache.
#pragma once

#include "workspace.hpp"

namespace gatewise::GATEWISE_LEVEL {

// What is wanted of a part of a row.
template <class S>
struct Wanted {
    Rows<S> rows;  // [R,columns], to which it belongs as the one of this number; or null
    std::ptrdiff_t number, columns;
    double* norm;  // or null
    Span part;
};

template <class V>
struct Unrecorded {
    static constexpr bool kTakes = false;

    explicit Unrecorded(const Wanted<Scalar<V>>&) {}
    GATEWISE_INLINE void take(std::ptrdiff_t, V) {}
    GATEWISE_INLINE void end() {}
};

// The row itself, in whole lines and up to the end of the last one. They go past the caches: somebody reads them when all is done.
template <class V>
struct Streamed {
    using S = Scalar<V>;
    static constexpr bool kTakes = true;
    static constexpr std::ptrdiff_t kLine = Workspace<S>::kAlign;

    S* row;
    Span part;

    explicit Streamed(const Wanted<S>& of) : row(of.rows.row(of.number)), part(of.part) {}

    static bool fits(const Rows<S>& rows) { return rows.stride % kLine == 0 && reinterpret_cast<std::uintptr_t>(rows.data) % 64 == 0; }

    GATEWISE_INLINE void take(std::ptrdiff_t u, V v) { stream(row + u, v); }
    GATEWISE_INLINE void end() {
        if (part.begin >= part.end) return;  // a part has no units where there are more parts than lines
        for (std::ptrdiff_t u = rounded_up(part.end, kLanes<V>); u < rounded_up(part.end, kLine); u += kLanes<V>) stream(row + u, V{});
    }
};

// The Euclidean norm, in double: the square of a vanishing gradient is no float any more.
template <class V>
struct Normed {
    static constexpr bool kTakes = true;
    static constexpr int kParts = kLanes<V> / kLanes<F64>;

    double* to;
    Array<F64, kParts> squares{};

    explicit Normed(const Wanted<Scalar<V>>& of) : to(of.norm) {}

    GATEWISE_INLINE void take(std::ptrdiff_t, V v) {
        Scalar<V> lanes[kLanes<V>];
        store(lanes, v);
#pragma GCC unroll 4
        for (int i = 0; i < kParts; ++i) {
            const F64 part = load_as_double(lanes + i * kLanes<F64>);
            squares[i] = fma(part, part, squares[i]);
        }
    }

    GATEWISE_INLINE void end() {
#pragma GCC unroll 4
        for (int i = 1; i < kParts; ++i) squares[0] += squares[i];
        // Halves added to halves: one after the other, the lanes would wait for each other longer than the row takes.
        double lanes[kLanes<F64>];
        store(lanes, squares[0]);
        for (std::ptrdiff_t half = kLanes<F64> / 2; half > 0; half /= 2) {
            for (std::ptrdiff_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
        }
        *to = __builtin_sqrt(lanes[0]);
    }
};

// Whatever else is wanted: rows that are no whole lines, or both.
template <class V>
struct Recorded {
    using S = Scalar<V>;
    static constexpr bool kTakes = true;

    Streamed<V> streamed;
    Normed<V> normed;
    std::ptrdiff_t columns;
    bool are_lines;

    explicit Recorded(const Wanted<S>& of) : streamed(of), normed(of), columns(of.columns), are_lines(streamed.fits(of.rows)) {}

    GATEWISE_INLINE void take(std::ptrdiff_t u, V v) {
        if (are_lines) {
            streamed.take(u, v);
        } else {
            store_upto(streamed.row, v, u, columns);
        }
        if (normed.to) normed.take(u, v);
    }
    GATEWISE_INLINE void end() {
        if (are_lines) streamed.end();
        if (normed.to) normed.end();
    }
};

// Calls run.operator()<R>() with the one of the above that does for what is wanted of all rows: themselves, their norms, each or neither.
template <class V, class Run>
GATEWISE_INLINE void with_recorder(const Rows<Scalar<V>>& rows, const double* norms, const Run& run) {
    if (!rows.data) return norms ? run.template operator()<Normed<V>>() : run.template operator()<Unrecorded<V>>();
    if (!norms && Streamed<V>::fits(rows)) return run.template operator()<Streamed<V>>();
    run.template operator()<Recorded<V>>();
}

}  // namespace gatewise::GATEWISE_LEVEL
