// Everything that is compiled once per CPU level, as one table of function pointers.
#pragma once

#include "activations.hpp"
#include "recurrent.hpp"

namespace gatewise {

template <class T>
struct KernelsOf {
    Activations<T> activations;
    Recurrent<T> recurrent[kNumCells];  // by Cell
};

struct Kernels {
    KernelsOf<float> f32;
    KernelsOf<double> f64;
};

template <class T>
const KernelsOf<T>& kernels_for(const Kernels& kernels);

template <>
inline const KernelsOf<float>& kernels_for(const Kernels& kernels) {
    return kernels.f32;
}

template <>
inline const KernelsOf<double>& kernels_for(const Kernels& kernels) {
    return kernels.f64;
}

}  // namespace gatewise
