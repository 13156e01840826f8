// Blocks of quantized weights: their bytes and their scales, for eight rows at once. A type's row is a sequence of blocks
// with `parts` times 32 values; bytes(block, part) are 32 of them, and
//
//     weight = scale * (byte - offset) + floor
//
// where scales(...) fills `halves` scales, and floors, for each part of eight rows. Knows ggml's blocks, and nothing of
// the batch but the type that ggml quantizes it to.

#pragma once

#include "lanes.h"

#if FUNCTIONGATE_LANES

#include "ggml.h"
#include "quants.h"

namespace {

constexpr int BLOCK = 32;  // values unpacked together, of which one or two scales speak

inline __m256i nibbles(const uint8_t * packed) {
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i *>(packed));
    return low_bits(_mm256_set_m128i(_mm_srli_epi16(both, 4), both), 15);
}

// 16 in the bytes whose bit is set.
inline __m256i fifth_bits(const uint8_t * packed) {
    int32_t bits;
    std::memcpy(&bits, packed, sizeof bits);
    const __m256i places = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i masks  = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ULL));
    const __m256i inside = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), places), masks);
    return low_bits(_mm256_cmpeq_epi8(inside, masks), 16);
}

// One number of each of eight rows; put together in a register, since what was just stored in parts loads slowly.
template <class Block>
inline __m256 wide(const Block * const rows[LANES], ggml_half Block::* member) {
    __m128i halves = _mm_cvtsi32_si128(rows[0]->*member);
    halves = _mm_insert_epi16(halves, rows[1]->*member, 1);
    halves = _mm_insert_epi16(halves, rows[2]->*member, 2);
    halves = _mm_insert_epi16(halves, rows[3]->*member, 3);
    halves = _mm_insert_epi16(halves, rows[4]->*member, 4);
    halves = _mm_insert_epi16(halves, rows[5]->*member, 5);
    halves = _mm_insert_epi16(halves, rows[6]->*member, 6);
    halves = _mm_insert_epi16(halves, rows[7]->*member, 7);
    return _mm256_cvtph_ps(halves);
}

// Byte i of eight rows as eight numbers, for each of their eight bytes.
inline void columns_of(const uint64_t rows[LANES], __m256 columns[8], bool are_signed) {
    __m128i pairs[4];
    for (int i = 0; i < 4; i++) {
        pairs[i] = _mm_unpacklo_epi8(_mm_cvtsi64_si128(static_cast<int64_t>(rows[2 * i])),
                                     _mm_cvtsi64_si128(static_cast<int64_t>(rows[2 * i + 1])));
    }
    for (int half = 0; half < 2; half++) {
        const __m128i low  = half ? _mm_unpackhi_epi16(pairs[0], pairs[1]) : _mm_unpacklo_epi16(pairs[0], pairs[1]);
        const __m128i high = half ? _mm_unpackhi_epi16(pairs[2], pairs[3]) : _mm_unpacklo_epi16(pairs[2], pairs[3]);
        const __m128i two[2] = { _mm_unpacklo_epi32(low, high), _mm_unpackhi_epi32(low, high) };
        for (int i = 0; i < 4; i++) {
            const __m128i eight = i % 2 ? _mm_unpackhi_epi64(two[i / 2], two[i / 2]) : two[i / 2];
            const __m256i whole = are_signed ? _mm256_cvtepi8_epi32(eight) : _mm256_cvtepu8_epi32(eight);
            columns[4 * half + i] = _mm256_cvtepi32_ps(whole);
        }
    }
}

struct WithoutFloor {
    using input = block_q8_0;
    static constexpr ggml_type input_type = GGML_TYPE_Q8_0;
    static constexpr bool      has_floor  = false;
};

struct WithFloor {
    using input = block_q8_1;
    static constexpr ggml_type input_type = GGML_TYPE_Q8_1;
    static constexpr bool      has_floor  = true;
};

template <class Block>
struct Legacy {
    using block = Block;
    static constexpr bool is_rearranged = false;
    static constexpr int parts = 1, halves = 1;
};

struct Q4_0 : Legacy<block_q4_0>, WithoutFloor {
    static constexpr int offset = 8;

