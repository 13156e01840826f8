// Products of weights in blocks of 32 (Q4_1, Q5_0, Q5_1, Q8_0) with a few rows or many, for ggml's CPU backend on x86.
//
// The rows of small models are no multiples of 256, so their weights come in these types, which ggml unpacks anew for
// every row (Q4_1, Q5_1) or every four (Q5_0, Q8_0). Here eight rows of weights are unpacked once for all rows of the
// batch, as lanes beside each other, and every byte product adds to eight sums that need no adding up afterwards.
//
// Knows ggml's blocks, its threads and its scratch memory; nothing of models. It stands before ggml's own tiled
// product, which knows the types in blocks of 256, and calls that for the rest: see bindings.cmake.
//
// The law: a product depends on its own row of the batch and its own weights only, not on the rows beside it: whole
// numbers within a block, then blocks in their order, whether there is one row or five hundred.

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "quants.h"
#include "tiled/tiled.h"

#include <cstdint>
#include <cstring>

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>

namespace {

constexpr int LANES  = 8;   // rows of weights unpacked together
constexpr int BLOCK  = 32;  // values of one scale
constexpr int QUADS  = BLOCK / 4;
constexpr int BLOCKS = 32;  // of one chunk: what is unpacked stays in the first cache
constexpr int WIDTH  = 4;   // rows of the batch whose sums are in registers together; fewer are not worth a panel
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

// One number of each of eight blocks; put together in a register, since what was just stored in parts loads slowly.
template <class Block>
inline __m256 wide(const Block * const blocks[LANES], ggml_half Block::* member) {
    __m128i halves = _mm_cvtsi32_si128(blocks[0]->*member);
    halves = _mm_insert_epi16(halves, blocks[1]->*member, 1);
    halves = _mm_insert_epi16(halves, blocks[2]->*member, 2);
    halves = _mm_insert_epi16(halves, blocks[3]->*member, 3);
    halves = _mm_insert_epi16(halves, blocks[4]->*member, 4);
    halves = _mm_insert_epi16(halves, blocks[5]->*member, 5);
    halves = _mm_insert_epi16(halves, blocks[6]->*member, 6);
    halves = _mm_insert_epi16(halves, blocks[7]->*member, 7);
    return _mm256_cvtph_ps(halves);
}

inline __m256i nibbles(const uint8_t * packed) {
    const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i *>(packed));
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(both, 4), both), _mm256_set1_epi8(15));
}

// All ones in the bytes whose bit is 0.
inline __m256i clear_bits(const uint8_t * packed) {
    int32_t bits;
    std::memcpy(&bits, packed, sizeof bits);
    const __m256i places = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i bytes  = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), places);
    const __m256i masks  = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ULL));
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, masks), _mm256_setzero_si256());
}

// What ggml quantizes a row of the batch to, and how 32 weights become bytes: weight = scale * (byte - offset) + floor.
struct Q4_1 {
    using block = block_q4_1;
    using input = block_q8_1;
    static constexpr ggml_type input_type = GGML_TYPE_Q8_1;
    static constexpr bool      has_floor  = true;
    static constexpr int       offset     = 0;

    static __m256i bytes(const block & b) { return nibbles(b.qs); }
};

struct Q5_0 {
    using block = block_q5_0;
    using input = block_q8_0;
    static constexpr ggml_type input_type = GGML_TYPE_Q8_0;
    static constexpr bool      has_floor  = false;
    static constexpr int       offset     = 16;

    static __m256i bytes(const block & b) {
        return _mm256_or_si256(nibbles(b.qs), _mm256_andnot_si256(clear_bits(b.qh), _mm256_set1_epi8(16)));
    }
};

struct Q5_1 {
    using block = block_q5_1;
    using input = block_q8_1;
    static constexpr ggml_type input_type = GGML_TYPE_Q8_1;
    static constexpr bool      has_floor  = true;
    static constexpr int       offset     = 0;

    static __m256i bytes(const block & b) {
        return _mm256_or_si256(nibbles(b.qs), _mm256_andnot_si256(clear_bits(b.qh), _mm256_set1_epi8(16)));
    }
};

struct Q8_0 {
    using block = block_q8_0;
    using input = block_q8_0;
    static constexpr ggml_type input_type = GGML_TYPE_Q8_0;
    static constexpr bool      has_floor  = false;
    static constexpr int       offset     = 128;

