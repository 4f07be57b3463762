// exp, tanh and sigmoid of a vector, without branches. All three reduce factor x = k ln2 + factor r, |factor r| <= ln2 / 2, where the factor is
// 1, -1 or -2, and use one polynomial for expm1.
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
    // At kLowest exp rounds to 0, at kHighest to inf; from kTanhEnd on tanh rounds to 1, from twice that on sigmoid.
    static constexpr float kLowest = -104.0F;
    static constexpr float kHighest = 89.0F;
    static constexpr float kTanhEnd = 10.0F;
    // 2^-kSmall exp(-kLowest) does not overflow.
    static constexpr int kSmall = 30;
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
    static constexpr double kLowest = -746.0;
    static constexpr double kHighest = 710.0;
    static constexpr double kTanhEnd = 20.0;
    static constexpr int kSmall = 60;
};

// exp(factor x) = 2^k (1 + factor e).
template <class V>
struct Reduced {
    V k;      // a whole number
    V scale;  // 2^(k + shift), where that is a normal number
    V e;      // keeps its relative precision
};

// The n-th power of a factor.
constexpr int to_the(int n, int factor) { return n == 0 ? 1 : factor * to_the(n - 1, factor); }

// |x| at most -kLowest, or NaN (then k and scale are arbitrary). Products with a power of two such as the factor are exact.
template <int factor, int shift, class V>
GATEWISE_INLINE Reduced<V> reduce(V x) {
    using E = Exponential<V>;
    using S = Scalar<V>;
    // Adding 1.5 * 2^(mantissa bits) to a small number rounds it to an integer and leaves that integer in the lowest bits; with the bias added as
    // well, they are the exponent of a power of two.
    const V round = splat<V>(S(3LL << (Traits<V>::kMantissaBits - 1)) + S(Traits<V>::kExponentBias + shift));
    const V shifted = fma(x, splat<V>(factor * E::kLog2e), round);
    const V k = shifted - round;
    // Cody and Waite: ln2 in two parts. With fma the first step is exact, so no bits of the high part need to be zero.
    V r = fma(k, splat<V>(E::kLn2High / -factor), x);
    r = fma(k, splat<V>(E::kLn2Low / -factor), r);

    // expm1(factor r) / factor = r + r^2 (factor / 2 + r (factor^2 c[0] + factor^3 c[1] r + ...))
    constexpr int degree = sizeof E::kCoefficients / sizeof E::kCoefficients[0] - 1;
    V q = splat<V>(E::kCoefficients[degree] * S(to_the(degree + 2, factor)));
#pragma GCC unroll 16
    for (int i = degree - 1; i >= 0; --i) q = fma(q, r, splat<V>(E::kCoefficients[i] * S(to_the(i + 2, factor))));
    q = fma(q, r, splat<V>(S(factor) / 2));
    return {k, lowest_bits_as_exponent(shifted), fma(r * r, q, r)};
}

// Error below 1.1 ULP (float and double), every x: the range ends where exp rounds to 0 and to inf.
template <class V>
GATEWISE_INLINE V exp(V x) {
    using E = Exponential<V>;
    const Reduced<V> reduced = reduce<1, 0>(at_most(at_least(x, E::kLowest), E::kHighest));
    return times_power_of_two(Scalar<V>(1) + reduced.e, reduced.k);
}

// Error below 2.6 ULP (float and double), every x. small / (small + small exp(-x)): so exp(-x) does not overflow before the quotient rounds to 0.
template <class V>
GATEWISE_INLINE V sigmoid(V x) {
    using E = Exponential<V>;
    const Reduced<V> reduced = reduce<-1, -E::kSmall>(at_most(at_least(x, E::kLowest), 2 * E::kTanhEnd));
    constexpr Scalar<V> small = Scalar<V>(1) / Scalar<V>(1LL << E::kSmall);
    return small / fma(reduced.scale, 1 - reduced.e, splat<V>(small));
}

// Error below 2.2 ULP (float and double), every x; odd to the last bit. tanh|x| = -m / (2 + m) with m = expm1(-2|x|), where
// m = 2^k expm1(r) + (2^k - 1): for small x, k = 0 and nothing cancels.
template <class V>
GATEWISE_INLINE V tanh(V x) {
    const V one = splat<V>(1), half = splat<V>(Scalar<V>(0.5));
    const Reduced<V> reduced = reduce<-2, 1>(at_most(absolute(x), Exponential<V>::kTanhEnd));
    const V minus_m = fma(reduced.scale, reduced.e, fma(-half, reduced.scale, one));
    const V m_plus_2 = fma(-reduced.scale, reduced.e, fma(half, reduced.scale, one));
    return with_sign_of(x, minus_m / m_plus_2);
}

}  // namespace gatewise::GATEWISE_LEVEL
