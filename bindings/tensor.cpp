#include "tensor.hpp"

#include <nanobind/ndarray.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>

namespace nb = nanobind;

namespace gatewise::bindings {
namespace {

// DLPack's table of C functions for quick exchange (dlpack.h, DLPackExchangeAPI), as far as we read it; torch has it since 2.10. A dozen
// tensors take a microsecond through it. Asked for their addresses and strides in Python they take ten, as long as a small layer computes.
struct ExchangeTable {
    std::uint32_t major, minor;
    const ExchangeTable* older;                            // prev_api
    void *allocator, *from_object, *to_object;             // managed_tensor_allocator, _from_py_object_no_sync, _to_py_object_no_sync
    int (*view)(void* object, nb::dlpack::dltensor* out);  // dltensor_from_py_object_no_sync; may be null
    void* stream;                                          // current_work_stream
};

struct Torch {
    PyTypeObject *tensor, *parameter;    // the types
    PyObject* is_neg;                    // Tensor.is_neg
    decltype(ExchangeTable::view) view;  // null: this torch has none
};

const Torch* find_torch() {
    const nb::object torch = nb::module_::import_("torch"), type = torch.attr("Tensor");
    decltype(ExchangeTable::view) view = nullptr;
    if (nb::hasattr(type, "__dlpack_c_exchange_api__")) {
        const auto capsule = nb::cast<nb::capsule>(type.attr("__dlpack_c_exchange_api__"));
        const auto* table = static_cast<const ExchangeTable*>(capsule.data("dlpack_exchange_api"));
        while (table != nullptr && table->major > 1) table = table->older;
        if (table != nullptr) view = table->view;
    }
    const auto keep = [](nb::object object) { return object.release().ptr(); };
    return new Torch{.tensor = reinterpret_cast<PyTypeObject*>(keep(type)),
                     .parameter = reinterpret_cast<PyTypeObject*>(keep(torch.attr("nn").attr("Parameter"))),
                     .is_neg = keep(type.attr("is_neg")),
                     .view = view};
}

// Found once and never freed, since the interpreter may end before us. No local static: a thread that waits for another's to be made would
// hold the lock that an import needs.
const Torch& torch() {
    static std::atomic<const Torch*> known{nullptr};
    const Torch* found = known.load(std::memory_order_acquire);
    if (found == nullptr) {
        found = find_torch();
        known.store(found, std::memory_order_release);
    }
    return *found;
}

// Some tensors have elements and no memory for them: zeros that nobody has written down, wrappers of functionalization.
bool has_memory(const void* data, const auto& shape, std::size_t rank) {
    return data != nullptr || std::find(shape, shape + rank, 0) != shape + rank;
}

bool view_of_torch(decltype(ExchangeTable::view) view, nb::handle object, Tensor& tensor) {
    nb::dlpack::dltensor seen;
    if (view(object.ptr(), &seen) != 0) throw nb::python_error();
    const auto rank = static_cast<std::size_t>(seen.ndim);
    if (rank > tensor.shape.size() || !has_memory(seen.data, seen.shape, rank)) return false;
    tensor.data = static_cast<char*>(seen.data) + seen.byte_offset;
    tensor.rank = rank;
    std::copy_n(seen.shape, rank, tensor.shape.begin());
    std::copy_n(seen.strides, rank, tensor.strides.begin());
    return true;
}

// What has no such table, as an older torch: the same in Python.
bool asked_in_python(nb::handle object, Tensor& tensor) {
    const auto shape = nb::cast<nb::tuple>(object.attr("shape")), strides = nb::cast<nb::tuple>(object.attr("stride")());
    if (shape.size() > tensor.shape.size()) return false;
    tensor.data = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(object.attr("data_ptr")()));
    tensor.rank = shape.size();
    for (std::size_t axis = 0; axis < tensor.rank; axis++) {
        tensor.shape[axis] = nb::cast<std::ptrdiff_t>(shape[axis]);
        tensor.strides[axis] = nb::cast<std::ptrdiff_t>(strides[axis]);
    }
    return has_memory(tensor.data, tensor.shape.begin(), tensor.rank);
}

const Torch& torch_with_table() {
    const Torch& known = torch();
    if (known.view == nullptr) throw std::logic_error("this torch has no exchange table");
    return known;
}

// What it is goes to `seen`.
bool is_plain(const Torch& known, nb::handle tensor, bool is_double, nb::dlpack::dltensor& seen) {
    const PyTypeObject* const type = Py_TYPE(tensor.ptr());
    if (type != known.tensor && type != known.parameter) return false;
    if (known.view(tensor.ptr(), &seen) != 0) {  // it is sparse, a wrapper that a transform has left, or something else without an address
        PyErr_Clear();
        return false;
    }
    if (!has_memory(seen.data, seen.shape, static_cast<std::size_t>(seen.ndim))) return false;
    const bool is_on_cpu = seen.device.device_type == nb::device::cpu::value;
    const bool is_floating = seen.dtype.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float);
    if (!is_on_cpu || !is_floating || seen.dtype.bits != (is_double ? 64 : 32)) return false;
    return !nb::cast<bool>(nb::handle(known.is_neg)(tensor));
}

bool has_shape(const nb::dlpack::dltensor& tensor, const nb::tuple& shape) {
    return std::equal(shape.begin(), shape.end(), tensor.shape, tensor.shape + tensor.ndim,
                      [](nb::handle expected, std::int64_t size) { return nb::cast<std::int64_t>(expected) == size; });
}

}  // namespace

bool read_tensor(nb::handle object, Tensor& tensor) noexcept {
    if (object.is_none()) {
        tensor = {};
        return true;
    }
    try {
        const Torch& known = torch();
        // Not isinstance, for which torch's metaclass runs Python.
        const bool is_torch = PyType_IsSubtype(Py_TYPE(object.ptr()), known.tensor) != 0;
        return is_torch && known.view != nullptr ? view_of_torch(known.view, object, tensor) : asked_in_python(object, tensor);
    } catch (const std::exception&) {  // no tensor, or none that has an address: the caller says that the argument does not fit
        return false;
    }
}

bool are_plain(const Tensors& tensors, bool is_double) {
    const Torch& known = torch_with_table();
    nb::dlpack::dltensor seen;
    return std::all_of(tensors.begin(), tensors.end(), [&](nb::handle tensor) { return is_plain(known, tensor, is_double, seen); });
}

bool are_plain_of_shapes(const TensorRows& rows, const RowShapes& shapes, bool is_double) {
    const Torch& known = torch_with_table();
    if (rows.size() != shapes.size()) return false;
    for (std::size_t row = 0; row < rows.size(); row++) {
        const auto tensors = nb::cast<nb::list>(rows[row]);
        const auto expected = nb::cast<nb::tuple>(shapes[row]);
        if (tensors.size() != expected.size()) return false;
        for (std::size_t k = 0; k < tensors.size(); k++) {
            nb::dlpack::dltensor seen;
            if (!is_plain(known, tensors[k], is_double, seen) || !has_shape(seen, nb::cast<nb::tuple>(expected[k]))) return false;
        }
    }
    return true;
}

bool has_exchange_table() { return torch().view != nullptr; }

}  // namespace gatewise::bindings
