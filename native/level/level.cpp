// The table of one CPU level: GATEWISE_LEVEL is its namespace, the compiler flags are its instructions (native/CMakeLists.txt).
#include "../kernels.hpp"
#include "activations.hpp"
#include "vector.hpp"

namespace gatewise::GATEWISE_LEVEL {

extern const Kernels kernels;

// out[i] = f(x[i]). The last, partial vector runs through the same f: an element's result does not depend on where it stands.
template <class V, V (*f)(V)>
void map(const Scalar<V>* x, Scalar<V>* out, std::ptrdiff_t n) {
    std::ptrdiff_t i = 0;
    for (; i + kLanes<V> <= n; i += kLanes<V>) store(out + i, f(load<V>(x + i)));
    if (i < n) store_first(out + i, f(load_first<V>(x + i, n - i)), n - i);
}

const Kernels kernels = {
    .activations_f32 = {.exp = map<F32, exp<F32>>, .tanh = map<F32, tanh<F32>>, .sigmoid = map<F32, sigmoid<F32>>},
    .activations_f64 = {.exp = map<F64, exp<F64>>, .tanh = map<F64, tanh<F64>>, .sigmoid = map<F64, sigmoid<F64>>},
};

}  // namespace gatewise::GATEWISE_LEVEL
