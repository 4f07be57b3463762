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

Sizes checked(Stride T, Stride N, Stride I, Stride H) {
    for (const Stride size : {T, N, I, H}) {
        if (size < 1) throw std::invalid_argument("T, N, I and H must be at least 1, got " + std::to_string(size));
    }
    return {.T = T, .N = N, .I = I, .H = H};
}

Cell checked(int cell) {
    if (cell < 0 || cell >= kNumCells) {
        throw std::invalid_argument("cell must be between 0 and " + std::to_string(kNumCells - 1) + ", got " + std::to_string(cell));
    }
    return static_cast<Cell>(cell);
}

int parts(int cell, Stride T, Stride N, Stride I, Stride H, int max_threads) {
    return parts_of(checked(T, N, I, H), checked(cell), max_threads);
}

Stride work(bool is_double, int cell, Stride T, Stride N, Stride I, Stride H, int parts, bool is_backward) {
    const Kernels& kernels = kernels_of(chosen_level());
    const Sizes size = checked(T, N, I, H);
    return is_double ? work_of<double>(kernels, checked(cell), size, parts, is_backward)
                     : work_of<float>(kernels, checked(cell), size, parts, is_backward);
}

template <class T>
void forward_of(int cell, Sizes size, int parts, bool is_reverse, Address lengths, Address x, Stride x_step, Stride x_sequence, Address h_0,
                Stride h_0_sequence, Address c_0, Stride c_0_sequence, Address W_ih, Address W_hh, Address b_ih, Address b_hh, Address y,
                Stride y_step, Stride y_sequence, Address h_n, Address c_n, Address gates, Address kept, Address work) {
    const Forward<T> call = {
        .size = size,
        .is_reverse = is_reverse,
        .lengths = pointer<const std::int64_t>(lengths),
        .x = {pointer<const T>(x), x_step, x_sequence},
        .h_0 = {pointer<const T>(h_0), 0, h_0_sequence},
        .c_0 = {pointer<const T>(c_0), 0, c_0_sequence},
        .W_ih = pointer<const T>(W_ih),
        .W_hh = pointer<const T>(W_hh),
        .b_ih = pointer<const T>(b_ih),
        .b_hh = pointer<const T>(b_hh),
        .y = {pointer<T>(y), y_step, y_sequence},
        .h_n = pointer<T>(h_n),
        .c_n = pointer<T>(c_n),
        .gates = pointer<T>(gates),
        .kept = pointer<T>(kept),
        .work = pointer<T>(work),
    };
    const Kernels& kernels = kernels_of(chosen_level());
    const nb::gil_scoped_release released;
    run_forward(kernels, checked(cell), call, parts);
}

template <class T>
void backward_of(int cell, Sizes size, int parts, bool is_reverse, Address lengths, Address dy, Stride dy_step, Stride dy_sequence, Address dh_n,
                 Stride dh_n_sequence, Address dc_n, Stride dc_n_sequence, Address h_0, Stride h_0_sequence, Address c_0, Stride c_0_sequence,
                 Address W_hh, Address y, Stride y_step, Stride y_sequence, Address gates, Address kept, Address da, Address dh_0, Address dc_0,
                 Address work) {
    const Backward<T> call = {
        .size = size,
        .is_reverse = is_reverse,
        .lengths = pointer<const std::int64_t>(lengths),
        .dy = {pointer<const T>(dy), dy_step, dy_sequence},
        .dh_n = {pointer<const T>(dh_n), 0, dh_n_sequence},
        .dc_n = {pointer<const T>(dc_n), 0, dc_n_sequence},
        .h_0 = {pointer<const T>(h_0), 0, h_0_sequence},
        .c_0 = {pointer<const T>(c_0), 0, c_0_sequence},
        .W_hh = pointer<const T>(W_hh),
        .y = {pointer<const T>(y), y_step, y_sequence},
        .gates = pointer<const T>(gates),
        .kept = pointer<const T>(kept),
        .da = pointer<T>(da),
        .dh_0 = pointer<T>(dh_0),
        .dc_0 = pointer<T>(dc_0),
        .work = pointer<T>(work),
    };
    const Kernels& kernels = kernels_of(chosen_level());
    const nb::gil_scoped_release released;
    run_backward(kernels, checked(cell), call, parts);
}

// The arguments up to `parts` that every call begins with, then those of `function`.
template <class... Arguments>
auto dispatching(void (*of_float)(int, Sizes, int, Arguments...), void (*of_double)(int, Sizes, int, Arguments...)) {
    return [of_float, of_double](bool is_double, int cell, Stride T, Stride N, Stride I, Stride H, int parts, Arguments... rest) {
        (is_double ? of_double : of_float)(cell, checked(T, N, I, H), parts, rest...);
    };
}

}  // namespace

void register_layer(nb::module_& module) {
    module.def("parts", &parts, "cell"_a, "T"_a, "N"_a, "I"_a, "H"_a, "max_threads"_a, "How many threads a layer of this size is worth.");
    module.def("work", &work, "is_double"_a, "cell"_a, "T"_a, "N"_a, "I"_a, "H"_a, "parts"_a, "is_backward"_a,
               "Elements of the workspace of `forward` or `backward`.");
    module.def("forward", dispatching(&forward_of<float>, &forward_of<double>), "is_double"_a, "cell"_a, "T"_a, "N"_a, "I"_a, "H"_a, "parts"_a,
               "is_reverse"_a, "lengths"_a, "x"_a, "x_step"_a, "x_sequence"_a, "h_0"_a, "h_0_sequence"_a, "c_0"_a, "c_0_sequence"_a, "W_ih"_a,
               "W_hh"_a, "b_ih"_a, "b_hh"_a, "y"_a, "y_step"_a, "y_sequence"_a, "h_n"_a, "c_n"_a, "gates"_a, "kept"_a, "work"_a,
               "One layer and direction over all steps; native/recurrent.hpp says what each address is. cell: RNN_TANH, RNN_RELU, LSTM, GRU.");
    module.def("backward", dispatching(&backward_of<float>, &backward_of<double>), "is_double"_a, "cell"_a, "T"_a, "N"_a, "I"_a, "H"_a,
               "parts"_a, "is_reverse"_a, "lengths"_a, "dy"_a, "dy_step"_a, "dy_sequence"_a, "dh_n"_a, "dh_n_sequence"_a, "dc_n"_a,
               "dc_n_sequence"_a, "h_0"_a, "h_0_sequence"_a, "c_0"_a, "c_0_sequence"_a, "W_hh"_a, "y"_a, "y_step"_a, "y_sequence"_a, "gates"_a,
               "kept"_a, "da"_a, "dh_0"_a, "dc_0"_a, "work"_a,
               "The gradients of the preactivations and of the initial states; native/recurrent.hpp says what each address is.");
}

}  // namespace gatewise::bindings
