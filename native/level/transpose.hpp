// Turning a square of vectors about its diagonal.
#pragma once

#include "gemm.hpp"

namespace gatewise::GATEWISE_LEVEL {

// The lower halves of two vectors, element beside element: a[0] b[0] a[1] b[1] ...
template <class V>
GATEWISE_INLINE V interleave_low(V a, V b) {
    if constexpr (kLanes<V> == 16) return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    if constexpr (kLanes<V> == 8) return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    if constexpr (kLanes<V> == 4) return __builtin_shufflevector(a, b, 0, 4, 1, 5);
    if constexpr (kLanes<V> == 2) return __builtin_shufflevector(a, b, 0, 2);
}

// The upper halves.
template <class V>
GATEWISE_INLINE V interleave_high(V a, V b) {
    if constexpr (kLanes<V> == 16) return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    if constexpr (kLanes<V> == 8) return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    if constexpr (kLanes<V> == 4) return __builtin_shufflevector(a, b, 2, 6, 3, 7);
    if constexpr (kLanes<V> == 2) return __builtin_shufflevector(a, b, 1, 3);
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