    static __m256i bytes(const block & b) {
        return _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(b.qs)), _mm256_set1_epi8(-128));
    }
};

// One chunk of eight rows of weights: byte 4 * lane + i of a quad is value 4 * quad + i of that lane's row.
struct Panel {
    alignas(32) int8_t  bytes[BLOCKS][QUADS][LANES * 4];
    alignas(32) float   scale[BLOCKS][LANES];
    alignas(32) float   floor[BLOCKS][LANES];
    alignas(32) int32_t start[BLOCKS][LANES];  // -128 times the sum of the bytes: inputs are stored with 128 added
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

// Eight rows are read side by side, which the processor does not take for a stream. So while block `b` of them is read,
// as much of the next eight is asked for. That was a third of a token's time.
template <class Type>
inline void ask_for_next(const char * rows, size_t stride, int64_t b) {
    const char * next = rows + LANES * (stride + b * sizeof(typename Type::block));
    for (size_t i = 0; i < LANES * sizeof(typename Type::block); i += 64) {
        _mm_prefetch(next + i, _MM_HINT_T0);
    }
}

template <class Type>
void unpack(const char * rows, size_t stride, int64_t first, int n, Panel & panel) {
    for (int b = 0; b < n; b++) {
        ask_for_next<Type>(rows, stride, first + b);
        __m256i                      r[LANES];
        const typename Type::block * blocks[LANES];
#pragma GCC unroll 8
        for (int lane = 0; lane < LANES; lane++) {
            blocks[lane] = reinterpret_cast<const typename Type::block *>(rows + lane * stride) + first + b;
            r[lane] = _mm256_sub_epi8(Type::bytes(*blocks[lane]), _mm256_set1_epi8(static_cast<char>(Type::offset)));
        }
        _mm256_store_ps(panel.scale[b], wide(blocks, &Type::block::d));
        if constexpr (Type::has_floor) {
            _mm256_store_ps(panel.floor[b], wide(blocks, &Type::block::m));
        }
        transpose(r);
        __m256i sum = _mm256_setzero_si256();
        for (int quad = 0; quad < QUADS; quad++) {
            _mm256_store_si256(reinterpret_cast<__m256i *>(panel.bytes[b][quad]), r[quad]);
            sum = add_products(sum, _mm256_set1_epi8(1), r[quad]);
        }
        sum = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 7));
        _mm256_store_si256(reinterpret_cast<__m256i *>(panel.start[b]), sum);
    }
}

// Adds the chunk's products with `N` rows of the batch to `out`, which are `n_out` floats apart.
template <class Type, int N>
void multiply(const Panel & panel, const typename Type::input * rows, int64_t stride, int n, float * out, int64_t n_out,
              bool is_first) {
    __m256 sum[N];
    for (int i = 0; i < N; i++) {
        sum[i] = is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(out + i * n_out);
    }
    for (int b = 0; b < n; b++) {
        __m256i part[N];
        for (int i = 0; i < N; i++) {
            part[i] = _mm256_load_si256(reinterpret_cast<const __m256i *>(panel.start[b]));
        }
#pragma GCC unroll 8
        for (int quad = 0; quad < QUADS; quad++) {
            const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i *>(panel.bytes[b][quad]));
            for (int i = 0; i < N; i++) {
                int32_t four;
                std::memcpy(&four, rows[i * stride + b].qs + 4 * quad, sizeof four);
                part[i] = add_products(part[i], _mm256_set1_epi32(four), bytes);
            }
        }
        const __m256 scale = _mm256_load_ps(panel.scale[b]);
        for (int i = 0; i < N; i++) {
            const auto & input = rows[i * stride + b];
            const __m256 whole = _mm256_mul_ps(_mm256_cvtepi32_ps(part[i]), scale);
            sum[i] = _mm256_fmadd_ps(whole, _mm256_set1_ps(wide(input.d)), sum[i]);
            if constexpr (Type::has_floor) {
                sum[i] = _mm256_fmadd_ps(_mm256_load_ps(panel.floor[b]), _mm256_set1_ps(wide(input.s)), sum[i]);
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
    const __m256i eight = add_products(_mm256_setzero_si256(), _mm256_set1_epi8(1),
                                       _mm256_loadu_si256(reinterpret_cast<const __m256i *>(bytes)));
    const __m128i four  = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two   = _mm_add_epi32(four, _mm_srli_si128(four, 8));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_srli_si128(two, 4)));
}

