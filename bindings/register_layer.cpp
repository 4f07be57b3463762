// One layer and direction, forward and backward, on tensors that gatewise._native, the only caller, has checked.
#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "layer.hpp"
#include "levels.hpp"
#include "register.hpp"
#include "row_memory.hpp"
#include "tensor.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace gatewise::bindings {
namespace {

using Stride = std::ptrdiff_t;  // in elements

// What a layer and direction is, checked once; calls pass its tensors.
struct Layer {
    Cell cell;
    Sizes size;
    bool is_double;
    int direction;  // 1 walks backwards in time
    Division division;

    Layer(int cell_number, bool is_double_, int direction_, Stride T, Stride N, Stride I, Stride H, Stride P, int max_threads)
        : size{.T = T, .N = N, .I = I, .H = H, .P = P > 0 ? P : H, .has_projection = P > 0}, is_double(is_double_), direction(direction_) {
        if (direction < 0 || direction > 1) throw std::invalid_argument("direction must be 0 or 1, got " + std::to_string(direction));
        for (const Stride number : {T, N, I, H}) {
            if (number < 1) throw std::invalid_argument("T, N, I and H must be at least 1, got " + std::to_string(number));
        }
        if (cell_number < 0 || cell_number >= kNumCells) {
            throw std::invalid_argument("cell must be between 0 and " + std::to_string(kNumCells - 1) + ", got " + std::to_string(cell_number));
        }
        cell = static_cast<Cell>(cell_number);
        if (P > 0 && cell != Cell::lstm) throw std::invalid_argument("P must be 0 for every cell but the LSTM, got " + std::to_string(P));
        division = division_of(size, cell, max_threads);
    }

    Stride first_column() const { return direction * size.P; }  // of this direction, in rows (D*P)
};

const Kernels& kernels() { return kernels_of(chosen_level()); }

template <class Of>
auto by_type(const Layer& layer, Of of) {
    return layer.is_double ? of(double{}) : of(float{});
}

Stride forward_work(const Layer& layer) {
    return by_type(layer, [&]<class T>(T) { return forward_work_of<T>(kernels(), layer.cell, layer.size, layer.division); });
}

Stride backward_work(const Layer& layer) {
    return by_type(layer, [&]<class T>(T) { return backward_work_of<T>(kernels(), layer.cell, layer.size, layer.division); });
}

void require_rank(const Tensor& tensor, std::size_t least) {
    if (tensor.rank < least) throw std::invalid_argument("expected " + std::to_string(least) + " axes or more, got " + std::to_string(tensor.rank));
}

// Of an axis that both directions share, a direction has its half: of D states the one, of a row (D*P) the columns.
template <class T>
Strided<T> states_of(const Tensor& tensor, const Layer& layer) {  // (D, N, *)
    if (tensor.data == nullptr) return {nullptr, 0, 0};
    require_rank(tensor, 3);
    return {tensor.begin<T>() + layer.direction * tensor.strides[0], 0, tensor.strides[1]};
}

template <class T>
Strided<T> rows_of(const Tensor& tensor, Stride column = 0) {  // (T, N, *), packed (R, *)
    if (tensor.data == nullptr) return {nullptr, 0, 0};
    require_rank(tensor, 2);
    return {tensor.begin<T>() + column, tensor.rank == 3 ? tensor.strides[0] : 0, tensor.strides[tensor.rank - 2]};
}

// Rows of an array that a direction has to itself, (T, N, *) or packed (R, *); steps follow each other without a gap.
template <class T>
Rows<T> own_rows_of(const RowMemory* memory) {
    if (memory == nullptr) return {nullptr, 0};
    const Tensor& tensor = memory->tensor();
    return {tensor.begin<T>(), tensor.strides[tensor.rank - 2]};
}

Steps steps_of(const Layer& layer, const Tensor& lengths, const Tensor& offsets) {
    return {.is_reverse = layer.direction == 1, .lengths = lengths.begin<const std::int64_t>(), .offsets = offsets.begin<const std::int64_t>()};
}

void forward(const Layer& layer, const Tensor& lengths, const Tensor& offsets, const Tensor& x, const Tensor& h_0, const Tensor& c_0,
             const Tensor& W_ih, const Tensor& W_hh, const Tensor& b_ih, const Tensor& b_hh, const Tensor& W_hr, const Tensor& y,
             const Tensor& h_n, const Tensor& c_n, const Tensor& kept, const Tensor& work) {
    by_type(layer, [&]<class T>(T) {
        const Forward<T> call = {
            .size = layer.size,
            .steps = steps_of(layer, lengths, offsets),
            .x = rows_of<const T>(x),
            .h_0 = states_of<const T>(h_0, layer),
            .c_0 = states_of<const T>(c_0, layer),
            .W_ih = W_ih.begin<const T>(),
            .W_hh = W_hh.begin<const T>(),
            .b_ih = b_ih.begin<const T>(),
            .b_hh = b_hh.begin<const T>(),
            .W_hr = W_hr.begin<const T>(),
            .y = rows_of<T>(y, layer.first_column()),
            .h_n = states_of<T>(h_n, layer).data,
            .c_n = states_of<T>(c_n, layer).data,
            .kept = kept.begin<T>(),
            .work = work.begin<T>(),
        };
        const nb::gil_scoped_release released;
        run_forward(kernels(), layer.cell, call, layer.division);
    });
}

using HandedOut = nb::typed<nb::tuple, nb::object, nb::object, nb::object, nb::object>;  // dh, dc, dh_norm, dc_norm

HandedOut backward(const Layer& layer, const Tensor& lengths, const Tensor& offsets, const Tensor& dy, const Tensor& dh_n, const Tensor& dc_n,
                   const Tensor& dkept, const Tensor& x, const Tensor& h_0, const Tensor& c_0, const Tensor& W_ih, const Tensor& W_hh,
                   const Tensor& W_hr, const Tensor& y, const Tensor& kept, const Tensor& dx, const Tensor& dh_0, const Tensor& dc_0,
                   const Tensor& dW_ih, const Tensor& dW_hh, const Tensor& db_ih, const Tensor& db_hh, bool wants_dh, bool wants_dc,
                   bool wants_norms, const Tensor& work) {
    require_rank(y, 2);
    const auto memory = [&](bool is_wanted, Stride columns, bool is_double) {
        return is_wanted ? std::make_unique<RowMemory>(y, columns, is_double) : nullptr;
    };
    const bool has_cell_state = layer.cell == Cell::lstm;
    auto dh = memory(wants_dh, layer.size.P, layer.is_double), dc = memory(wants_dc && has_cell_state, layer.size.H, layer.is_double);
    auto dh_norm = memory(wants_norms, 0, true), dc_norm = memory(wants_norms && has_cell_state, 0, true);
    // The gradient of a sum is expanded: one number is every column.
    const bool is_expanded = dy.data != nullptr && dy.rank > 0 && dy.strides[dy.rank - 1] == 0;
    by_type(layer, [&]<class T>(T) {
        const Backward<T> call = {
            .size = layer.size,
            .steps = steps_of(layer, lengths, offsets),
            .dy = rows_of<const T>(dy, is_expanded ? 0 : layer.first_column()),
            .dy_column = is_expanded ? 0 : 1,
            .dh_n = states_of<const T>(dh_n, layer),
            .dc_n = states_of<const T>(dc_n, layer),
            .dkept = dkept.begin<const T>(),
            .x = rows_of<const T>(x),
            .h_0 = states_of<const T>(h_0, layer),
            .c_0 = states_of<const T>(c_0, layer),
            .W_ih = W_ih.begin<const T>(),
            .W_hh = W_hh.begin<const T>(),
            .W_hr = W_hr.begin<const T>(),
            .y = rows_of<const T>(y, layer.first_column()),
            .kept = kept.begin<const T>(),
            .dx = rows_of<T>(dx),
            .is_dx_added = layer.direction == 1,
            .dh_0 = states_of<T>(dh_0, layer).data,
            .dc_0 = states_of<T>(dc_0, layer).data,
            .dW_ih = dW_ih.begin<T>(),
            .dW_hh = dW_hh.begin<T>(),
            .db_ih = db_ih.begin<T>(),
            .db_hh = db_hh.begin<T>(),
            .dh = own_rows_of<T>(dh.get()),
            .dc = own_rows_of<T>(dc.get()),
            .dh_norm = dh_norm ? dh_norm->tensor().begin<double>() : nullptr,
            .dc_norm = dc_norm ? dc_norm->tensor().begin<double>() : nullptr,
            .work = work.begin<T>(),
            .da = nullptr,
        };
        const nb::gil_scoped_release released;
        run_backward(kernels(), layer.cell, call, layer.division);
    });
    return HandedOut(
        nb::make_tuple(handed_out(std::move(dh)), handed_out(std::move(dc)), handed_out(std::move(dh_norm)), handed_out(std::move(dc_norm))));
}

}  // namespace

