// The workspace of a kernel: packed weights, then a place of its own for each part, in elements.
#pragma once

#include "gemm.hpp"
#include "steps.hpp"

namespace gatewise::GATEWISE_LEVEL {

template <class S>
struct Workspace {
    static constexpr std::ptrdiff_t kAlign = 64 / std::ptrdiff_t{sizeof(S)};
    // Between the parts: a processor that sees lines read in a row fetches the next ones too, and takes them from a core that writes there.
    static constexpr std::ptrdiff_t kGap = 1024 / std::ptrdiff_t{sizeof(S)};

    std::ptrdiff_t weights_size = 0, part_size = 0, copies = 0, parts = 0;

    void divide(std::ptrdiff_t of_weights, std::ptrdiff_t of_part, int num_parts, int num_copies) {
        weights_size = rounded_up(of_weights, kAlign);
        part_size = rounded_up(of_part, kAlign) + kGap;
        copies = num_copies;
        parts = num_parts;
    }

    std::ptrdiff_t size() const { return copies * weights_size + parts * part_size; }

    // The packed weights that a part reads.
    S* weights(S* work, int part) const { return work + (copies > 1 ? part * weights_size : 0); }

    S* own(S* work, int part) const { return work + copies * weights_size + part * part_size; }
};

// A part's share of so many panels; the only part has all.
GATEWISE_INLINE Span panels_of(std::ptrdiff_t panels, int part, int parts) {
    if (parts == 1) return {0, panels};
    return {panels * part / parts, panels * (part + 1) / parts};
}

// The units of a part, in whole lines: all, or a share of them.
template <class S>
GATEWISE_INLINE Span units_of(const Division& division, std::ptrdiff_t H, int part) {
    if (!division.shares_units) return {0, H};
    constexpr std::ptrdiff_t line = Workspace<S>::kAlign;
    const Span lines = panels_of((H + line - 1) / line, part, division.parts);
    return {lines.begin * line < H ? lines.begin * line : H, lines.end * line < H ? lines.end * line : H};
}

// How many units a part has at most.
template <class S>
GATEWISE_INLINE std::ptrdiff_t most_units(const Division& division, std::ptrdiff_t H) {
    if (!division.shares_units) return H;
    constexpr std::ptrdiff_t line = Workspace<S>::kAlign;
    const std::ptrdiff_t lines = (H + line - 1) / line;
    return (lines + division.parts - 1) / division.parts * line;
}

// How many sequences a part has at most.
GATEWISE_INLINE std::ptrdiff_t most_sequences(const Division& division, std::ptrdiff_t N) {
    return division.shares_units ? N : (N + division.parts - 1) / division.parts;
}

}  // namespace gatewise::GATEWISE_LEVEL
