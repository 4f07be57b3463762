// exp, tanh and sigmoid over one-dimensional arrays, and the error that they may make.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "levels.hpp"
#include "register.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace gatewise::bindings {
namespace {

// x, out: [n]
template <class T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// F: which function of the table.
template <class T, auto F>
void evaluate(const Vector<const T>& x, const Vector<T>& out, const std::optional<std::string>& level) {
    if (out.size() != x.size()) {
        throw std::invalid_argument("out must be as long as x, " + std::to_string(x.size()) + ", got " + std::to_string(out.size()));
    }
    const auto function = kernels_for<T>(kernels_of(level ? *level : chosen_level())).activations.*F;
    const T* const from = x.data();
    T* const to = out.data();
    const auto n = static_cast<std::ptrdiff_t>(x.size());
    const nb::gil_scoped_release released;
    function(from, to, n);
}

template <class T>
void register_for(nb::module_& module) {
    const auto def = [&module](const char* name, auto function, const char* doc) {
        module.def(name, function, "x"_a.noconvert(), "out"_a.noconvert(), "level"_a = nb::none(), doc);
    };
    def("exp", &evaluate<T, &Activations<T>::exp>, "Write exp(x) to out, which may be x. level: a CPU level, None for the one in use.");
    def("tanh", &evaluate<T, &Activations<T>::tanh>, "Write tanh(x) to out, which may be x. level: a CPU level, None for the one in use.");
    def("sigmoid", &evaluate<T, &Activations<T>::sigmoid>,
        "Write 1 / (1 + exp(-x)) to out, which may be x. level: a CPU level, None for the one in use.");
}

template <class T>
double max_ulp_of(const std::string& function) {
    if (function == "exp") return MaxUlp<T>::exp;
    if (function == "tanh") return MaxUlp<T>::tanh;
    if (function == "sigmoid") return MaxUlp<T>::sigmoid;
    throw std::invalid_argument("function must be 'exp', 'tanh' or 'sigmoid', got '" + function + "'");
}

double max_ulp(const std::string& function, const std::string& dtype) {
    if (dtype == "float32") return max_ulp_of<float>(function);
    if (dtype == "float64") return max_ulp_of<double>(function);
    throw std::invalid_argument("dtype must be 'float32' or 'float64', got '" + dtype + "'");
}

}  // namespace

void register_activations(nb::module_& module) {
    register_for<float>(module);
    register_for<double>(module);
    module.def("max_ulp", &max_ulp, "function"_a, "dtype"_a,
               "The largest error of a function, in units in the last place of the exact result, over all finite inputs.");
}

}  // namespace gatewise::bindings
