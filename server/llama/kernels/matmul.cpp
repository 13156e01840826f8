// Products of quantized weights with a few rows or many, for ggml's CPU backend on x86.
//
// ggml's kernels are made for one row and for hundreds: up to eight or sixteen rows they unpack the weights anew for
// each row or every four. A forced run or a draft is a few rows. Here eight rows of weights are unpacked once for the
// whole batch, as lanes beside each other, and a product of bytes adds to eight sums that need no adding up afterwards.
//
// Knows ggml's blocks, its threads and its scratch memory; nothing of models. It stands before ggml's own tiled
// product, and before what ggml does with weights that it rearranged as it loaded them, and calls those for the rest:
// see bindings.cmake.
//
// The law: a product depends on its own row of the batch and its own weights only, not on the rows beside it: whole
// numbers for each scale, then scales in their order, whether there is one row or five hundred. Of types in blocks of
// 256 ggml multiplies up to three rows, and from forty on, and rounds otherwise: there its kernels are the faster ones.
//
// FUNCTIONGATE_KERNELS=0 in the environment leaves everything to ggml, for figures to compare with llama.cpp's.

#include "switch.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "ggml-backend-impl.h"
#include "quants.h"
#include "tiled/tiled.h"
#include "traits.h"

#include <cstdint>
#include <cstring>

// From repack.h, which declares ggml's blocks in a way that quants.h does not bear.
ggml_backend_buffer_type_t ggml_backend_cpu_repack_buffer_type(void);

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

namespace {

constexpr int LANES   = 8;   // rows of weights unpacked together
constexpr int BLOCK   = 32;  // values unpacked together, of which one or two scales speak
constexpr int QUADS   = BLOCK / 4;
constexpr int BLOCKS  = 32;  // of one chunk: what is unpacked stays in the first cache
constexpr int WIDTH   = 4;   // rows of the batch whose sums are in registers together; fewer are not worth a panel
constexpr int LONGEST = 1024;  // blocks of a row for which the sums of few rows are kept

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

inline float wide(ggml_half half) { return _cvtsh_ss(half); }

inline __m256i load(const void * from) { return _mm256_loadu_si256(static_cast<const __m256i *>(from)); }

inline __m256i low_bits(__m256i bytes, char mask) { return _mm256_and_si256(bytes, _mm256_set1_epi8(mask)); }

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

// The types. A row is a sequence of blocks with `parts` times 32 values; bytes(block, part) are 32 of them, and
// weight = scale * (byte - offset) + floor, where scales(...) fills `halves` scales, and floors, for each part of eight
// rows. `input` is what a row of the batch is quantized to.
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
    static constexpr int parts = 1, halves = 1, least = 1, most = 1 << 30;  // rows of the batch
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
    static constexpr int parts = 8, halves = 1, offset = 0, least = 4, most = 39;

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
    static constexpr int parts = 8, halves = 2, offset = 32, least = 4, most = 39;

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
    static constexpr int parts = 8, halves = 1, offset = 0, least = 4, most = 1 << 30;
};

// One chunk of eight rows of weights: byte 4 * lane + i of a quad is value 4 * quad + i of that lane's row.
struct Panel {
    alignas(32) int8_t  bytes[BLOCKS][QUADS][LANES * 4];
    alignas(32) float   scale[BLOCKS * 2][LANES];
    alignas(32) float   floor[BLOCKS][LANES];
    alignas(32) int32_t start[BLOCKS * 2][LANES];  // -128 times the sum of a scale's bytes: inputs have 128 added
};

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

// Eight rows are read side by side, which the processor does not take for a stream. So while a part of a block of them
// is read, as much of the next eight is asked for, a few lines at a time. That was a third of a token's time.
template <class Type>
inline void ask_for_next(const char * rows, size_t stride, int64_t block, int part) {
    constexpr size_t size = LANES * sizeof(typename Type::block) / Type::parts;
    const char *     next = rows + LANES * (stride + block * sizeof(typename Type::block)) + part * size;
    for (size_t i = 0; i < size; i += 64) {
        _mm_prefetch(next + i, _MM_HINT_T0);
    }
}

inline __m256 wide(const ggml_half halves[LANES]) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(halves)));
}

inline __m256 numbers(uint64_t bytes) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes))));
}

inline void put_start(Panel & panel, int place, __m256i sum) {
    const __m256i start = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 7));
    _mm256_store_si256(reinterpret_cast<__m256i *>(panel.start[place]), start);
}

