// Memory for what a kernel hands out at every row of a call: a tensor of it is made only where somebody reads it.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "tensor.hpp"

namespace gatewise::bindings {

class RowMemory {
public:
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
    NB_TYPE_CASTER(gatewise::bindings::Written, const_name("torch.Tensor | RowMemory"))

    bool from_python(handle object, std::uint32_t, cleanup_list*) noexcept {
        const gatewise::bindings::RowMemory* memory = nullptr;
        if (object.is_none() || !try_cast(object, memory)) return gatewise::bindings::read_tensor(object, value);
        value = {memory->tensor()};
        return true;
    }
};
