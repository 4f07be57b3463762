// Vectors of float and double in the width of the CPU level, on the vector extensions of GCC and Clang.
//
// Everything under level/ is compiled once per CPU level, with that level's instructions. Rule: all of it lives in the level's namespace and
// instantiates nothing from std::. The linker keeps one copy of an inline function for the whole program, and if it kept the AVX-512 copy of
// std::max, say, older processors would meet illegal instructions. (tools/check_symbols.cmake asserts the rule on the object files.)
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifdef __FAST_MATH__
#error "-ffast-math would reorder the additions that round and reduce, and make the results wrong"
#endif

#define GATEWISE_INLINE [[gnu::always_inline]] inline
#define GATEWISE_INLINE_LAMBDA __attribute__((always_inline))  // behind a lambda's parameters

// Intrinsics of AVX-512 stand below with a mask (maskz) even where all lanes are wanted: the plain ones leave an operand undefined, and GCC 12
// warns of it.

namespace gatewise::GATEWISE_LEVEL {

#if defined(__AVX512F__)
inline constexpr std::ptrdiff_t kVectorBytes = 64;
#elif defined(__AVX2__) && defined(__FMA__)
inline constexpr std::ptrdiff_t kVectorBytes = 32;
#elif defined(__ARM_NEON)
inline constexpr std::ptrdiff_t kVectorBytes = 16;
#endif

using F32 = float __attribute__((vector_size(kVectorBytes)));
using F64 = double __attribute__((vector_size(kVectorBytes)));

// V: F32 or F64. The layout of its elements as IEEE 754 has it, and integers of the same width.
template <class V>
struct Traits;

template <>
struct Traits<F32> {
    using Scalar = float;
    using Bits = std::int32_t __attribute__((vector_size(kVectorBytes)));
    static constexpr int kMantissaBits = 23;
    static constexpr int kExponentBias = 127;
};

template <>
struct Traits<F64> {
    using Scalar = double;
    using Bits = std::int64_t __attribute__((vector_size(kVectorBytes)));
    static constexpr int kMantissaBits = 52;
    static constexpr int kExponentBias = 1023;
};

template <class V>
using Scalar = typename Traits<V>::Scalar;
template <class V>
using Bits = typename Traits<V>::Bits;
template <class V>
inline constexpr std::ptrdiff_t kLanes = kVectorBytes / static_cast<std::ptrdiff_t>(sizeof(Scalar<V>));

template <class V>
GATEWISE_INLINE V splat(Scalar<V> value) {
    return value - V{};  // not value + V{}: that would turn -0 into 0
}

template <class V>
GATEWISE_INLINE V load(const Scalar<V>* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class V>
GATEWISE_INLINE void store(Scalar<V>* to, V v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// As many elements as F64 has, in one instruction: of __builtin_convertvector GCC 12 makes five.
GATEWISE_INLINE F64 load_as_double(const double* from) { return load<F64>(from); }
#if defined(__AVX512F__)
GATEWISE_INLINE F64 load_as_double(const float* from) { return _mm512_maskz_cvtps_pd(0xFF, _mm256_loadu_ps(from)); }
#elif defined(__AVX2__)
GATEWISE_INLINE F64 load_as_double(const float* from) { return _mm256_cvtps_pd(_mm_loadu_ps(from)); }
#elif defined(__ARM_NEON)
GATEWISE_INLINE F64 load_as_double(const float* from) { return vcvt_f64_f32(vld1_f32(from)); }
#endif

// The first `count` elements, count < kLanes<V>; the other lanes are zero. Masked instructions where there are any: memcpy of an unknown size
// is a function call.
#if defined(__AVX512F__)
GATEWISE_INLINE F32 load_first_of(F32, const float* from, unsigned mask) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from); }
GATEWISE_INLINE F64 load_first_of(F64, const double* from, unsigned mask) { return _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), from); }
template <class V>
GATEWISE_INLINE unsigned first_lanes(std::ptrdiff_t count) {
    return (1U << count) - 1U;
}
GATEWISE_INLINE void store_first_of(float* to, F32 v, std::ptrdiff_t count) {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>(first_lanes<F32>(count)), v);
}
GATEWISE_INLINE void store_first_of(double* to, F64 v, std::ptrdiff_t count) {
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>(first_lanes<F64>(count)), v);
}
#elif defined(__AVX2__)
GATEWISE_INLINE F32 load_first_of(F32, const float* from, Bits<F32> mask) {
    return _mm256_maskload_ps(from, reinterpret_cast<__m256i>(mask));
}
GATEWISE_INLINE F64 load_first_of(F64, const double* from, Bits<F64> mask) {
    return _mm256_maskload_pd(from, reinterpret_cast<__m256i>(mask));
}
// In pieces of half the size each: a masked store of AVX2 takes many times as long on AMD, and no load can have its numbers before it is done.
GATEWISE_INLINE void store_first_of(float* to, F32 v, std::ptrdiff_t count) {
    __m128 piece = _mm256_castps256_ps128(v);
    if (count & 4) {
        _mm_storeu_ps(to, piece);
        piece = _mm256_extractf128_ps(v, 1);
        to += 4;
    }
    if (count & 2) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_castps_si128(piece));
        piece = _mm_movehl_ps(piece, piece);
        to += 2;
    }
    if (count & 1) _mm_store_ss(to, piece);
}
GATEWISE_INLINE void store_first_of(double* to, F64 v, std::ptrdiff_t count) {
    __m128d piece = _mm256_castpd256_pd128(v);
    if (count & 2) {
        _mm_storeu_pd(to, piece);
        piece = _mm256_extractf128_pd(v, 1);
        to += 2;
    }
    if (count & 1) _mm_store_sd(to, piece);
}
template <class V>
GATEWISE_INLINE Bits<V> first_lanes(std::ptrdiff_t count);
template <>
GATEWISE_INLINE Bits<F32> first_lanes<F32>(std::ptrdiff_t count) {
    return Bits<F32>{0, 1, 2, 3, 4, 5, 6, 7} < static_cast<std::int32_t>(count);
}
template <>
GATEWISE_INLINE Bits<F64> first_lanes<F64>(std::ptrdiff_t count) {
    return Bits<F64>{0, 1, 2, 3} < static_cast<std::int64_t>(count);
}
#endif

