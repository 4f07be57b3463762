// Turning a square of vectors about its diagonal.
#pragma once

#include "gemm.hpp"

namespace gatewise::GATEWISE_LEVEL {

// Half of two vectors, element beside element: a[k] b[k] a[k+1] b[k+1] ...
template <int k, class V>
GATEWISE_INLINE V interleave_from(V a, V b) {
    if constexpr (kLanes<V> == 16) {
        return __builtin_shufflevector(a, b, k, k + 16, k + 1, k + 17, k + 2, k + 18, k + 3, k + 19, k + 4, k + 20, k + 5, k + 21, k + 6, k + 22, k + 7,
                                       k + 23);
    }
    if constexpr (kLanes<V> == 8) return __builtin_shufflevector(a, b, k, k + 8, k + 1, k + 9, k + 2, k + 10, k + 3, k + 11);
    if constexpr (kLanes<V> == 4) return __builtin_shufflevector(a, b, k, k + 4, k + 1, k + 5);
    if constexpr (kLanes<V> == 2) return __builtin_shufflevector(a, b, k, k + 2);
}

template <class V>
GATEWISE_INLINE V interleave_low(V a, V b) {
    return interleave_from<0>(a, b);
}

template <class V>
GATEWISE_INLINE V interleave_high(V a, V b) {
    return interleave_from<static_cast<int>(kLanes<V>) / 2>(a, b);
}

// rows[i][j] becomes rows[j][i]. Interleaving row i with row i + lanes / 2 moves the highest bit of an element's row number to the end of its
// column number and the other way round; after as many times as the numbers have bits, row and column have changed places.
template <class V>
GATEWISE_INLINE void transpose(Array<V, kLanes<V>>& rows) {
    constexpr int lanes = kLanes<V>, half = lanes / 2;
#pragma GCC unroll 4
    for (int bit = 1; bit < lanes; bit *= 2) {
        Array<V, lanes> next;
#pragma GCC unroll 8
        for (int i = 0; i < half; ++i) {
            next[2 * i] = interleave_low(rows[i], rows[i + half]);
            next[2 * i + 1] = interleave_high(rows[i], rows[i + half]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) rows[i] = next[i];
    }
}

}  // namespace gatewise::GATEWISE_LEVEL
