// Memory for what a kernel hands out at every row of a call: a tensor of it is made only where somebody reads it.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "tensor.hpp"

namespace gatewise::bindings {

// Python has it in a capsule: torch never lets go of what its nodes hold when the interpreter ends, and of instances of a class nanobind would
// report that they leaked.
class RowMemory {
public:
    static constexpr const char* kName = "gatewise.RowMemory";

    // As many rows as `like` (T, N, *) or (R, *) has, of so many columns; of 0, one number a row and no such axis.
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

// A tensor or row memory, as the argument of a function that writes it.
struct Written : Tensor {};

}  // namespace gatewise::bindings

template <>
struct nanobind::detail::type_caster<gatewise::bindings::Written> {
    NB_TYPE_CASTER(gatewise::bindings::Written, const_name("torch.Tensor | object"))

    bool from_python(handle object, std::uint32_t, cleanup_list*) noexcept {
        using gatewise::bindings::RowMemory;
        if (!PyCapsule_IsValid(object.ptr(), RowMemory::kName)) return gatewise::bindings::read_tensor(object, value);
        value = {static_cast<const RowMemory*>(PyCapsule_GetPointer(object.ptr(), RowMemory::kName))->tensor()};
        return true;
    }
};