    static __m256i bytes(const block & b, int) { return nibbles(b.qs); }
    static void scales(const block * const rows[LANES], __m256 * scale, __m256 *) { *scale = wide(rows, &block::d); }
};

struct Q4_1 : Legacy<block_q4_1>, WithFloor {
    static constexpr int offset = 0;

    static __m256i bytes(const block & b, int) { return nibbles(b.qs); }
    static void scales(const block * const rows[LANES], __m256 * scale, __m256 * floor) {
        *scale = wide(rows, &block::d);
        *floor = wide(rows, &block::m);
    }
};

struct Q5_0 : Legacy<block_q5_0>, WithoutFloor {
    static constexpr int offset = 16;

    static __m256i bytes(const block & b, int) { return _mm256_or_si256(nibbles(b.qs), fifth_bits(b.qh)); }
    static void scales(const block * const rows[LANES], __m256 * scale, __m256 *) { *scale = wide(rows, &block::d); }
};

struct Q5_1 : Legacy<block_q5_1>, WithFloor {
    static constexpr int offset = 0;

    static __m256i bytes(const block & b, int) { return _mm256_or_si256(nibbles(b.qs), fifth_bits(b.qh)); }
    static void scales(const block * const rows[LANES], __m256 * scale, __m256 * floor) {
        *scale = wide(rows, &block::d);
        *floor = wide(rows, &block::m);
    }
};

struct Q8_0 : Legacy<block_q8_0>, WithoutFloor {
    static constexpr int offset = 128;

    static __m256i bytes(const block & b, int) { return _mm256_xor_si256(load(b.qs), _mm256_set1_epi8(-128)); }
    static void scales(const block * const rows[LANES], __m256 * scale, __m256 *) { *scale = wide(rows, &block::d); }
};

struct IQ4_NL : Legacy<block_iq4_nl>, WithoutFloor {
    static constexpr int offset = 128;

    static __m256i bytes(const block & b, int) {
        // ggml's sixteen values, -127 to 113, with the offset added
        const __m128i values = _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118,
                                             -127, -115, -103, -90, -75, -59, -39, -15);
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), nibbles(b.qs));
    }
    static void scales(const block * const rows[LANES], __m256 * scale, __m256 *) { *scale = wide(rows, &block::d); }
};

// Eight scales and eight floors of six bits, in twelve bytes: the first four of each, the second four's low bits
// beside each other, their high bits above the first four.
struct SixBits {
    uint64_t scales, floors;  // a byte each

    explicit SixBits(const uint8_t * twelve) {
        constexpr uint32_t SIX = 0x3f3f3f3f, FOUR = 0x0f0f0f0f, TWO = 0x03030303;
        uint32_t packed[3];
        std::memcpy(packed, twelve, sizeof packed);
        const uint32_t more_scales = (packed[2] & FOUR) | (((packed[0] >> 6) & TWO) << 4);
        const uint32_t more_floors = ((packed[2] >> 4) & FOUR) | (((packed[1] >> 6) & TWO) << 4);
        scales = (packed[0] & SIX) | static_cast<uint64_t>(more_scales) << 32;
        floors = (packed[1] & SIX) | static_cast<uint64_t>(more_floors) << 32;
    }
};

template <class Block>
struct SixBitScales : WithFloor {
    using block = Block;
    static constexpr bool is_rearranged = false;
    static constexpr int parts = 8, halves = 1, offset = 0;

    static void scales(const block * const rows[LANES], __m256 * scale, __m256 * floor) {
        uint64_t scales[LANES], floors[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            const SixBits six(rows[lane]->scales);
            scales[lane] = six.scales;
            floors[lane] = six.floors;
        }
        columns_of(scales, scale, false);
        columns_of(floors, floor, false);
        const __m256 d    = wide(rows, &block::d);
        const __m256 down = _mm256_sub_ps(_mm256_setzero_ps(), wide(rows, &block::dmin));
        for (int part = 0; part < parts; part++) {
            scale[part] = _mm256_mul_ps(scale[part], d);
            floor[part] = _mm256_mul_ps(floor[part], down);
        }
    }
};

struct Q4_K : SixBitScales<block_q4_K> {
    static __m256i bytes(const block & b, int part) {
        return low_bits(_mm256_srli_epi16(load(b.qs + part / 2 * 32), part % 2 * 4), 15);
    }
};

