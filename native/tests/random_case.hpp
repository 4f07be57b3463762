// Random sizes, strides and options of one layer and direction, the same for a seed everywhere.
#pragma once

#include <algorithm>
#include <random>
#include <sstream>
#include <string>

#include "fenced_array.hpp"
#include "plain_layer.hpp"

namespace gatewise::tests {

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}

    // std::uniform_*_distribution gives other numbers in every standard library.
    Index below(Index bound) { return static_cast<Index>(engine_() % static_cast<std::mt19937_64::result_type>(bound)); }
    bool one_in(Index n) { return below(n) == 0; }
    double between_minus_one_and_one() { return static_cast<double>(engine_() >> 11) * 0x1p-52 - 1; }

    Numbers numbers(Index count, double bound) {
        Numbers drawn(static_cast<std::size_t>(count));
        for (double& number : drawn) number = bound * between_minus_one_and_one();
        return drawn;
    }

private:
    std::mt19937_64 engine_;
};

// How an array that a caller hands over lies in memory.
enum class Order { time_major, batch_first, expanded };

struct Case {
    Cell cell;
    Sizes size;
    bool is_reverse = false, is_ragged = false, is_packed = false;
    std::vector<std::int64_t> lengths{}, offsets{};  // lengths of all T where not ragged
    int parts = 1, groups = 1;
    bool is_packed_apart = false, is_projected_ahead = false;
    Index gap = 0;  // elements between rows of strided arrays
    Order x_order = Order::time_major, y_order = Order::time_major, dy_order = Order::time_major;
    bool is_state_expanded = false, is_dy_row_constant = false, are_totals_on_lines = false;
    // What a caller may leave out.
    bool has_b_ih = true, has_b_hh = true, has_h_0 = true, has_c_0 = true, keeps = true;
    bool has_dy = true, has_dh_n = true, has_dc_n = true, has_dkept = false, wants_totals = false, wants_norms = false;
    bool wants_dW_ih = true, wants_dW_hh = true, wants_db_ih = true, wants_db_hh = true, wants_dx = true, is_dx_added = false,
         wants_initial = true;

    Index row_of(Index t, Index n) const {  // of a [R,K] array
        if (!is_packed) return t * size.N + n;
        return t < lengths[static_cast<std::size_t>(n)] ? offsets[static_cast<std::size_t>(t)] + n : Rows::kNoRow;
    }

    // [R,columns], contiguous.
    Rows contiguous(Index columns) const { return strided_rows(columns, columns, size.N * columns, columns, false); }

    // [T,N,columns] strided. Where `is_only_read`, steps past a sequence's end may not be touched.
    Rows strided(Index columns, Order order, bool is_only_read) const {
        const Index width = columns + gap;
        if (is_packed) return strided_rows(columns, width, 0, width, is_only_read);
        if (order == Order::expanded) return strided_rows(columns, width, width, 0, is_only_read);
        if (order == Order::batch_first) return strided_rows(columns, width, width, size.T * width + gap, is_only_read);
        return strided_rows(columns, width, size.N * width + gap, width, is_only_read);
    }

    // How far apart rows of total gradients lie.
    template <class T>
    Index width(Index columns) const {
        constexpr Index line = 64 / Index{sizeof(T)};
        return are_totals_on_lines ? (columns + line - 1) / line * line : columns;
    }

    // dy: [T,N,P] strided, or one number a row.
    Rows dy_rows() const { return strided(is_dy_row_constant ? 1 : size.P, dy_order, true); }

    // [N,columns] strided.
    Rows states(Index columns) const {
        Rows rows{.columns = columns, .starts = {}, .sequence = is_state_expanded ? 0 : columns + gap};
        for (Index n = 0; n < size.N; ++n) rows.starts.push_back(n * rows.sequence);
        return rows;
    }

    // On one thread, or on several: then the products have more than there are parts, since they are not bound to the number of sequences.
    Division division(bool has_threads) const {
        const int product_threads = has_threads ? parts + 3 : 1;
        const int slices = has_threads ? 1 + product_threads / groups : 1;
        return {.parts = has_threads ? parts : 1,
                .is_projected_ahead = has_threads && size.N == 1 && is_projected_ahead,
                .groups = groups,
                .slices = slices,
                .product_threads = product_threads,
                .is_packed_apart = is_packed_apart};
    }

