#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "register.hpp"
#include "row_memory.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace gatewise::bindings {
namespace {

constexpr const char* kCapsule = "gatewise.RowMemory";

// Columns from row to row: whole cache lines, which the kernels can write past the caches, if they are not much more than the columns.
std::ptrdiff_t stride_of(std::ptrdiff_t columns, std::ptrdiff_t line) {
    const std::ptrdiff_t lines = (columns + line - 1) / line * line;
    return lines <= columns + columns / 2 ? lines : columns;
}

nb::object tensor_of(const nb::capsule& capsule) {
    const auto& memory = *static_cast<const RowMemory*>(capsule.data(kCapsule));
    const Tensor& tensor = memory.tensor();
    std::array<std::size_t, 3> shape{};
    std::array<std::int64_t, 3> strides{};
    std::copy_n(tensor.shape.begin(), tensor.rank, shape.begin());
    std::copy_n(tensor.strides.begin(), tensor.rank, strides.begin());
    const auto dtype = memory.is_double() ? nb::dtype<double>() : nb::dtype<float>();
    return nb::ndarray<nb::pytorch>(tensor.data, tensor.rank, shape.data(), capsule, strides.data(), dtype).cast();
}

}  // namespace

RowMemory::RowMemory(const Tensor& like, std::ptrdiff_t columns, bool is_double) : is_double_(is_double) {
    tensor_.rank = like.rank - (columns == 0);
    std::copy_n(like.shape.begin(), like.rank - 1, tensor_.shape.begin());
    const std::size_t element = is_double ? sizeof(double) : sizeof(float);
    std::ptrdiff_t elements = 1;
    if (columns > 0) {
        tensor_.shape[like.rank - 1] = columns;
        tensor_.strides[like.rank - 1] = 1;
        elements = stride_of(columns, kLine / static_cast<std::ptrdiff_t>(element));
    }
    for (std::size_t axis = like.rank - 1; axis-- > 0;) {
        tensor_.strides[axis] = elements;
        elements *= tensor_.shape[axis];
    }
    memory_.reset(::operator new(static_cast<std::size_t>(elements) * element, std::align_val_t{kLine}));
    tensor_.data = memory_.get();
}

nb::object handed_out(std::unique_ptr<RowMemory> memory) {
    if (memory == nullptr) return nb::none();
    nb::capsule capsule(memory.get(), kCapsule, [](void* of) noexcept { delete static_cast<RowMemory*>(of); });
    memory.release();
    return capsule;
}

void register_memory(nb::module_& module) {
    module.def("tensor_of", &tensor_of, "memory"_a, nb::sig("def tensor_of(memory: object) -> torch.Tensor"),
               "What a backward handed out, as a tensor, which keeps it alive.");
}

}  // namespace gatewise::bindings
