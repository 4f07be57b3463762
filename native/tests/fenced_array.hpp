// An array on the heap of exactly the size that its rows need, with a fence behind every row and in every row that nobody may touch. Under
// AddressSanitizer a read or write on a fence ends the program; without it fences hold NaN, which spreads where it is read, and
// `check_fences` tells where it was overwritten.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define GATEWISE_HAS_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GATEWISE_HAS_ASAN
#endif
#endif
#ifdef GATEWISE_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace gatewise::tests {

// Where the rows of an array lie, in elements: rows may overlap (an expanded array) and may be missing (kNoRow).
struct Rows {
    static constexpr std::ptrdiff_t kNoRow = -1;
    std::ptrdiff_t columns;
    std::vector<std::ptrdiff_t> starts;
    std::ptrdiff_t step = 0, sequence = 0;  // the strides that a kernel gets
};

template <class T>
class FencedArray {
public:
    explicit FencedArray(Rows rows) : rows_(std::move(rows)) {
        for (const std::ptrdiff_t start : rows_.starts) {
            if (start != Rows::kNoRow) size_ = std::max(size_, start + rows_.columns);
        }
        data_.reset(static_cast<T*>(::operator new(sizeof(T) * static_cast<std::size_t>(size_), kAlignment)));
        std::fill(data_.get(), data_.get() + size_, std::numeric_limits<T>::quiet_NaN());
        close_fences();
    }

    T* data() { return data_.get(); }
    std::ptrdiff_t step() const { return rows_.step; }
    std::ptrdiff_t sequence() const { return rows_.sequence; }

    // Row after row, each number rounded to T.
    void set(const std::vector<double>& values) {
        auto value = values.begin();
        for (const std::ptrdiff_t start : rows_.starts) {
            for (std::ptrdiff_t k = 0; k < rows_.columns; ++k, ++value) {
                if (start != Rows::kNoRow) data_.get()[start + k] = static_cast<T>(*value);
            }
        }
    }

    // Row after row; a missing one reads as zeros.
    std::vector<double> get() const {
        std::vector<double> values;
        for (const std::ptrdiff_t start : rows_.starts) {
            for (std::ptrdiff_t k = 0; k < rows_.columns; ++k) {
                values.push_back(start == Rows::kNoRow ? 0 : static_cast<double>(data_.get()[start + k]));
            }
        }
        return values;
    }

    // Throws where an element between two rows was overwritten; `name` is the array's.
    void check_fences(const std::string& name) {
        open_fences();
        std::vector<bool> is_fence(static_cast<std::size_t>(size_), true);
        for (const std::ptrdiff_t start : rows_.starts) {
            if (start != Rows::kNoRow) std::fill_n(is_fence.begin() + start, rows_.columns, false);
        }
        for (std::ptrdiff_t k = 0; k < size_; ++k) {
            const bool is_written = is_fence[static_cast<std::size_t>(k)] && !std::isnan(data_.get()[k]);
            if (is_written) throw std::runtime_error(name + " was written between its rows");
        }
        close_fences();
    }

private:
    static constexpr std::align_val_t kAlignment{64};
    struct Free {
        void operator()(T* data) const { ::operator delete(data, kAlignment); }
    };

    void close_fences() {
#ifdef GATEWISE_HAS_ASAN
        ASAN_POISON_MEMORY_REGION(data_.get(), sizeof(T) * static_cast<std::size_t>(size_));
        for (const std::ptrdiff_t start : rows_.starts) {
            if (start != Rows::kNoRow) ASAN_UNPOISON_MEMORY_REGION(data_.get() + start, sizeof(T) * static_cast<std::size_t>(rows_.columns));
        }
#endif
    }

    void open_fences() {
#ifdef GATEWISE_HAS_ASAN
        ASAN_UNPOISON_MEMORY_REGION(data_.get(), sizeof(T) * static_cast<std::size_t>(size_));
#endif
    }

    Rows rows_;
    std::ptrdiff_t size_ = 0;
    std::unique_ptr<T, Free> data_;
};

}  // namespace gatewise::tests
