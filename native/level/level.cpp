// The table of one CPU level: GATEWISE_LEVEL is its namespace, the compiler flags are its instructions (native/CMakeLists.txt).
#include "../kernels.hpp"
#include "activations.hpp"
#include "products.hpp"
#include "through_time.hpp"
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

template <class C>
constexpr Recurrent<Scalar<typename C::Vector>> recurrent_of() {
    return {
        .gradient_blocks = C::kGradients,
        .forward_work = ForwardKernel<C>::work,
        .through_time_work = ThroughTimeKernel<C>::work,
        .products_work = ProductsKernel<C>::work,
        .pack_forward = ForwardKernel<C>::pack,
        .pack_through_time = ThroughTimeKernel<C>::pack,
        .pack_products = ProductsKernel<C>::pack,
        .project = ForwardKernel<C>::project,
        .forward = ForwardKernel<C>::run,
        .through_time = ThroughTimeKernel<C>::run,
        .products = ProductsKernel<C>::run,
        .sum_up = ProductsKernel<C>::sum_up,
    };
}

template <class V>
constexpr KernelsOf<Scalar<V>> kernels_of() {
    return {
        .activations = {.exp = map<V, exp<V>>, .tanh = map<V, tanh<V>>, .sigmoid = map<V, sigmoid<V>>},
        .recurrent = {recurrent_of<RnnTanhCell<V>>(), recurrent_of<RnnReluCell<V>>(), recurrent_of<LstmCell<V>>(), recurrent_of<GruCell<V>>()},
    };
}

const Kernels kernels = {.f32 = kernels_of<F32>(), .f64 = kernels_of<F64>()};

}  // namespace gatewise::GATEWISE_LEVEL
