// exp, tanh and sigmoid of a vector, without branches. All three reduce x = k ln2 + r, |r| <= ln2 / 2, and use one polynomial for expm1(r).
//
// Errors are in units in the last place of the exact result, over all finite inputs; the bounds are MaxUlp in ../activations.hpp.
#pragma once

#include "vector.hpp"

namespace gatewise::GATEWISE_LEVEL {

// The constants are the output of tools/minimax.py.
template <class V>
struct Exponential;

template <>
struct Exponential<F32> {
    static constexpr float kLog2e = 0x1.715476p+0F;
    static constexpr float kLn2High = 0x1.62e430p-1F;
    static constexpr float kLn2Low = -0x1.05c610p-29F;
    // expm1(r) = r + r^2 (1/2 + r (c[0] + c[1] r + ...)), relative error below 2^-26.0 before rounding.
    static constexpr float kCoefficients[] = {0x1.5554b8p-3F, 0x1.5555bap-5F, 0x1.122362p-7F, 0x1.6c5548p-10F};
    // Adding 1.5 * 2^23 to a small number rounds it to an integer and leaves that integer in the lowest bits.
    static constexpr float kRound = 0x1.8p+23F;
    // At kLowest exp rounds to 0, at kHighest to inf; at kTanhEnd and beyond tanh rounds to 1.
    static constexpr float kLowest = -104.0F;
    static constexpr float kHighest = 89.0F;
    static constexpr float kTanhEnd = 10.0F;
};

template <>
struct Exponential<F64> {
    static constexpr double kLog2e = 0x1.71547652b82fep+0;
    static constexpr double kLn2High = 0x1.62e42fefa39efp-1;
    static constexpr double kLn2Low = 0x1.abc9e3b39803fp-56;
    // Relative error below 2^-55.2 before rounding.
    static constexpr double kCoefficients[] = {0x1.555555555553ep-3,  0x1.5555555553b15p-5,  0x1.1111111118cf4p-7,
                                               0x1.6c16c179fbc61p-10, 0x1.a01a0171b42e8p-13, 0x1.a019b3a7dfac7p-16,
                                               0x1.71de976ca4a8ep-19, 0x1.28975950866eap-22, 0x1.ae49020471213p-26};
    static constexpr double kRound = 0x1.8p+52;
    static constexpr double kLowest = -746.0;
    static constexpr double kHighest = 710.0;
    static constexpr double kTanhEnd = 20.0;
};

template <class V>
struct Reduced {
    V k;
    V expm1_r;
};

// x within [2 kLowest, kHighest], or NaN (then k is arbitrary). exp(x) = 2^k (1 + expm1_r), where expm1_r keeps its relative precision.
template <class V>
GATEWISE_INLINE Reduced<V> reduce(V x) {
    using E = Exponential<V>;
    const V round = splat<V>(E::kRound);
    const V shifted = fma(x, splat<V>(E::kLog2e), round);
    const V k = shifted - round;
    // Cody and Waite: ln2 in two parts. With fma the first step is exact, so no bits of the high part need to be zero.
    V r = fma(k, splat<V>(-E::kLn2High), x);
    r = fma(k, splat<V>(-E::kLn2Low), r);

    constexpr int num_coefficients = sizeof E::kCoefficients / sizeof E::kCoefficients[0];
    V q = splat<V>(E::kCoefficients[num_coefficients - 1]);
    for (int i = num_coefficients - 2; i >= 0; --i) q = fma(q, r, splat<V>(E::kCoefficients[i]));
    q = fma(q, r, splat<V>(Scalar<V>(0.5)));
    return {k, fma(r * r, q, r)};
}

// x in [kLowest, kHighest] or NaN.
template <class V>
GATEWISE_INLINE V exp_in_range(V x) {
    const Reduced<V> reduced = reduce(x);
    return times_power_of_two(Scalar<V>(1) + reduced.expm1_r, reduced.k);
}

// Error below 1.1 ULP (float and double), every x: the range ends where exp rounds to 0 and to inf.
template <class V>
GATEWISE_INLINE V exp(V x) {
    using E = Exponential<V>;
    return exp_in_range(at_most(at_least(x, E::kLowest), E::kHighest));
}

// Error below 2.6 ULP (float and double), every x. exp(-|x|) never overflows and keeps the small results of the left side exact.
template <class V>
GATEWISE_INLINE V sigmoid(V x) {
    const V one = splat<V>(Scalar<V>(1));
    const V e = exp_in_range(at_least(-absolute(x), Exponential<V>::kLowest));
    return (x >= Scalar<V>(0) ? one : e) / (one + e);
}

// Error below 2.8 ULP (float and double), every x; odd to the last bit. tanh|x| = -m / (2 + m) with m = expm1(-2|x|), where
// m = 2^k expm1(r) + (2^k - 1): for small x, k = 0 and nothing cancels.
template <class V>
GATEWISE_INLINE V tanh(V x) {
    const V magnitude = at_most(absolute(x), Exponential<V>::kTanhEnd);
    const Reduced<V> reduced = reduce(Scalar<V>(-2) * magnitude);
    const V scale = power_of_two(reduced.k);
    const V m = fma(scale, reduced.expm1_r, scale - Scalar<V>(1));
    return copy_sign(m / (Scalar<V>(2) + m), x);
}

}  // namespace gatewise::GATEWISE_LEVEL