// Of eight rows' eight bytes the first four, or the last, of each row.
template <int QUAD>
inline __m256i quad_of(__m256i rows_to_3, __m256i rows_to_7) {
    const __m256 low   = _mm256_castsi256_ps(rows_to_3), high = _mm256_castsi256_ps(rows_to_7);
    const __m256 mixed = _mm256_shuffle_ps(low, high, QUAD ? 0xDD : 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xD8);
}

inline void unpack_rearranged(const Q4_Kx8 & block, int b, Panel & panel) {
    const __m256 d    = wide(block.d);
    const __m256 down = _mm256_sub_ps(_mm256_setzero_ps(), wide(block.dmin));
    for (int part = 0; part < 8; part++) {
        const SixBits six(block.scales[part]);
        _mm256_store_ps(panel.scale[b + part], _mm256_mul_ps(numbers(six.scales), d));
        _mm256_store_ps(panel.floor[b + part], _mm256_mul_ps(numbers(six.floors), down));
    }
    for (int pair = 0; pair < 4; pair++) {
        for (int high = 0; high < 2; high++) {
            const int part = b + 2 * pair + high;
            __m256i   sum  = _mm256_setzero_si256();
            for (int group = 0; group < 4; group++) {
                const uint8_t * from = block.qs[4 * pair + group][0];
                const __m256i   one  = low_bits(_mm256_srli_epi16(load(from), 4 * high), 15);
                const __m256i   two  = low_bits(_mm256_srli_epi16(load(from + 32), 4 * high), 15);
                const __m256i   quads[2] = { quad_of<0>(one, two), quad_of<1>(one, two) };
                for (int i = 0; i < 2; i++) {
                    _mm256_store_si256(reinterpret_cast<__m256i *>(panel.bytes[part][2 * group + i]), quads[i]);
                    sum = add_products(sum, _mm256_set1_epi8(1), quads[i]);
                }
            }
            put_start(panel, part, sum);
        }
    }
}

template <class Block>
inline void rows_at(const char * rows, size_t stride, int64_t block, const Block * found[LANES]) {
    for (int lane = 0; lane < LANES; lane++) {
        found[lane] = reinterpret_cast<const Block *>(rows + lane * stride) + block;
    }
}

// Blocks of 32 from `first` on, `n` of them, which begin and end with a block of the type.
template <class Type>
void unpack(const char * rows, size_t stride, int64_t first, int n, Panel & panel) {
    constexpr int halves = Type::halves;
    for (int b = 0; b < n; b += Type::parts) {
        const typename Type::block * blocks[LANES];
        rows_at(rows, stride, (first + b) / Type::parts, blocks);
        __m256 scale[Type::parts * halves], floor[Type::parts];
        Type::scales(blocks, scale, floor);
        for (int i = 0; i < Type::parts * halves; i++) {
            _mm256_store_ps(panel.scale[b * halves + i], scale[i]);
        }
        for (int part = 0; part < Type::parts; part++) {
            ask_for_next<Type>(rows, stride, (first + b) / Type::parts, part);
            if constexpr (Type::has_floor) {
                _mm256_store_ps(panel.floor[b + part], floor[part]);
            }
            __m256i r[LANES];
#pragma GCC unroll 8
            for (int lane = 0; lane < LANES; lane++) {
                const __m256i offset = _mm256_set1_epi8(static_cast<char>(Type::offset));
                r[lane] = _mm256_sub_epi8(Type::bytes(*blocks[lane], part), offset);
            }
            transpose(r);
            for (int half = 0; half < halves; half++) {
                __m256i sum = _mm256_setzero_si256();
                for (int quad = half * QUADS / halves; quad < (half + 1) * QUADS / halves; quad++) {
                    _mm256_store_si256(reinterpret_cast<__m256i *>(panel.bytes[b + part][quad]), r[quad]);
                    sum = add_products(sum, _mm256_set1_epi8(1), r[quad]);
                }
                put_start(panel, (b + part) * halves + half, sum);
            }
        }
    }
}

template <>
void unpack<RearrangedQ4_K>(const char * rows, size_t, int64_t first, int n, Panel & panel) {
    for (int b = 0; b < n; b += RearrangedQ4_K::parts) {
        unpack_rearranged(reinterpret_cast<const Q4_Kx8 *>(rows)[(first + b) / RearrangedQ4_K::parts], b, panel);
    }
}

