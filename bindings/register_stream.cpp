// A stack of layers that advances step by step on arrays of numpy.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "levels.hpp"
#include "register.hpp"
#include "stream.hpp"
#include "tensor.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace gatewise::bindings {
namespace {

template <class T>
using Input = nb::ndarray<const T, nb::numpy, nb::shape<-1, -1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Output = nb::ndarray<T, nb::numpy, nb::shape<-1, -1>, nb::c_contig, nb::device::cpu>;
template <class T>
using States = nb::ndarray<T, nb::numpy, nb::shape<-1, -1, -1>, nb::c_contig, nb::device::cpu>;

// Of each layer W_ih, W_hh, b_ih, b_hh, W_hr, contiguous; biases and projection may be None.
using Weights = std::tuple<Tensor, Tensor, std::optional<Tensor>, std::optional<Tensor>, std::optional<Tensor>>;
using Layers = nb::typed<nb::list, Weights>;

template <class T>
class BoundStream {
public:
    BoundStream(int cell, std::ptrdiff_t N, const Layers& layers) : stream_(make(cell, N, layers)), N_(N) {
        I_ = size_of(nb::cast<Weights>(layers[0]), N).I;
        P_ = size_of(nb::cast<Weights>(layers[layers.size() - 1]), N).P;
    }

    void step(const Input<T>& x, const Output<T>& y) {
        check("x", static_cast<std::ptrdiff_t>(x.shape(0)), static_cast<std::ptrdiff_t>(x.shape(1)), N_, I_);
        check("out", static_cast<std::ptrdiff_t>(y.shape(0)), static_cast<std::ptrdiff_t>(y.shape(1)), N_, P_);
        stream_.step(x.data(), y.data());
    }

    void read_state(const States<T>& h, const States<T>& c) const { stream_.read_state(h.data(), c.data()); }
    void write_state(const States<const T>& h, const States<const T>& c) { stream_.write_state(h.data(), c.data()); }

private:
    static void check(const char* name, std::ptrdiff_t rows, std::ptrdiff_t columns, std::ptrdiff_t N, std::ptrdiff_t K) {
        if (rows == N && columns == K) return;
        throw std::invalid_argument(std::string(name) + " must have shape (" + std::to_string(N) + ", " + std::to_string(K) + "), got (" +
                                    std::to_string(rows) + ", " + std::to_string(columns) + ")");
    }

    static Sizes size_of(const Weights& layer, std::ptrdiff_t N) {
        const auto& [W_ih, W_hh, b_ih, b_hh, W_hr] = layer;
        const std::ptrdiff_t P = W_hh.shape[1], H = W_hr ? W_hr->shape[1] : P;
        return {.T = 1, .N = N, .I = W_ih.shape[1], .H = H, .P = P, .has_projection = W_hr.has_value()};
    }

    static Stream<T> make(int cell, std::ptrdiff_t N, const Layers& given) {
        const auto begin = [](const std::optional<Tensor>& tensor) { return tensor ? tensor->begin<const T>() : nullptr; };
        std::vector<StreamLayer<T>> layers;
        for (const nb::handle item : given) {
            const auto layer = nb::cast<Weights>(item);
            const auto& [W_ih, W_hh, b_ih, b_hh, W_hr] = layer;
            layers.push_back({
                .size = size_of(layer, N),
                .W_ih = W_ih.begin<const T>(),
                .W_hh = W_hh.begin<const T>(),
                .b_ih = begin(b_ih),
                .b_hh = begin(b_hh),
                .W_hr = begin(W_hr),
            });
        }
        if (layers.empty()) throw std::invalid_argument("a stream needs at least one layer");
        return Stream<T>(kernels_of(chosen_level()), static_cast<Cell>(cell), layers);
    }

    Stream<T> stream_;
    std::ptrdiff_t N_, I_, P_;
};

template <class T>
void register_stream_of(nb::module_& module, const char* name) {
    nb::class_<BoundStream<T>>(module, name, "Layers that advance step by step; gatewise._native, the only caller, has checked the numbers.")
        .def(nb::init<int, std::ptrdiff_t, const Layers&>(), "cell"_a, "N"_a, "layers"_a)
        .def("step", &BoundStream<T>::step, "x"_a.noconvert(), "out"_a.noconvert(), "x (N, I) in, h_t (N, P) of the last layer out.")
        .def("read_state", &BoundStream<T>::read_state, "h"_a.noconvert(), "c"_a.noconvert(), "Writes h (L, N, P) and c (L, N, H).")
        .def("write_state", &BoundStream<T>::write_state, "h"_a.noconvert(), "c"_a.noconvert());
}

}  // namespace

void register_stream(nb::module_& module) {
    register_stream_of<float>(module, "Stream32");
    register_stream_of<double>(module, "Stream64");
}

}  // namespace gatewise::bindings
