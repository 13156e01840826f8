// Numbers of eight or sixteen rows of weights beside each other, and products of bytes that add to them. For x86 from
// AVX2 on; FUNCTIONGATE_LANES says whether there are any. Knows nothing of weights and batches.

#pragma once

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define FUNCTIONGATE_LANES 1

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace {

constexpr int LANES = 8;

// Sums of four products each, of an unsigned and a signed byte.
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
inline __m256i add_products(__m256i sum, __m256i unsigned_bytes, __m256i bytes) {
    return _mm256_dpbusd_epi32(sum, unsigned_bytes, bytes);
}
constexpr bool EXACT_FOR_BYTES = true;
#elif defined(__AVXVNNI__)
inline __m256i add_products(__m256i sum, __m256i unsigned_bytes, __m256i bytes) {
    return _mm256_dpbusd_avx_epi32(sum, unsigned_bytes, bytes);
}
constexpr bool EXACT_FOR_BYTES = true;
#else
inline __m256i add_products(__m256i sum, __m256i unsigned_bytes, __m256i bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(unsigned_bytes, bytes);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
constexpr bool EXACT_FOR_BYTES = false;  // two products of 255 * 127 are more than 16 bits hold
#endif

struct Eight {
    using Whole = __m256i;
    using Real  = __m256;

    static Whole zero() { return _mm256_setzero_si256(); }
    static Whole load(const void * from) { return _mm256_load_si256(static_cast<const __m256i *>(from)); }
    static Whole all(int32_t four_bytes) { return _mm256_set1_epi32(four_bytes); }
    static Real  real(Whole whole) { return _mm256_cvtepi32_ps(whole); }

    static Real no() { return _mm256_setzero_ps(); }
    static Real load(const float * from) { return _mm256_load_ps(from); }
    static Real load_anywhere(const float * from) { return _mm256_loadu_ps(from); }
    static void store_anywhere(float * to, Real value) { _mm256_storeu_ps(to, value); }
    static Real all(float value) { return _mm256_set1_ps(value); }
    static Real times(Real a, Real b) { return _mm256_mul_ps(a, b); }
    static Real plus_product(Real sum, Real a, Real b) { return _mm256_fmadd_ps(a, b, sum); }
};

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define FUNCTIONGATE_SIXTEEN_LANES 1

inline __m512i add_products(__m512i sum, __m512i unsigned_bytes, __m512i bytes) {
    return _mm512_dpbusd_epi32(sum, unsigned_bytes, bytes);
}

struct Sixteen {
    using Whole = __m512i;
    using Real  = __m512;

    static Whole zero() { return _mm512_setzero_si512(); }
    static Whole load(const void * from) { return _mm512_load_si512(from); }
    static Whole all(int32_t four_bytes) { return _mm512_set1_epi32(four_bytes); }
    // Not _mm512_cvtepi32_ps, which GCC 12 warns of where it is inlined (its bug 105593).
    static Real  real(Whole whole) { return __builtin_convertvector(reinterpret_cast<__v16si>(whole), __v16sf); }

    static Real no() { return _mm512_setzero_ps(); }
    static Real load(const float * from) { return _mm512_load_ps(from); }
    static Real load_anywhere(const float * from) { return _mm512_loadu_ps(from); }
    static void store_anywhere(float * to, Real value) { _mm512_storeu_ps(to, value); }
    static Real all(float value) { return _mm512_set1_ps(value); }
    static Real times(Real a, Real b) { return _mm512_mul_ps(a, b); }
    static Real plus_product(Real sum, Real a, Real b) { return _mm512_fmadd_ps(a, b, sum); }
};
#endif

inline __m256i load(const void * from) { return _mm256_loadu_si256(static_cast<const __m256i *>(from)); }

inline __m256i low_bits(__m256i bytes, char mask) { return _mm256_and_si256(bytes, _mm256_set1_epi8(mask)); }

// Eight vectors of eight numbers, as a table turned round.
inline void transpose(__m256i r[LANES]) {
    __m256i t[LANES];
    for (int i = 0; i < LANES; i += 2) {
        t[i]     = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4) {
        r[i]     = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i]     = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < LANES; i++) {
        r[i] = t[i];
    }
}

// The sum of each vector's eight numbers, beside each other, or of its first four and of its last four. Changes `r`.
template <int HALVES>
inline void sums_of(__m256i r[LANES], __m256i sums[HALVES]) {
    for (int i = 0; i < LANES; i += 4) {
        r[i] = _mm256_hadd_epi32(_mm256_hadd_epi32(r[i], r[i + 1]), _mm256_hadd_epi32(r[i + 2], r[i + 3]));
    }
    const __m256i first = _mm256_permute2x128_si256(r[0], r[4], 0x20), last = _mm256_permute2x128_si256(r[0], r[4], 0x31);
    if constexpr (HALVES == 1) {
        sums[0] = _mm256_add_epi32(first, last);
    } else {
        sums[0] = first;
        sums[1] = last;
    }
}

}  // namespace

#endif
