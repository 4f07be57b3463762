// What the kernels need to know of a torch tensor, read as the argument of a bound function.
#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <cstddef>

namespace gatewise::bindings {

// A view of a tensor of at most three axes, valid during the call that it is an argument of. None is a view of nothing.
struct Tensor {
    void* data = nullptr;  // null: None, or no elements
    std::size_t rank = 0;
    std::array<std::ptrdiff_t, 3> shape{}, strides{};  // strides in elements

    template <class T>
    T* begin() const {
        return static_cast<T*>(data);
    }
};

// Whether `object` is a tensor of at most three axes or None; what it is goes to `tensor`.
bool read_tensor(nanobind::handle object, Tensor& tensor) noexcept;

}  // namespace gatewise::bindings

template <>
struct nanobind::detail::type_caster<gatewise::bindings::Tensor> {
    NB_TYPE_CASTER(gatewise::bindings::Tensor, const_name("torch.Tensor"))

    bool from_python(handle object, std::uint32_t, cleanup_list*) noexcept { return gatewise::bindings::read_tensor(object, value); }
};

namespace gatewise::bindings {

// Whether torch shows its tensors without a detour through Python.
bool has_exchange_table();

using Tensors = nanobind::typed<nanobind::list, Tensor>;

// Whether all are tensors or parameters proper, dense, on the CPU, of the type and no negated views. Needs the table.
bool are_plain(const Tensors& tensors, bool is_double);

using TensorRows = nanobind::typed<nanobind::list, Tensors>;
using Shape = nanobind::typed<nanobind::tuple, int, nanobind::ellipsis>;
using RowShapes = nanobind::typed<nanobind::tuple, nanobind::typed<nanobind::tuple, Shape, nanobind::ellipsis>, nanobind::ellipsis>;

// Whether all tensors of all rows are so and have these shapes.
bool are_plain_of_shapes(const TensorRows& rows, const RowShapes& shapes, bool is_double);

}  // namespace gatewise::bindings
