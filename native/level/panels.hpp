// Matrices packed into panels, and the products with them where nothing else happens on a register tile.
#pragma once

#include "gemm.hpp"
#include "steps.hpp"
#include "transpose.hpp"
#include "workspace.hpp"

namespace gatewise::GATEWISE_LEVEL {

// A matrix [K,columns] in panels of kPanelVectors vectors, the last one of no more than it needs: [panel][K][vectors * lanes], zero where a
// column does not exist.
template <class V>
struct Panels {
    using S = Scalar<V>;
    static constexpr std::ptrdiff_t kWidth = kPanelVectors * kLanes<V>;

    S* data;
    std::ptrdiff_t K, columns;

    static std::ptrdiff_t size_of(std::ptrdiff_t K, std::ptrdiff_t columns) { return K * rounded_up(columns, kLanes<V>); }

    std::ptrdiff_t count() const { return (columns + kWidth - 1) / kWidth; }
    Span all() const { return {0, count()}; }

    std::ptrdiff_t width_of(std::ptrdiff_t panel) const {
        const std::ptrdiff_t left = columns - panel * kWidth;
        return left < kWidth ? rounded_up(left, kLanes<V>) : kWidth;
    }

    S* row(std::ptrdiff_t panel, std::ptrdiff_t k) const { return data + panel * K * kWidth + k * width_of(panel); }

    // Rows k .. k + count - 1 of a panel, from a matrix [count,columns].
    void pack(std::ptrdiff_t panel, std::ptrdiff_t k, std::ptrdiff_t count, const S* matrix) const {
        const std::ptrdiff_t first = panel * kWidth, last = first + width_of(panel);
        S* to = row(panel, k);
        for (std::ptrdiff_t r = 0; r < count; ++r) {
            for (std::ptrdiff_t u = first; u < last; u += kLanes<V>, to += kLanes<V>) store(to, load_upto<V>(matrix + r * columns, u, columns));
        }
    }

    // A part's share of the panels, from a matrix [K,columns].
    void pack_share(const S* matrix, int part, const Division& division) const {
        const Span share = panels_of(count(), part, division.is_packed_apart ? 1 : division.parts);
        for (std::ptrdiff_t p = share.begin; p < share.end; ++p) pack(p, 0, K, matrix);
    }

    // A panel from a matrix whose row row_of(c) [K] is column c.
    template <class RowOf>
    void pack_transposed(std::ptrdiff_t panel, const S* matrix, const RowOf& row_of) const {
        const std::ptrdiff_t width = width_of(panel);
        for (std::ptrdiff_t v = 0; v < width; v += kLanes<V>) {
            Array<const S*, kLanes<V>> from;
            for (std::ptrdiff_t i = 0; i < kLanes<V>; ++i) {
                const std::ptrdiff_t column = panel * kWidth + v + i;
                from[i] = column < columns ? matrix + row_of(column) * K : nullptr;
            }
            for (std::ptrdiff_t k = 0; k < K; k += kLanes<V>) {
                Array<V, kLanes<V>> square;
#pragma GCC unroll 16
                for (std::ptrdiff_t i = 0; i < kLanes<V>; ++i) square[i] = from[i] ? load_upto<V>(from[i], k, K) : V{};
                transpose(square);
#pragma GCC unroll 16
                for (std::ptrdiff_t i = 0; i < kLanes<V>; ++i) {
                    if (k + i < K) store(row(panel, 0) + (k + i) * width + v, square[i]);
                }
            }
        }
    }
};

// A few rows times a few panels of so many vectors. `Operands` says of a row where its left factor [K] is (`left`) and what becomes of a vector of
// its results, the columns u .. u + lanes - 1 of `columns` (`put`); and what to fetch while columns are multiplied (`fetch`), if anything.
template <class V, int Vectors, class Row, class Operands>
struct ProductTile {
    static constexpr int kVectors = Vectors;
    const Row* rows;
    const Panels<V>& right;
    std::ptrdiff_t first_panel, k, K;  // the rows k .. k + K - 1 of the panels from this one on
    Operands operands;

    template <int Rows, int NumPanels>
    [[gnu::noinline]] void run(std::ptrdiff_t first, std::ptrdiff_t panel) const {
        constexpr std::ptrdiff_t width = Vectors * kLanes<V>;
        Array<const Scalar<V>*, Rows> left;
        const std::ptrdiff_t column = (first_panel + panel) * Panels<V>::kWidth;
        for (int r = 0; r < Rows; ++r) {
            left[r] = operands.left(rows[first + r]) + k;
            if constexpr (requires { operands.fetch(rows[first], column, width); }) operands.fetch(rows[first + r], column, width * NumPanels);
        }
        Array<Array<V, Vectors * NumPanels>, Rows> sums;
        multiply<V, Rows, Vectors, NumPanels>(left, right.row(first_panel + panel, k), K, right.K * width, sums);
#pragma GCC unroll 12
        for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors * NumPanels; ++v) operands.put(rows[first + r], sums[r][v], column + v * kLanes<V>, right.columns);
        }
    }
};

// The last panel, of at most `Most` vectors.
template <class V, int Most, class Row, class Operands>
GATEWISE_INLINE void multiply_last_panel(const Row* rows, std::ptrdiff_t begin, std::ptrdiff_t end, const Panels<V>& right,
                                         std::ptrdiff_t panel, std::ptrdiff_t k, std::ptrdiff_t K, const Operands& operands) {
    if constexpr (Most > 1) {
        if (right.width_of(panel) < Most * kLanes<V>) return multiply_last_panel<V, Most - 1>(rows, begin, end, right, panel, k, K, operands);
    }
    for_each_tile(begin, end, {0, 1}, ProductTile<V, Most, Row, Operands>{rows, right, panel, k, K, operands});
}

// Rows begin .. end-1 times the rows k .. k + K - 1 of some panels of a packed matrix.
template <class V, class Row, class Operands>
void multiply_panels(const Row* rows, std::ptrdiff_t begin, std::ptrdiff_t end, const Panels<V>& right, Span panels, std::ptrdiff_t k,
                     std::ptrdiff_t K, const Operands& operands, Walk walk = Walk::upwards) {
    const std::ptrdiff_t full = right.columns / Panels<V>::kWidth;
    const Span of_full{panels.begin, panels.end < full ? panels.end : full};
    for_each_tile(begin, end, of_full, ProductTile<V, kPanelVectors, Row, Operands>{rows, right, 0, k, K, operands}, walk);
    if (full < panels.end) multiply_last_panel<V, kPanelVectors>(rows, begin, end, right, full, k, K, operands);
}

}  // namespace gatewise::GATEWISE_LEVEL