// Adds the chunk's products with `N` rows of the batch to `out`, which are `n_out` floats apart.
template <class Type, int N>
void multiply(const Panel & panel, const typename Type::input * rows, int64_t stride, int n, float * out, int64_t n_out,
              bool is_first) {
    constexpr int halves = Type::halves, quads = QUADS / halves;
    __m256 sum[N];
    for (int i = 0; i < N; i++) {
        sum[i] = is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(out + i * n_out);
    }
    for (int b = 0; b < n; b++) {
#pragma GCC unroll 2
        for (int half = 0; half < halves; half++) {
            __m256i part[N];
            for (int i = 0; i < N; i++) {
                part[i] = _mm256_load_si256(reinterpret_cast<const __m256i *>(panel.start[b * halves + half]));
            }
#pragma GCC unroll 8
            for (int quad = half * quads; quad < (half + 1) * quads; quad++) {
                const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i *>(panel.bytes[b][quad]));
                for (int i = 0; i < N; i++) {
                    int32_t four;
                    std::memcpy(&four, rows[i * stride + b].qs + 4 * quad, sizeof four);
                    part[i] = add_products(part[i], _mm256_set1_epi32(four), bytes);
                }
            }
            const __m256 scale = _mm256_load_ps(panel.scale[b * halves + half]);
            for (int i = 0; i < N; i++) {
                const __m256 whole = _mm256_mul_ps(_mm256_cvtepi32_ps(part[i]), scale);
                sum[i] = _mm256_fmadd_ps(whole, _mm256_set1_ps(wide(rows[i * stride + b].d)), sum[i]);
            }
        }
        if constexpr (Type::has_floor) {
            for (int i = 0; i < N; i++) {
                const __m256 total = _mm256_set1_ps(wide(rows[i * stride + b].s));
                sum[i] = _mm256_fmadd_ps(_mm256_load_ps(panel.floor[b]), total, sum[i]);
            }
        }
    }
    for (int i = 0; i < N; i++) {
        _mm256_storeu_ps(out + i * n_out, sum[i]);
    }
}

// The sum of each vector's eight numbers, beside each other. Changes `r`.
inline __m256i sums_of(__m256i r[LANES]) {
    for (int i = 0; i < LANES; i += 4) {
        r[i] = _mm256_hadd_epi32(_mm256_hadd_epi32(r[i], r[i + 1]), _mm256_hadd_epi32(r[i + 2], r[i + 3]));
    }
    return _mm256_add_epi32(_mm256_permute2x128_si256(r[0], r[4], 0x20), _mm256_permute2x128_si256(r[0], r[4], 0x31));
}

inline int32_t sum_of(const int8_t * bytes) {
    const __m256i eight = add_products(_mm256_setzero_si256(), _mm256_set1_epi8(1), load(bytes));
    const __m256i four  = _mm256_hadd_epi32(eight, eight);
    const __m256i two   = _mm256_hadd_epi32(four, four);
    return _mm256_cvtsi256_si32(two) + _mm_cvtsi128_si32(_mm256_extracti128_si256(two, 1));
}

// Eight rows of weights in blocks of 32 with `N` rows of the batch, of which `totals` has the sums of each block. What
// is unpacked is used at once: for so few rows a panel costs more than it saves. Rounds as `multiply` does.
template <class Type, int N>
void multiply_directly(const char * weights, size_t stride, const typename Type::input * rows,
                       const int32_t (*totals)[LONGEST], int64_t n_blocks, float * out, int64_t n_out) {
    static_assert(Type::parts == 1);
    __m256 sum[N];
    for (int i = 0; i < N; i++) {
        sum[i] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < n_blocks; b++) {
        const typename Type::block * blocks[LANES];
        ask_for_next<Type>(weights, stride, b, 0);
        rows_at(weights, stride, b, blocks);
        __m256 scale, floor;
        Type::scales(blocks, &scale, &floor);
        __m256i part[N][LANES];
#pragma GCC unroll 8
        for (int lane = 0; lane < LANES; lane++) {
            const __m256i bytes = Type::bytes(*blocks[lane], 0);
            for (int i = 0; i < N; i++) {
                part[i][lane] = add_products(_mm256_setzero_si256(), bytes, load(rows[i * n_blocks + b].qs));
            }
        }
        for (int i = 0; i < N; i++) {
            const auto & input = rows[i * n_blocks + b];
            __m256i      exact = sums_of(part[i]);
            if constexpr (Type::offset != 0) {
                exact = _mm256_sub_epi32(exact, _mm256_set1_epi32(Type::offset * totals[i][b]));
            }
            const __m256 whole = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), scale);
            sum[i] = _mm256_fmadd_ps(whole, _mm256_set1_ps(wide(input.d)), sum[i]);
            if constexpr (Type::has_floor) {
                sum[i] = _mm256_fmadd_ps(floor, _mm256_set1_ps(wide(input.s)), sum[i]);
            }
        }
    }
    for (int i = 0; i < N; i++) {
        _mm256_storeu_ps(out + i * n_out, sum[i]);
    }
}

