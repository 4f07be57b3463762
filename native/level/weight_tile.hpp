// dW += da^T source on register tiles: a few rows of dW and a few vectors of its columns, over a chunk of rows.
#pragma once

#include "gemm.hpp"

namespace gatewise::GATEWISE_LEVEL {

inline constexpr int kWeightVectors = 3;                      // of columns of dW in a tile; its rows divide powers of two
inline constexpr int kWeightRows = kTileRows<kWeightVectors>;

// One sequence at one step.
template <class S>
struct ProductsRow {
    const S* da;      // [kGradients*H]
    const S* x;       // [I]
    const S* h_prev;  // [P]
    S* dx;            // [I]
};

// A few rows of dW and up to kWeightVectors vectors of its columns: what a chunk of rows adds.
template <class V>
struct WeightTile {
    using S = Scalar<V>;

    std::ptrdiff_t count;    // of rows
    const S* da;             // [count][kWeightRows]
    const S* source;         // [count][vectors * lanes]
    S* dW;                   // its first row and column
    std::ptrdiff_t stride;   // of the rows of dW
    std::ptrdiff_t columns;  // of the panel

    template <int Rows>
    GATEWISE_INLINE void choose(std::ptrdiff_t left) const {
        if constexpr (Rows > 1) {
            if (left < Rows) return choose<Rows - 1>(left);
        }
        choose_vectors<Rows, kWeightVectors>();
    }

    template <int Rows, int Vectors>
    GATEWISE_INLINE void choose_vectors() const {
        if constexpr (Vectors > 1) {
            if (columns <= (Vectors - 1) * kLanes<V>) return choose_vectors<Rows, Vectors - 1>();
        }
        run<Rows, Vectors>();
    }

    template <int Rows, int Vectors>
    [[gnu::noinline]] void run() const {
        Array<Array<V, Vectors>, Rows> sums;
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
            __builtin_prefetch(dW + i * stride, 1);
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) sums[i][v] = V{};
        }
        const S *from = source, *factors = da;
#pragma GCC unroll 4
        for (std::ptrdiff_t r = 0; r < count; ++r, from += Vectors * kLanes<V>, factors += kWeightRows) {
            Array<V, Vectors> values;
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) values[v] = load<V>(from + v * kLanes<V>);
#pragma GCC unroll 8
            for (int i = 0; i < Rows; ++i) {
                const V factor = splat<V>(factors[i]);
#pragma GCC unroll 8
                for (int v = 0; v < Vectors; ++v) sums[i][v] = fma(factor, values[v], sums[i][v]);
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) {
                S* const to = dW + i * stride;
                store_upto(to, sums[i][v] + load_upto<V>(to, v * kLanes<V>, columns), v * kLanes<V>, columns);
            }
        }
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