void register_layer(nb::module_& module) {
    nb::class_<Layer>(module, "Layer", "Cell, sizes and type of one layer and direction. cell: RNN_TANH, RNN_RELU, LSTM, GRU; P: 0 for no projection.")
        .def(nb::init<int, bool, int, Stride, Stride, Stride, Stride, Stride, int>(), "cell"_a, "is_double"_a, "direction"_a, "T"_a, "N"_a, "I"_a,
             "H"_a, "P"_a, "max_threads"_a)
        .def_prop_ro("parts", [](const Layer& layer) { return layer.division.parts; }, "How many threads share out its sequences.")
        .def_prop_ro("crew", [](const Layer& layer) { return layer.division.crew; },
                     "How many share out its units instead, where they can walk together; else 1.")
        .def("forward_work", &forward_work, "Elements of the workspace of `forward`.")
        .def("backward_work", &backward_work, "Elements of the workspace of `backward`.")
        .def("forward", &forward, "lengths"_a.none(), "offsets"_a.none(), "x"_a, "h_0"_a.none(), "c_0"_a.none(), "W_ih"_a, "W_hh"_a,
             "b_ih"_a.none(), "b_hh"_a.none(), "W_hr"_a.none(), "y"_a, "h_n"_a, "c_n"_a.none(), "kept"_a.none(), "work"_a,
             "All steps; native/recurrent.hpp says what each tensor is.")
        .def("backward", &backward, "lengths"_a.none(), "offsets"_a.none(), "dy"_a.none(), "dh_n"_a.none(), "dc_n"_a.none(), "dkept"_a.none(),
             "x"_a, "h_0"_a.none(), "c_0"_a.none(), "W_ih"_a, "W_hh"_a, "W_hr"_a.none(), "y"_a, "kept"_a.none(), "dx"_a.none(),
             "dh_0"_a.none(), "dc_0"_a.none(), "dW_ih"_a.none(), "dW_hh"_a.none(), "db_ih"_a.none(), "db_hh"_a.none(), "wants_dh"_a,
             "wants_dc"_a, "wants_norms"_a, "work"_a,
             "All gradients; native/recurrent.hpp says what each tensor is. Returns memory of dL/dh_t, dL/dc_t and their\n"
             "norms, None for what is not wanted.");
}

}  // namespace gatewise::bindings