template <class V>
GATEWISE_INLINE V load_first(const Scalar<V>* from, std::ptrdiff_t count) {
#if defined(__AVX2__)
    return load_first_of(V{}, from, first_lanes<V>(count));
#else
    V v{};
    __builtin_memcpy(&v, from, static_cast<std::size_t>(count) * sizeof(Scalar<V>));
    return v;
#endif
}

template <class V>
GATEWISE_INLINE void store_first(Scalar<V>* to, V v, std::ptrdiff_t count) {
#if defined(__AVX2__)
    store_first_of(to, v, count);
#else
    __builtin_memcpy(to, &v, static_cast<std::size_t>(count) * sizeof(Scalar<V>));
#endif
}

// Elements i .. i + kLanes - 1 of an array of n; lanes past its end are zero, or are not stored.
template <class V>
GATEWISE_INLINE V load_upto(const Scalar<V>* array, std::ptrdiff_t i, std::ptrdiff_t n) {
    if (i + kLanes<V> <= n) return load<V>(array + i);
    return i < n ? load_first<V>(array + i, n - i) : V{};
}

template <class V>
GATEWISE_INLINE void store_upto(Scalar<V>* array, V v, std::ptrdiff_t i, std::ptrdiff_t n) {
    if (i + kLanes<V> <= n) {
        store(array + i, v);
    } else if (i < n) {
        store_first(array + i, v, n - i);
    }
}

// v as the elements i .. of an array of n; lanes past its end are zero.
template <class V>
GATEWISE_INLINE V upto(V v, std::ptrdiff_t i, std::ptrdiff_t n) {
    if (i + kLanes<V> <= n) return v;
    Scalar<V> lanes[kLanes<V>];
    store(lanes, v);
    return load_upto<V>(lanes, 0, n - i);
}

// Calls visit(u) for each vector of the elements begin .. end - 1 of an array of n; end is n, or whole vectors behind begin. Whole vectors have a
// loop of their own, in which the compiler leaves out what load_upto and store_upto do at the end of an array.
template <class V, class Visit>
GATEWISE_INLINE void for_each_vector(std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t n, const Visit& visit) {
    std::ptrdiff_t u = begin;
    for (; u + kLanes<V> <= end; u += kLanes<V>) {
        if (u + kLanes<V> > n) __builtin_unreachable();
        visit(u);
    }
    if (u < end) visit(u);
}

// Past the caches, into a place aligned to a vector: for what is written whole lines at a time and read by nobody soon. A store of the usual kind
// first fetches its line and pushes another out. Whoever has streamed calls `end_streams` before others may read.
#if defined(__AVX512F__)
GATEWISE_INLINE void stream(float* to, F32 v) { _mm512_stream_ps(to, v); }
GATEWISE_INLINE void stream(double* to, F64 v) { _mm512_stream_pd(to, v); }
GATEWISE_INLINE void end_streams() { _mm_sfence(); }
#elif defined(__AVX2__)
GATEWISE_INLINE void stream(float* to, F32 v) { _mm256_stream_ps(to, v); }
GATEWISE_INLINE void stream(double* to, F64 v) { _mm256_stream_pd(to, v); }
GATEWISE_INLINE void end_streams() { _mm_sfence(); }
#elif defined(__ARM_NEON)
GATEWISE_INLINE void stream(float* to, F32 v) { store(to, v); }
GATEWISE_INLINE void stream(double* to, F64 v) { store(to, v); }
GATEWISE_INLINE void end_streams() {}
#endif

