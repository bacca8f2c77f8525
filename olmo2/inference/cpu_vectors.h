// Vectors of float32 as wide as the processor's, and what is loaded into them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif
typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint32_t Unsigned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

struct Bfloat16 {
    uint16_t bits;
};

struct Float16 {
    uint16_t bits;
};

inline float from_bits(uint32_t bits) {
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}

inline float to_float(float value) { return value; }
inline float to_float(Bfloat16 value) { return from_bits(uint32_t(value.bits) << 16); }
inline float to_float(Float16 value) {
    uint32_t sign = uint32_t(value.bits & 0x8000) << 16, rest = uint32_t(value.bits & 0x7FFF) << 13;
    // The exponent is 112 too small, which a product puts right, of subnormal numbers too; infinity and NaN have the highest.
    float size = rest >= 0x0F800000 ? from_bits(rest | 0x70000000) : from_bits(rest) * 0x1p112f;
    return sign ? -size : size;
}

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
#if defined(__AVX512F__)  // compilers make many instructions of what processors have one for
inline Unsigned widen(const Bfloat16* from) { return (Unsigned)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)); }
#elif defined(__AVX2__)
inline Unsigned widen(const Bfloat16* from) { return (Unsigned)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from)); }
#else
inline Unsigned widen(const Bfloat16* from) { return __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Unsigned); }
#endif
inline Vector load(const Bfloat16* from) { return (Vector)(widen(from) << 16); }
inline Vector load(const Float16* from) {
#if defined(__AVX512F__)
    return (Vector)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from));
#elif defined(__F16C__)
    return (Vector)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from));
#else
    Vector result;
    for (int lane = 0; lane < LANES; ++lane) result[lane] = to_float(from[lane]);
    return result;
#endif
}

inline void put(float* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }

// Compilers would rather load an input again for every row, and loading is what limits them.
inline void keep_in_register(Vector& values) {
#if defined(__AVX512F__)
    asm("" : "+v"(values));
#elif defined(__AVX2__)
    asm("" : "+x"(values));
#else
    (void)values;
#endif
}

// Bring the line of an address near; one that does not exist does no harm.
inline void ask_for(const void* address) { __builtin_prefetch(address, 0, 2); }

inline void store(float* to, float value) { *to = value; }
inline void store(Bfloat16* to, float value) {  // to the nearest, ties to even
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    to->bits = std::isnan(value) ? 0x7FC0 : uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
inline void store(Float16* to, float value) {  // to the nearest, ties to even; infinity beyond the largest
    uint32_t bits, sign;
    std::memcpy(&bits, &value, 4);
    sign = bits >> 16 & 0x8000, bits &= 0x7FFFFFFF;
    if (bits > 0x7F800000) {
        to->bits = uint16_t(sign | 0x7E00);
    } else if (bits >= 0x477FF000) {
        to->bits = uint16_t(sign | 0x7C00);
    } else if (bits < 0x38800000) {  // subnormal: adding a half leaves as many bits as there are
        float shifted = from_bits(bits) + 0.5f;
        std::memcpy(&bits, &shifted, 4);
        to->bits = uint16_t(sign | (bits - 0x3F000000));
    } else {
        to->bits = uint16_t(sign | ((bits - 0x38000000 + 0xFFF + (bits >> 13 & 1)) >> 13));
    }
}

#ifdef __AVX2__
inline float sum_of_eight(__m256 values) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}
#endif

inline float sum(Vector values) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)values);
#elif defined(__AVX2__)
    return sum_of_eight((__m256)values);
#else
    float total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += values[lane];
    return total;
#endif
}

// The sums of eight vectors.
inline void eight_sums(const Vector* from, float* to) {
#ifdef __AVX2__
    __m256 halves[8];
    for (int i = 0; i < 8; ++i) {
#ifdef __AVX512F__
        halves[i] = _mm256_add_ps(_mm512_castps512_ps256((__m512)from[i]),
                                  _mm256_castpd_ps(_mm512_extractf64x4_pd((__m512d)from[i], 1)));
#else
        halves[i] = (__m256)from[i];
#endif
    }
    __m256 first = _mm256_hadd_ps(_mm256_hadd_ps(halves[0], halves[1]), _mm256_hadd_ps(halves[2], halves[3]));
    __m256 second = _mm256_hadd_ps(_mm256_hadd_ps(halves[4], halves[5]), _mm256_hadd_ps(halves[6], halves[7]));
    _mm256_storeu_ps(to, _mm256_add_ps(_mm256_permute2f128_ps(first, second, 0x20), _mm256_permute2f128_ps(first, second, 0x31)));
#else
    for (int i = 0; i < 8; ++i) to[i] = sum(from[i]);
#endif
}

#ifdef __AVX2__
// Eight rows of eight words, so many words from one row to the next, as columns.
inline void transpose_eight(const float* from, size_t from_stride, float* to, size_t to_stride) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(from + i * from_stride);
    for (int i = 0; i < 4; ++i) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
            r[4 * i + 2 * j] = _mm256_shuffle_ps(t[4 * i + j], t[4 * i + j + 2], 0x44);
            r[4 * i + 2 * j + 1] = _mm256_shuffle_ps(t[4 * i + j], t[4 * i + j + 2], 0xEE);
        }
    for (int i = 0; i < 4; ++i) {
        _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
#endif

// e^x to 2e-7, relative: x = n ln 2 + r with a polynomial in r.
inline Vector exponential(Vector x) {
    x = x < -87.0f ? Vector{} - 87.0f : x;
    x = x > 88.0f ? Vector{} + 88.0f : x;
    Words whole = __builtin_convertvector(x * 1.44269504f + (x < 0.0f ? Vector{} - 0.5f : Vector{} + 0.5f), Words);
    Vector n = __builtin_convertvector(whole, Vector);
    Vector r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vector p = 1.9875691500e-4f + Vector{};
    for (float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = p * r + coefficient;
    return (p * r * r + r + 1.0f) * (Vector)((whole + 127) << 23);
}

}  // namespace
