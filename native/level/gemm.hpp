// Matrix products on register tiles: a few rows of the left matrix times one packed panel of the right one.
//
// A panel is [K][Vectors * lanes]: `Vectors` vectors of output columns, for k = 0 .. K-1 one after the other, zero where a column does not exist.
// Every output element is one chain of fma over ascending k from zero. Tiles, tails, batch and threads change which elements are computed
// together and never this chain: the same row gives the same bits in any company.
#pragma once

#include "vector.hpp"

namespace gatewise::GATEWISE_LEVEL {

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kAccumulators = 24;  // of 32 registers
#else
inline constexpr int kAccumulators = 12;  // of 16
#endif

// The most rows of a tile with so many vectors; twelve chains are enough to hide the latency of fma.
template <int Vectors>
inline constexpr int kTileRows = kAccumulators / Vectors < 12 ? kAccumulators / Vectors : 12;

// Vectors of a panel where nothing but the tile's shape matters: six rows, whatever the registers.
inline constexpr int kPanelVectors = kAccumulators / 6;

template <class Element, int count>
using Array = Element[static_cast<std::size_t>(count)];

// sums[r][v] = sum over k of rows[r][k] * panels[k][v], where v counts the vectors of `Panels` panels; `to_next` lies between the panels.
// The pragmas are what keeps `sums` in registers: GCC sees through an array only if its indices are constants early enough.
template <class V, int Rows, int Vectors, int Panels>
GATEWISE_INLINE void multiply(const Array<const Scalar<V>*, Rows>& rows, const Scalar<V>* panel, std::ptrdiff_t K,
                              std::ptrdiff_t to_next, Array<Array<V, Vectors * Panels>, Rows>& sums) {
    constexpr int all = Vectors * Panels;
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 12
        for (int v = 0; v < all; ++v) sums[r][v] = V{};
    }
    // Whichever operand needs fewer registers stays in them for the step; the other streams through one. Four steps at a time: small tiles have
    // little work in one for what its end costs, and two programs that share a core have half its instructions each.
    if constexpr (all <= Rows) {
#pragma GCC unroll 4
        for (std::ptrdiff_t k = 0; k < K; ++k, panel += Vectors * kLanes<V>) {
            Array<V, all> columns;
#pragma GCC unroll 12
            for (int v = 0; v < all; ++v) columns[v] = load<V>(panel + v / Vectors * to_next + v % Vectors * kLanes<V>);
#pragma GCC unroll 12
            for (int r = 0; r < Rows; ++r) {
                const V value = splat<V>(rows[r][k]);
#pragma GCC unroll 12
                for (int v = 0; v < all; ++v) sums[r][v] = fma(value, columns[v], sums[r][v]);
            }
        }
    } else {
#pragma GCC unroll 4
        for (std::ptrdiff_t k = 0; k < K; ++k, panel += Vectors * kLanes<V>) {
            Array<V, Rows> values;
#pragma GCC unroll 12
            for (int r = 0; r < Rows; ++r) values[r] = splat<V>(rows[r][k]);
#pragma GCC unroll 12
            for (int v = 0; v < all; ++v) {
                const V column = load<V>(panel + v / Vectors * to_next + v % Vectors * kLanes<V>);
#pragma GCC unroll 12
                for (int r = 0; r < Rows; ++r) sums[r][v] = fma(values[r], column, sums[r][v]);
            }
        }
    }
}

// From `begin` to before `end`.
struct Span {
    std::ptrdiff_t begin, end;
};

// Calls tile.run<rows, 1>(first, panel).
template <int MostRows, class Tile>
GATEWISE_INLINE void run_tile(std::ptrdiff_t rows, const Tile& tile, std::ptrdiff_t first, std::ptrdiff_t panel) {
    if constexpr (MostRows > 1) {
        if (rows < MostRows) return run_tile<MostRows - 1>(rows, tile, first, panel);
    }
    tile.template run<MostRows, 1>(first, panel);
}

// Which way up to three rows walk over the panels. Who comes to the same ones again and again turns round each time: those that were used last are
// still in the nearest cache (12 to 18 % of the time of one LSTM sequence). For more rows it makes no difference.
enum class Walk { upwards, downwards };

// The i-th of `count` on a walk.
GATEWISE_INLINE std::ptrdiff_t place_on(Walk walk, std::ptrdiff_t i, std::ptrdiff_t count) { return walk == Walk::upwards ? i : count - 1 - i; }

// Few rows are too few chains to hide the latency of fma (eight do): they take several panels at a time.
template <int Rows, class Tile>
GATEWISE_INLINE void run_few_rows(const Tile& tile, std::ptrdiff_t first, Span panels, Walk walk) {
    constexpr int chains = Rows * Tile::kVectors, together = (8 + chains - 1) / chains;
    const std::ptrdiff_t groups = (panels.end - panels.begin) / together;
    for (std::ptrdiff_t i = 0; i < groups; ++i) tile.template run<Rows, together>(first, panels.begin + place_on(walk, i, groups) * together);
    for (std::ptrdiff_t p = panels.begin + groups * together; p < panels.end; ++p) tile.template run<Rows, 1>(first, p);
}

// How many of `count` belong to the i-th of so many parts that are as even as they can be.
GATEWISE_INLINE std::ptrdiff_t even_share(std::ptrdiff_t count, std::ptrdiff_t parts, std::ptrdiff_t i) {
    return count / parts + (i < count % parts ? 1 : 0);
}

// Covers rows begin .. end-1 of some panels with tiles that are as even as they can be: 7 rows are 4 + 3, never 6 + 1.
template <class Tile>
GATEWISE_INLINE void for_each_tile(std::ptrdiff_t begin, std::ptrdiff_t end, Span panels, const Tile& tile, Walk walk = Walk::upwards) {
    constexpr int most = kTileRows<Tile::kVectors>;
    const std::ptrdiff_t count = end - begin;
    if (count == 1) return run_few_rows<1>(tile, begin, panels, walk);
    if (count == 2) return run_few_rows<2>(tile, begin, panels, walk);
    if (count == 3) return run_few_rows<3>(tile, begin, panels, walk);
    const std::ptrdiff_t tiles = (count + most - 1) / most;
    for (std::ptrdiff_t p = panels.begin; p < panels.end; ++p) {
        std::ptrdiff_t first = begin;
        for (std::ptrdiff_t i = 0; i < tiles; ++i) {
            const std::ptrdiff_t rows = even_share(count, tiles, i);
            run_tile<most>(rows, tile, first, p);
            first += rows;
        }
    }
}

}  // namespace gatewise::GATEWISE_LEVEL