// a * b + c, rounded once. The compiler itself never contracts (-ffp-contract=off): what is fused is what says so.
#if defined(__AVX512F__)
GATEWISE_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
GATEWISE_INLINE F64 fma(F64 a, F64 b, F64 c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(__AVX2__)
GATEWISE_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
GATEWISE_INLINE F64 fma(F64 a, F64 b, F64 c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__ARM_NEON)
GATEWISE_INLINE F32 fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
GATEWISE_INLINE F64 fma(F64 a, F64 b, F64 c) { return vfmaq_f64(c, a, b); }
#endif

template <class V>
GATEWISE_INLINE Bits<V> sign_bits() {
    return reinterpret_cast<Bits<V>>(splat<V>(Scalar<V>(-0.0)));
}

template <class V>
GATEWISE_INLINE V absolute(V v) {
    return reinterpret_cast<V>(reinterpret_cast<Bits<V>>(v) & ~sign_bits<V>());
}

// magnitude, which has no sign of its own, with the sign of v.
template <class V>
GATEWISE_INLINE V with_sign_of(V v, V magnitude) {
    return reinterpret_cast<V>(reinterpret_cast<Bits<V>>(magnitude) | (reinterpret_cast<Bits<V>>(v) & sign_bits<V>()));
}

// Where one operand is NaN, x86 returns the second and ARM the NaN.
#if defined(__AVX512F__)
GATEWISE_INLINE F32 maximum(F32 a, F32 b) { return _mm512_maskz_max_ps(0xFFFF, a, b); }
GATEWISE_INLINE F64 maximum(F64 a, F64 b) { return _mm512_maskz_max_pd(0xFF, a, b); }
GATEWISE_INLINE F32 minimum(F32 a, F32 b) { return _mm512_maskz_min_ps(0xFFFF, a, b); }
GATEWISE_INLINE F64 minimum(F64 a, F64 b) { return _mm512_maskz_min_pd(0xFF, a, b); }
#elif defined(__AVX2__)
GATEWISE_INLINE F32 maximum(F32 a, F32 b) { return _mm256_max_ps(a, b); }
GATEWISE_INLINE F64 maximum(F64 a, F64 b) { return _mm256_max_pd(a, b); }
GATEWISE_INLINE F32 minimum(F32 a, F32 b) { return _mm256_min_ps(a, b); }
GATEWISE_INLINE F64 minimum(F64 a, F64 b) { return _mm256_min_pd(a, b); }
#elif defined(__ARM_NEON)
GATEWISE_INLINE F32 maximum(F32 a, F32 b) { return vmaxq_f32(a, b); }
GATEWISE_INLINE F64 maximum(F64 a, F64 b) { return vmaxq_f64(a, b); }
GATEWISE_INLINE F32 minimum(F32 a, F32 b) { return vminq_f32(a, b); }
GATEWISE_INLINE F64 minimum(F64 a, F64 b) { return vminq_f64(a, b); }
#endif

// max(v, low) and min(v, high), with NaN in v kept.
template <class V>
GATEWISE_INLINE V at_least(V v, Scalar<V> low) {
    return maximum(splat<V>(low), v);
}

template <class V>
GATEWISE_INLINE V at_most(V v, Scalar<V> high) {
    return minimum(splat<V>(high), v);
}

// v * 2^k, rounded once, for whole numbers k within twice the exponents of normal numbers. AVX-512 has an instruction for it; elsewhere 2^k is
// applied in two halves, of which neither leaves the normal numbers when the result does not.
#if defined(__AVX512F__)
GATEWISE_INLINE F32 times_power_of_two(F32 v, F32 k) { return _mm512_maskz_scalef_ps(0xFFFF, v, k); }
GATEWISE_INLINE F64 times_power_of_two(F64 v, F64 k) { return _mm512_maskz_scalef_pd(0xFF, v, k); }
#else
// Of a whole number below 2^(mantissa bits - 1): adding 1.5 * 2^(mantissa bits) leaves it in the lowest bits.
template <class V>
GATEWISE_INLINE Bits<V> to_integer(V k) {
    const V shift = splat<V>(Scalar<V>(3LL << (Traits<V>::kMantissaBits - 1)));
    return reinterpret_cast<Bits<V>>(k + shift) - reinterpret_cast<Bits<V>>(shift);
}

template <class V>
GATEWISE_INLINE V power_of_two(Bits<V> n) {
    return reinterpret_cast<V>((n + Traits<V>::kExponentBias) << Traits<V>::kMantissaBits);
}

template <class V>
GATEWISE_INLINE V times_power_of_two(V v, V k) {
    const Bits<V> n = to_integer(k), half = n >> 1;
    return v * power_of_two<V>(half) * power_of_two<V>(n - half);
}
#endif

// The number whose exponent, bias included, is in the lowest bits of v.
template <class V>
GATEWISE_INLINE V lowest_bits_as_exponent(V v) {
    return reinterpret_cast<V>(reinterpret_cast<Bits<V>>(v) << Traits<V>::kMantissaBits);
}

}  // namespace gatewise::GATEWISE_LEVEL