template <class Type>
class Product {
  public:
    using input = typename Type::input;
    static constexpr bool CAN_BE_DIRECT = Type::least < WIDTH;

    Product(const ggml_compute_params * params, ggml_tensor * dst)
        : params(params), weights(dst->src[0]), batch(dst->src[1]), dst(dst), n_blocks(weights->ne[0] / BLOCK),
          n_rows(batch->ne[1]), is_direct(CAN_BE_DIRECT && n_rows < WIDTH) {}

    bool suits() const {
        return (EXACT_FOR_BYTES || Type::offset < 128) && weights->ne[1] % LANES == 0
            && n_rows >= Type::least && n_rows <= Type::most
            && (!is_direct || n_blocks <= LONGEST) && n_rows * n_blocks * sizeof(input) <= params->wsize;
    }

    void run() const {
        quantize();
        if (params->ith == 0) {
            ggml_threadpool_chunk_set(params->threadpool, params->nth);
        }
        ggml_barrier(params->threadpool);
        int32_t totals[WIDTH - 1][LONGEST];
        if (is_direct && Type::offset != 0) {
            for (int64_t i = 0; i < n_rows * n_blocks; i++) {
                totals[i / n_blocks][i % n_blocks] = sum_of(inputs()[i].qs);
            }
        }
        const int64_t n_panels = weights->ne[1] / LANES;
        const int64_t share    = (n_panels + 8 * params->nth - 1) / (8 * params->nth);
        for (int64_t chunk = params->ith; chunk * share < n_panels;
             chunk = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            for (int64_t i = chunk * share; i < n_panels && i < (chunk + 1) * share; i++) {
                is_direct ? fill_directly(i * LANES, totals) : fill(i * LANES);
            }
        }
    }

  private:
    const ggml_compute_params * params;
    const ggml_tensor *         weights;
    const ggml_tensor *         batch;
    ggml_tensor *               dst;
    int64_t                     n_blocks, n_rows;
    bool                        is_direct;

    // Each thread quantizes its share of every row. For a panel 128 is added to make the bytes unsigned.
    void quantize() const {
        const int64_t begin      = n_blocks * params->ith / params->nth;
        const int64_t end        = n_blocks * (params->ith + 1) / params->nth;
        const auto    from_float = ggml_get_type_traits_cpu(Type::input_type)->from_float;
        for (int64_t row = 0; row < n_rows && begin < end; row++) {
            const char * from = static_cast<const char *>(batch->data) + row * batch->nb[1];
            from_float(reinterpret_cast<const float *>(from) + begin * BLOCK, inputs() + row * n_blocks + begin,
                       (end - begin) * BLOCK);
            for (int64_t b = begin; b < end && !is_direct; b++) {
                __m256i * bytes = reinterpret_cast<__m256i *>(inputs()[row * n_blocks + b].qs);
                _mm256_storeu_si256(bytes, _mm256_xor_si256(_mm256_loadu_si256(bytes), _mm256_set1_epi8(-128)));
            }
        }
    }

    // Eight rows of weights with all rows of the batch.
    void fill(int64_t first) const {
        Panel panel;
        for (int64_t b = 0; b < n_blocks; b += BLOCKS) {
            const int n = n_blocks - b < BLOCKS ? static_cast<int>(n_blocks - b) : BLOCKS;
            unpack<Type>(rows_from(first), weights->nb[1], b, n, panel);
            int64_t row = 0;
            for (; row + WIDTH <= n_rows; row += WIDTH) {
                add<WIDTH>(panel, first, row, b, n);
            }
            switch (n_rows - row) {
                case 3: add<3>(panel, first, row, b, n); break;
                case 2: add<2>(panel, first, row, b, n); break;
                case 1: add<1>(panel, first, row, b, n); break;
                default: break;
            }
        }
    }