    std::string text() const {
        static const char* const names[] = {"rnn_tanh", "rnn_relu", "lstm", "gru"};
        std::ostringstream out;
        out << names[static_cast<int>(cell)] << " T=" << size.T << " N=" << size.N << " I=" << size.I << " H=" << size.H << " P=" << size.P
            << (is_reverse ? " reverse" : "") << (is_packed ? " packed" : "") << " parts=" << parts << " groups=" << groups
            << (is_packed_apart ? " apart" : "") << (is_projected_ahead ? " ahead" : "") << " gap=" << gap;
        if (is_ragged) out << " lengths";
        for (std::size_t n = 0; is_ragged && n < lengths.size(); ++n) out << (n ? "," : "=") << lengths[n];
        return out.str();
    }

private:
    Rows strided_rows(Index columns, Index packed, Index step, Index sequence, bool is_only_read) const {
        Rows rows{.columns = columns, .starts = {}, .step = step, .sequence = is_packed ? packed : sequence};
        for (Index t = 0; t < size.T; ++t) {
            for (Index n = 0; n < size.N; ++n) {
                const bool is_missing = (is_packed || is_only_read) && t >= lengths[static_cast<std::size_t>(n)];
                rows.starts.push_back(is_missing ? Rows::kNoRow : is_packed ? row_of(t, n) * packed : t * step + n * sequence);
            }
        }
        return rows;
    }
};

inline void draw_lengths(Case& drawn, Random& random) {
    drawn.lengths.assign(static_cast<std::size_t>(drawn.size.N), drawn.size.T);
    drawn.is_packed = random.one_in(4);
    drawn.is_ragged = drawn.is_packed || random.one_in(2);
    if (!drawn.is_ragged) return;
    const Index shortest = drawn.is_packed ? 1 : 0;  // torch packs no empty sequence
    for (std::int64_t& length : drawn.lengths) length = shortest + random.below(drawn.size.T + 1 - shortest);
    if (!drawn.is_packed) return;
    std::sort(drawn.lengths.rbegin(), drawn.lengths.rend());
    drawn.size.T = drawn.lengths.front();
    Index row = 0;
    for (Index t = 0; t < drawn.size.T; ++t) {
        drawn.offsets.push_back(row);
        row += std::count_if(drawn.lengths.begin(), drawn.lengths.end(), [&](std::int64_t length) { return length > t; });
    }
}

// Small, but on both sides of every vector's, tile's and panel's width.
inline Sizes draw_sizes(Cell cell, Random& random) {
    static constexpr Index widths[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49};
    const auto draw = [&] { return random.one_in(2) ? 1 + random.below(40) : widths[random.below(std::size(widths))]; };
    const Index N = 1 + (random.one_in(6) ? 40 + random.below(70) : random.below(14));  // now and then more than are multiplied together
    Sizes size{.T = 1 + random.below(7), .N = N, .I = draw(), .H = draw(), .P = 0, .has_projection = false};
    size.has_projection = cell == Cell::lstm && size.H > 1 && random.one_in(3);
    size.P = size.has_projection ? 1 + random.below(size.H - 1) : size.H;
    return size;
}

inline Case draw_case(Cell cell, Sizes size, Random& random) {
    Case drawn{.cell = cell, .size = size};
    drawn.is_reverse = random.one_in(2);
    draw_lengths(drawn, random);
    drawn.parts = static_cast<int>(1 + random.below(std::min<Index>(3, size.N)));
    drawn.groups = static_cast<int>(1 + random.below(std::min<Index>(3, size.N)));
    drawn.is_packed_apart = random.one_in(2);
    drawn.is_projected_ahead = random.one_in(2);
    drawn.gap = random.one_in(3) ? 0 : 1 + random.below(9);
    drawn.x_order = static_cast<Order>(random.below(3));
    drawn.y_order = static_cast<Order>(random.below(2));  // what is written cannot be expanded
    drawn.dy_order = static_cast<Order>(random.below(3));
    drawn.keeps = !random.one_in(8);
    drawn.is_state_expanded = random.one_in(4);
    drawn.is_dy_row_constant = random.one_in(4);
    drawn.are_totals_on_lines = random.one_in(2);
    for (bool* is_rarely_off : {&drawn.has_b_ih, &drawn.has_b_hh, &drawn.has_h_0, &drawn.has_c_0, &drawn.has_dy, &drawn.has_dh_n, &drawn.has_dc_n,
                                &drawn.wants_initial, &drawn.wants_dW_ih, &drawn.wants_dW_hh, &drawn.wants_db_ih, &drawn.wants_db_hh,
                                &drawn.wants_dx}) {
        *is_rarely_off = !random.one_in(5);
    }
    for (bool* option : {&drawn.has_dkept, &drawn.wants_totals, &drawn.wants_norms, &drawn.is_dx_added}) {
        *option = random.one_in(2);
    }
    return drawn;
}

}  // namespace gatewise::tests
