// The workspace of a kernel: packed weights, then a place of its own for each part, in elements.
#pragma once

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

// A part's share of so many panels: those from `begin` to `end`, all where it packs for itself.
struct PackShare {
    std::ptrdiff_t begin, end;

    PackShare(std::ptrdiff_t panels, int part, int parts, bool is_packed_apart)
        : begin(is_packed_apart ? 0 : panels * part / parts), end(is_packed_apart ? panels : panels * (part + 1) / parts) {}
};

}  // namespace gatewise::GATEWISE_LEVEL