    template <int N>
    void add(const Panel & panel, int64_t first, int64_t row, int64_t b, int n) const {
        multiply<Type, N>(panel, inputs() + row * n_blocks + b, n_blocks, n, out(first, row), n_out(), b == 0);
    }

    void fill_directly(int64_t first, const int32_t (*totals)[LONGEST]) const {
        if constexpr (CAN_BE_DIRECT) {
            const auto multiplied = n_rows == 1 ? multiply_directly<Type, 1>
                                  : n_rows == 2 ? multiply_directly<Type, 2>
                                                : multiply_directly<Type, 3>;
            multiplied(rows_from(first), weights->nb[1], inputs(), totals, n_blocks, out(first, 0), n_out());
        }
    }

    const char * rows_from(int64_t first) const {
        return static_cast<const char *>(weights->data) + first * weights->nb[1];
    }

    input * inputs() const { return static_cast<input *>(params->wdata); }

    int64_t n_out() const { return dst->nb[1] / sizeof(float); }

    float * out(int64_t first, int64_t row) const { return static_cast<float *>(dst->data) + row * n_out() + first; }
};

template <class Type>
bool multiplied(const ggml_compute_params * params, ggml_tensor * dst) {
    const Product<Type> product(params, dst);
    if (!product.suits()) {
        return false;
    }
    product.run();
    return true;
}

bool is_plain(const ggml_compute_params * params, const ggml_tensor * dst) {
    const ggml_tensor * weights = dst->src[0];
    const ggml_tensor * batch   = dst->src[1];
    return !params->use_ref && batch->type == GGML_TYPE_F32 && dst->type == GGML_TYPE_F32
        && weights->ne[2] == 1 && weights->ne[3] == 1 && batch->ne[2] == 1 && batch->ne[3] == 1
        && weights->nb[0] == ggml_type_size(weights->type) && batch->nb[0] == sizeof(float)
        && dst->nb[0] == sizeof(float) && weights->ne[0] % ggml_blck_size(weights->type) == 0;
}

bool multiplied_here(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_plain(params, dst)) {
        return false;
    }
    switch (dst->src[0]->type) {
        case GGML_TYPE_Q4_0:   return multiplied<Q4_0>(params, dst);
        case GGML_TYPE_Q4_1:   return multiplied<Q4_1>(params, dst);
        case GGML_TYPE_Q5_0:   return multiplied<Q5_0>(params, dst);
        case GGML_TYPE_Q5_1:   return multiplied<Q5_1>(params, dst);
        case GGML_TYPE_Q8_0:   return multiplied<Q8_0>(params, dst);
        case GGML_TYPE_IQ4_NL: return multiplied<IQ4_NL>(params, dst);
        case GGML_TYPE_Q4_K:   return multiplied<Q4_K>(params, dst);
        case GGML_TYPE_Q5_K:   return multiplied<Q5_K>(params, dst);
        case GGML_TYPE_Q6_K:   return multiplied<Q6_K>(params, dst);
        default: return false;
    }
}

bool multiplied_rearranged(const ggml_compute_params * params, ggml_tensor * dst) {
#ifdef GGML_USE_CPU_REPACK
    const ggml_tensor * weights = dst->src[0];
    return dst->op == GGML_OP_MUL_MAT && weights->type == GGML_TYPE_Q4_K && weights->buffer
        && weights->buffer->buft == ggml_backend_cpu_repack_buffer_type() && is_plain(params, dst)
        && multiplied<RearrangedQ4_K>(params, dst);
#else
    return false;
#endif
}

}  // namespace

#else

namespace {

bool multiplied_here(const ggml_compute_params *, ggml_tensor *) { return false; }
bool multiplied_rearranged(const ggml_compute_params *, ggml_tensor *) { return false; }

}  // namespace

#endif

extern "C" bool functiongate_matmul(const ggml_compute_params * params, ggml_tensor * dst);

bool functiongate_matmul(const ggml_compute_params * params, ggml_tensor * dst) {
    return (functiongate_kernels_are_on() && multiplied_here(params, dst))
        || ggml_compute_forward_mul_mat_tiled(params, dst);
}

extern "C" bool functiongate_rearranged(ggml_compute_params * params, ggml_tensor * dst);

bool functiongate_rearranged(ggml_compute_params * params, ggml_tensor * dst) {
    return (functiongate_kernels_are_on() && multiplied_rearranged(params, dst))
        || ggml_cpu_extra_compute_forward(params, dst);
}
