// Memory for what a kernel hands out at every row of a call: a tensor of it is made only where somebody reads it.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <memory>
#include <new>

#include "tensor.hpp"

namespace gatewise::bindings {

class RowMemory {
public:
    // As many rows as `like` (T, N, *) or (R, *) has, of so many columns, at least 0; of 0, one number a row and no such axis.
    RowMemory(const Tensor& like, std::ptrdiff_t columns, bool is_double);

    const Tensor& tensor() const { return tensor_; }
    bool is_double() const { return is_double_; }

private:
    static constexpr std::ptrdiff_t kLine = 64;  // bytes

    struct Free {
        void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{kLine}); }
    };

    std::unique_ptr<void, Free> memory_;
    Tensor tensor_;
    bool is_double_;
};

// In a capsule, None for none: torch never lets go of what its nodes hold when the interpreter ends, and of instances of a class nanobind would
// report that they leaked.
nanobind::object handed_out(std::unique_ptr<RowMemory> memory);

}  // namespace gatewise::bindings
