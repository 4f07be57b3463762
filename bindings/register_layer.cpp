// One layer and direction, forward and backward. Tensors come as addresses and strides: taking a dozen of torch's tensors through DLPack
// costs more than a small layer computes in (1, 100, 64, 64). gatewise._native, the only caller, reads both off tensors that it checked.
#include <nanobind/nanobind.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "layer.hpp"
#include "levels.hpp"
#include "register.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace gatewise::bindings {
namespace {

using Address = std::uintptr_t;  // 0: null
using Stride = std::ptrdiff_t;   // in elements

template <class T>
T* pointer(Address address) {
    return reinterpret_cast<T*>(address);
}

// What a layer and direction is, checked once; calls pass the addresses of its tensors.
struct Layer {
    Cell cell;
    Sizes size;
    bool is_double;
    Division division;

    Layer(int cell_number, bool is_double_, Stride T, Stride N, Stride I, Stride H, Stride P, int max_threads)
        : size{.T = T, .N = N, .I = I, .H = H, .P = P > 0 ? P : H, .has_projection = P > 0}, is_double(is_double_) {
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

Steps steps_of(bool is_reverse, Address lengths, Address offsets) {
    return {.is_reverse = is_reverse, .lengths = pointer<const std::int64_t>(lengths), .offsets = pointer<const std::int64_t>(offsets)};
}

void forward(const Layer& layer, bool is_reverse, Address lengths, Address offsets, Address x, Stride x_step, Stride x_sequence, Address h_0,
             Stride h_0_sequence, Address c_0, Stride c_0_sequence, Address W_ih, Address W_hh, Address b_ih, Address b_hh, Address W_hr,
             Address y, Stride y_step, Stride y_sequence, Address h_n, Address c_n, Address kept, Address work) {
    by_type(layer, [&]<class T>(T) {
        const Forward<T> call = {
            .size = layer.size,
            .steps = steps_of(is_reverse, lengths, offsets),
            .x = {pointer<const T>(x), x_step, x_sequence},
            .h_0 = {pointer<const T>(h_0), 0, h_0_sequence},
            .c_0 = {pointer<const T>(c_0), 0, c_0_sequence},
            .W_ih = pointer<const T>(W_ih),
            .W_hh = pointer<const T>(W_hh),
            .b_ih = pointer<const T>(b_ih),
            .b_hh = pointer<const T>(b_hh),
            .W_hr = pointer<const T>(W_hr),
            .y = {pointer<T>(y), y_step, y_sequence},
            .h_n = pointer<T>(h_n),
            .c_n = pointer<T>(c_n),
            .kept = pointer<T>(kept),
            .work = pointer<T>(work),
        };
        const nb::gil_scoped_release released;
        run_forward(kernels(), layer.cell, call, layer.division);
    });
}

void backward(const Layer& layer, bool is_reverse, Address lengths, Address offsets, Address dy, Stride dy_step, Stride dy_sequence,
              Stride dy_column, Address dh_n, Stride dh_n_sequence, Address dc_n, Stride dc_n_sequence, Address dkept, Address x, Stride x_step,
              Stride x_sequence, Address h_0, Stride h_0_sequence, Address c_0, Stride c_0_sequence, Address W_ih, Address W_hh, Address W_hr,
              Address y, Stride y_step, Stride y_sequence, Address kept, Address dx, Stride dx_step, Stride dx_sequence, bool is_dx_added,
              Address dh_0, Address dc_0, Address dW_ih, Address dW_hh, Address db_ih, Address db_hh, Address dh, Address dc, Address dh_norm,
              Address dc_norm, Address work) {
    by_type(layer, [&]<class T>(T) {
        const Backward<T> call = {
            .size = layer.size,
            .steps = steps_of(is_reverse, lengths, offsets),
            .dy = {pointer<const T>(dy), dy_step, dy_sequence},
            .dy_column = dy_column,
            .dh_n = {pointer<const T>(dh_n), 0, dh_n_sequence},
            .dc_n = {pointer<const T>(dc_n), 0, dc_n_sequence},
            .dkept = pointer<const T>(dkept),
            .x = {pointer<const T>(x), x_step, x_sequence},
            .h_0 = {pointer<const T>(h_0), 0, h_0_sequence},
            .c_0 = {pointer<const T>(c_0), 0, c_0_sequence},
            .W_ih = pointer<const T>(W_ih),
            .W_hh = pointer<const T>(W_hh),
            .W_hr = pointer<const T>(W_hr),
            .y = {pointer<const T>(y), y_step, y_sequence},
            .kept = pointer<const T>(kept),
            .dx = {pointer<T>(dx), dx_step, dx_sequence},
            .is_dx_added = is_dx_added,
            .dh_0 = pointer<T>(dh_0),
            .dc_0 = pointer<T>(dc_0),
            .dW_ih = pointer<T>(dW_ih),
            .dW_hh = pointer<T>(dW_hh),
            .db_ih = pointer<T>(db_ih),
            .db_hh = pointer<T>(db_hh),
            .dh = pointer<T>(dh),
            .dc = pointer<T>(dc),
            .dh_norm = pointer<double>(dh_norm),
            .dc_norm = pointer<double>(dc_norm),
            .work = pointer<T>(work),
            .da = nullptr,
        };
        const nb::gil_scoped_release released;
        run_backward(kernels(), layer.cell, call, layer.division);
    });
}

}  // namespace

void register_layer(nb::module_& module) {
    nb::class_<Layer>(module, "Layer", "Cell, sizes and type of one layer and direction. cell: RNN_TANH, RNN_RELU, LSTM, GRU; P: 0 for no projection.")
        .def(nb::init<int, bool, Stride, Stride, Stride, Stride, Stride, int>(), "cell"_a, "is_double"_a, "T"_a, "N"_a, "I"_a, "H"_a, "P"_a,
             "max_threads"_a)
        .def_prop_ro("parts", [](const Layer& layer) { return layer.division.parts; }, "How many threads share out its sequences.")
        .def("forward_work", &forward_work, "Elements of the workspace of `forward`.")
        .def("backward_work", &backward_work, "Elements of the workspace of `backward`.")
        .def("forward", &forward, "is_reverse"_a, "lengths"_a, "offsets"_a, "x"_a, "x_step"_a, "x_sequence"_a, "h_0"_a, "h_0_sequence"_a, "c_0"_a,
             "c_0_sequence"_a, "W_ih"_a, "W_hh"_a, "b_ih"_a, "b_hh"_a, "W_hr"_a, "y"_a, "y_step"_a, "y_sequence"_a, "h_n"_a, "c_n"_a,
             "kept"_a, "work"_a, "All steps; native/recurrent.hpp says what each address is.")
        .def("backward", &backward, "is_reverse"_a, "lengths"_a, "offsets"_a, "dy"_a, "dy_step"_a, "dy_sequence"_a, "dy_column"_a, "dh_n"_a,
             "dh_n_sequence"_a, "dc_n"_a, "dc_n_sequence"_a, "dkept"_a, "x"_a, "x_step"_a, "x_sequence"_a, "h_0"_a, "h_0_sequence"_a, "c_0"_a,
             "c_0_sequence"_a, "W_ih"_a, "W_hh"_a, "W_hr"_a, "y"_a, "y_step"_a, "y_sequence"_a, "kept"_a, "dx"_a, "dx_step"_a, "dx_sequence"_a,
             "is_dx_added"_a, "dh_0"_a, "dc_0"_a, "dW_ih"_a, "dW_hh"_a, "db_ih"_a, "db_hh"_a, "dh"_a, "dc"_a, "dh_norm"_a, "dc_norm"_a, "work"_a,
             "All gradients; native/recurrent.hpp says what each address is.");
}

}  // namespace gatewise::bindings