struct Q5_K : SixBitScales<block_q5_K> {
    static __m256i bytes(const block & b, int part) {
        const __m256i low = low_bits(_mm256_srli_epi16(load(b.qs + part / 2 * 32), part % 2 * 4), 15);
        return _mm256_or_si256(low, _mm256_slli_epi16(low_bits(_mm256_srli_epi16(load(b.qh), part), 1), 4));
    }
};

struct Q6_K : WithoutFloor {
    using block = block_q6_K;
    static constexpr bool is_rearranged = false;
    static constexpr int parts = 8, halves = 2, offset = 32;

    static __m256i bytes(const block & b, int part) {
        const int     half = part / 4, place = part % 4;
        const __m256i low  = low_bits(_mm256_srli_epi16(load(b.ql + half * 64 + place % 2 * 32), place / 2 * 4), 15);
        const __m256i high = low_bits(_mm256_srli_epi16(load(b.qh + half * 32), place * 2), 3);
        return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
    }
    static void scales(const block * const rows[LANES], __m256 * scale, __m256 *) {
        const __m256 d = wide(rows, &block::d);
        for (int half = 0; half < 2; half++) {
            uint64_t packed[LANES];
            for (int lane = 0; lane < LANES; lane++) {
                std::memcpy(&packed[lane], rows[lane]->scales + 8 * half, sizeof packed[lane]);
            }
            columns_of(packed, scale + 8 * half, true);
        }
        for (int i = 0; i < parts * halves; i++) {
            scale[i] = _mm256_mul_ps(scale[i], d);
        }
    }
};

// Eight rows of Q4_K as ggml rearranges them for AVX2: eight bytes of each row in turn, and the scales and floors of
// the eight rows in the twelve bytes that one row's had.
struct Q4_Kx8 {
    ggml_half d[LANES], dmin[LANES];
    uint8_t   scales[8][12];
    uint8_t   qs[16][LANES][8];
};

struct RearrangedQ4_K : WithFloor {
    using block = Q4_Kx8;
    static constexpr bool is_rearranged = true;
    static constexpr int parts = 8, halves = 1, offset = 0;

    static void scales(const block & eight, __m256 * scale, __m256 * floor) {
        const __m256 d    = numbers(eight.d);
        const __m256 down = _mm256_sub_ps(_mm256_setzero_ps(), numbers(eight.dmin));
        alignas(32) uint8_t six[parts][2][LANES];
        for (int part = 0; part < parts; part += 2) {
            _mm256_store_si256(reinterpret_cast<__m256i *>(six[part]), six_bits(eight.scales[part], eight.scales[part + 1]));
        }
        for (int part = 0; part < parts; part++) {
            scale[part] = _mm256_mul_ps(numbers(six[part][0]), d);
            floor[part] = _mm256_mul_ps(numbers(six[part][1]), down);
        }
    }

    // What SixBits does, for two times twelve bytes: eight scales and eight floors of each, a byte a number.
    static __m256i six_bits(const uint8_t * one, const uint8_t * two) {
        const __m256i packed = _mm256_set_m128i(_mm_loadu_si128(reinterpret_cast<const __m128i *>(two)),
                                                _mm_loadu_si128(reinterpret_cast<const __m128i *>(one)));
        // The four numbers of 32 bits: packed[0], [2], [1] and [2], where the last has floors in its high bits.
        const __m256i low  = _mm256_srlv_epi32(_mm256_shuffle_epi32(packed, _MM_SHUFFLE(2, 1, 2, 0)),
                                               _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4));
        const __m256i high = _mm256_srli_epi32(_mm256_shuffle_epi32(packed, _MM_SHUFFLE(1, 1, 0, 0)), 2);
        const __m256i lows = _mm256_set1_epi64x(0x0f0f0f0f3f3f3f3f), highs = _mm256_set1_epi64x(0x3030303000000000);
        return _mm256_or_si256(_mm256_and_si256(low, lows), _mm256_and_si256(high, highs));
    }

    static __m256 numbers(const ggml_half halves[LANES]) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(halves)));
    }

    static __m256 numbers(const uint8_t bytes[LANES]) {
        return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(bytes))));
    }
};

}  // namespace

#endif
