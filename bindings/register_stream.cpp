// A stack of layers that advances step by step on arrays of numpy.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "levels.hpp"
#include "register.hpp"
#include "stream.hpp"

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

// A layer is described by I, H, P (0: no projection) and the addresses of W_ih, W_hh, b_ih, b_hh, W_hr (0: none).
using Descriptions = nb::typed<nb::list, nb::typed<nb::tuple, int, nb::ellipsis>>;

std::string shape_of(std::ptrdiff_t rows, std::ptrdiff_t columns) {
    return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

template <class T>
class BoundStream {
public:
    BoundStream(int cell, std::ptrdiff_t N, const Descriptions& descriptions) : stream_(make(cell, N, descriptions)) {
        N_ = N;
        const nb::tuple first = nb::cast<nb::tuple>(descriptions[0]), last = nb::cast<nb::tuple>(descriptions[descriptions.size() - 1]);
        I_ = nb::cast<std::ptrdiff_t>(first[0]);
        P_ = nb::cast<std::ptrdiff_t>(last[2]);
        if (P_ == 0) P_ = nb::cast<std::ptrdiff_t>(last[1]);
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
        throw std::invalid_argument(std::string(name) + " must have shape " + shape_of(N, K) + ", got " + shape_of(rows, columns));
    }

    static Stream<T> make(int cell, std::ptrdiff_t N, const Descriptions& descriptions) {
        std::vector<StreamLayer<T>> layers;
        for (const nb::handle description : descriptions) {
            const nb::tuple numbers = nb::cast<nb::tuple>(description);
            const auto size = [&](int i) { return nb::cast<std::ptrdiff_t>(numbers[static_cast<std::size_t>(i)]); };
            const auto weights = [&](int i) {
                return reinterpret_cast<const T*>(nb::cast<std::uintptr_t>(numbers[static_cast<std::size_t>(i)]));
            };
            const std::ptrdiff_t I = size(0), H = size(1), P = size(2);
            layers.push_back({
                .size = {.T = 1, .N = N, .I = I, .H = H, .P = P > 0 ? P : H, .has_projection = P > 0},
                .W_ih = weights(3),
                .W_hh = weights(4),
                .b_ih = weights(5),
                .b_hh = weights(6),
                .W_hr = weights(7),
            });
        }
        return Stream<T>(kernels_of(chosen_level()), static_cast<Cell>(cell), layers);
    }

    Stream<T> stream_;
    std::ptrdiff_t N_, I_, P_;
};

template <class T>
void register_stream_of(nb::module_& module, const char* name) {
    nb::class_<BoundStream<T>>(module, name, "Layers that advance step by step; gatewise._native, the only caller, has checked the numbers.")
        .def(nb::init<int, std::ptrdiff_t, const Descriptions&>(), "cell"_a, "N"_a, "layers"_a)
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
