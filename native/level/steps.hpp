// Walking over the steps of a ragged batch.
#pragma once

#include "../recurrent.hpp"
#include "vector.hpp"

namespace gatewise::GATEWISE_LEVEL {

GATEWISE_INLINE std::ptrdiff_t rounded_up(std::ptrdiff_t n, std::ptrdiff_t unit) { return (n + unit - 1) / unit * unit; }

GATEWISE_INLINE std::ptrdiff_t length_of(const Steps& steps, std::ptrdiff_t n, std::ptrdiff_t T) {
    return steps.lengths ? static_cast<std::ptrdiff_t>(steps.lengths[n]) : T;
}

GATEWISE_INLINE std::ptrdiff_t longest_of(const Steps& steps, const Share& share, std::ptrdiff_t T) {
    std::ptrdiff_t longest = 0;
    for (std::ptrdiff_t n = share.begin; n < share.end; n += share.stride) {
        const std::ptrdiff_t length = length_of(steps, n, T);
        if (length > longest) longest = length;
    }
    return longest;
}

// The number of the row of step t of sequence n among [R,...].
GATEWISE_INLINE std::ptrdiff_t row_of(const Steps& steps, std::ptrdiff_t t, std::ptrdiff_t n, std::ptrdiff_t N) {
    return steps.offsets ? static_cast<std::ptrdiff_t>(steps.offsets[t]) + n : t * N + n;
}

template <class T>
GATEWISE_INLINE T* row_at(const Strided<T>& view, const Steps& steps, std::ptrdiff_t t, std::ptrdiff_t n) {
    if (steps.offsets) return view.data + (static_cast<std::ptrdiff_t>(steps.offsets[t]) + n) * view.sequence;
    return view.data + t * view.step + n * view.sequence;
}

// Row n of the states [N,...]; null where they are.
template <class T>
GATEWISE_INLINE T* row_at(const Strided<T>& states, std::ptrdiff_t n) {
    return states.data ? states.data + n * states.sequence : nullptr;
}

// Row n of the states before the first step; `zeros` where none were given.
template <class T>
GATEWISE_INLINE const T* first_state(const Strided<const T>& states, std::ptrdiff_t n, const T* zeros) {
    const T* const row = row_at(states, n);
    return row ? row : zeros;
}

// One step of one sequence, and the step before it in the direction of walking.
struct Place {
    std::ptrdiff_t t, before;
    bool is_first;  // then there is none before
};

// The s-th step of sequence n, which must have so many.
GATEWISE_INLINE Place place_of(const Steps& steps, std::ptrdiff_t s, std::ptrdiff_t n, std::ptrdiff_t T) {
    if (!steps.is_reverse) return {s, s - 1, s == 0};
    const std::ptrdiff_t t = length_of(steps, n, T) - 1 - s;
    return {t, t + 1, s == 0};
}

// The number of the row of the s-th step of sequence n among da's: a sequence's steps lie together.
GATEWISE_INLINE std::ptrdiff_t row_in(const Block& block, std::ptrdiff_t s, std::ptrdiff_t n) {
    return n * (block.last - block.first) + s - block.first;
}

// Calls visit(n, i) for the i-th sequence n of a share, in the order 0 1 3 2 4 5 7 6 ...: where a processor sees addresses at equal distances it
// fetches what would come next. After the last row of a part that is the first of another core, which has to fetch it back before it can write.
template <class Visit>
GATEWISE_INLINE void for_each_sequence(const Share& share, const Visit& visit) {
    const std::ptrdiff_t count = (share.end - share.begin + share.stride - 1) / share.stride;
    for (std::ptrdiff_t k = 0; k < rounded_up(count, 4); ++k) {
        const std::ptrdiff_t i = k ^ (k >> 1 & 1);
        if (i < count) visit(share.begin + i * share.stride, i);
    }
}

// How many zeros a part keeps for the states of its sequences, of P or H units, where none were given.
GATEWISE_INLINE std::ptrdiff_t zeros_of(const Sizes& size) { return size.H > size.P ? size.H : size.P; }

template <class S>
GATEWISE_INLINE void copy(const S* from, S* to, std::ptrdiff_t n) {
    __builtin_memcpy(to, from, static_cast<std::size_t>(n) * sizeof(S));
}

template <class S>
GATEWISE_INLINE void zero(S* to, std::ptrdiff_t n) {
    __builtin_memset(to, 0, static_cast<std::size_t>(n) * sizeof(S));
}

template <class S>
GATEWISE_INLINE void copy_or_zero(const S* from, S* to, std::ptrdiff_t n) {
    if (from) {
        copy(from, to, n);
    } else {
        zero(to, n);
    }
}

}  // namespace gatewise::GATEWISE_LEVEL
