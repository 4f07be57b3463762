// exp, tanh and sigmoid over an array: the table that every CPU level fills, and the error that each function may make.
#pragma once

#include <cstddef>

namespace gatewise {

// out[i] = f(x[i]), 0 <= i < n. Any alignment. `out` may be `x` itself; otherwise the two must not overlap.
// The result for an element is the same bits wherever in the array it stands. Domain: every float, that is
//   exp      0 below the range, inf above it, results below the smallest normal number included
//   tanh     +-1 at the ends, tanh(-0) = -0, odd to the last bit
//   sigmoid  1 / (1 + exp(-x)); 1 at the upper end, 0 at the lower, results below the smallest normal number included
// NaN gives NaN. (On a thread that flushes subnormal numbers to zero, so do these functions.)
template <class T>
struct Activations {
    using Function = void (*)(const T* x, T* out, std::ptrdiff_t n);
    Function exp;
    Function tanh;
    Function sigmoid;
};

// Largest error in units in the last place of the exact result (the spacing of T in its binade, at least the smallest subnormal), over all
// finite inputs whose exact result is finite: what docs/accuracy.md measured, rounded up. tests/native asserts these very numbers.
template <class T>
struct MaxUlp;

template <>
struct MaxUlp<float> {
    static constexpr double exp = 1.1;
    static constexpr double tanh = 2.2;
    static constexpr double sigmoid = 2.6;
};

template <>
struct MaxUlp<double> {
    static constexpr double exp = 1.1;
    static constexpr double tanh = 2.2;
    static constexpr double sigmoid = 2.6;
};

}  // namespace gatewise