// Eight rows of weights with `N` rows of the batch, of which `totals` has the sums of each block. What is unpacked is
// used at once: for so few rows a panel costs more than it saves. Rounds as `multiply` does.
template <class Type, int N>
void multiply_directly(const char * weights, size_t stride, const typename Type::input * rows,
                       const int32_t (*totals)[LONGEST], int64_t n_blocks, float * out, int64_t n_out) {
    __m256 sum[N];
    for (int i = 0; i < N; i++) {
        sum[i] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < n_blocks; b++) {
        ask_for_next<Type>(weights, stride, b);
        __m256i                      part[N][LANES];
        const typename Type::block * blocks[LANES];
#pragma GCC unroll 8
        for (int lane = 0; lane < LANES; lane++) {
            blocks[lane] = reinterpret_cast<const typename Type::block *>(weights + lane * stride) + b;
            const __m256i bytes = Type::bytes(*blocks[lane]);
            for (int i = 0; i < N; i++) {
                part[i][lane] = add_products(_mm256_setzero_si256(), bytes, _mm256_loadu_si256(
                    reinterpret_cast<const __m256i *>(rows[i * n_blocks + b].qs)));
            }
        }
        const __m256 scale = wide(blocks, &Type::block::d);
        for (int i = 0; i < N; i++) {
            const auto &  input = rows[i * n_blocks + b];
            const __m256i exact = _mm256_sub_epi32(sums_of(part[i]), _mm256_set1_epi32(Type::offset * totals[i][b]));
            const __m256  whole = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), scale);
            sum[i] = _mm256_fmadd_ps(whole, _mm256_set1_ps(wide(input.d)), sum[i]);
            if constexpr (Type::has_floor) {
                sum[i] = _mm256_fmadd_ps(wide(blocks, &Type::block::m), _mm256_set1_ps(wide(input.s)), sum[i]);
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

    Product(const ggml_compute_params * params, ggml_tensor * dst)
        : params(params), weights(dst->src[0]), batch(dst->src[1]), dst(dst), n_blocks(weights->ne[0] / BLOCK),
          n_rows(batch->ne[1]), is_direct(n_rows < WIDTH) {}

    bool suits() const {
        return (EXACT_FOR_BYTES || Type::offset < 128) && weights->ne[1] % LANES == 0
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
                multiply<Type, WIDTH>(panel, inputs() + row * n_blocks + b, n_blocks, n, out(first, row), n_out(), b == 0);
            }
            for (; row < n_rows; row++) {
                multiply<Type, 1>(panel, inputs() + row * n_blocks + b, n_blocks, n, out(first, row), n_out(), b == 0);
            }
        }
    }

    void fill_directly(int64_t first, const int32_t (*totals)[LONGEST]) const {
        const auto multiplied = n_rows == 1 ? multiply_directly<Type, 1>
                              : n_rows == 2 ? multiply_directly<Type, 2>
                                            : multiply_directly<Type, 3>;
        multiplied(rows_from(first), weights->nb[1], inputs(), totals, n_blocks, out(first, 0), n_out());
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
        && dst->nb[0] == sizeof(float) && weights->ne[0] % BLOCK == 0;
}

bool multiplied_here(const ggml_compute_params * params, ggml_tensor * dst) {
    if (!is_plain(params, dst)) {
        return false;
    }
    switch (dst->src[0]->type) {
        case GGML_TYPE_Q4_1: return multiplied<Q4_1>(params, dst);
        case GGML_TYPE_Q5_0: return multiplied<Q5_0>(params, dst);
        case GGML_TYPE_Q5_1: return multiplied<Q5_1>(params, dst);
        case GGML_TYPE_Q8_0: return multiplied<Q8_0>(params, dst);
        default: return false;
    }
}

}  // namespace

#else

namespace {

bool multiplied_here(const ggml_compute_params *, ggml_tensor *) { return false; }

}  // namespace

#endif

extern "C" bool functiongate_matmul(const ggml_compute_params * params, ggml_tensor * dst);

bool functiongate_matmul(const ggml_compute_params * params, ggml_tensor * dst) {
    return multiplied_here(params, dst) || ggml_compute_forward_mul_mat_tiled(params, dst);
}
