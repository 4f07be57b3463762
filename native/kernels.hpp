// Everything that is compiled once per CPU level, as one table of function pointers.
#pragma once

#include "activations.hpp"

namespace gatewise {

struct Kernels {
    Activations<float> activations_f32;
    Activations<double> activations_f64;
};

template <class T>
const Activations<T>& activations(const Kernels& kernels);

template <>
inline const Activations<float>& activations(const Kernels& kernels) {
    return kernels.activations_f32;
}

template <>
inline const Activations<double>& activations(const Kernels& kernels) {
    return kernels.activations_f64;
}

}  // namespace gatewise
