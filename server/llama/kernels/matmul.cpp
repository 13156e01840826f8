// Products of quantized weights with a few rows or many, for ggml's CPU backend on x86.
//
// ggml's kernels are made for one row and for hundreds: up to eight or sixteen rows they unpack the weights anew for
// each row or every four. A forced run or a draft is a few rows. Here sixteen rows of weights are unpacked once for the
// whole batch, as lanes beside each other, and a product of bytes adds to sixteen sums that need no adding up
// afterwards. For the fewest rows weights are used as they are unpacked.
//
// Knows ggml's threads and its scratch memory; nothing of models. It stands before ggml's own tiled product, and before
// what ggml does with weights that it rearranged as it loaded them, and calls those for the rest: see bindings.cmake.
//
// The law: a product depends on its own row of the batch and its own weights only, not on the rows beside it: whole
// numbers for each scale, then scales in their order, whether there is one row or five hundred.
//
// Both can be switched off (switch.h): everything is left to ggml then, for figures to compare with llama.cpp's.

#include "batch.h"
#include "lanes.h"
#include "switch.h"
#include "weights.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "ggml-backend-impl.h"
#include "tiled/tiled.h"
#include "traits.h"

#include <cstdint>
#include <type_traits>

// From repack.h, which declares ggml's blocks in a way that quants.h does not bear.
ggml_backend_buffer_type_t ggml_backend_cpu_repack_buffer_type(void);

#if FUNCTIONGATE_LANES

namespace {

constexpr int SIDES   = 2;   // times eight rows of weights, unpacked together
constexpr int QUADS   = BLOCK / 4;
constexpr int LONGEST = 1024;  // blocks of a row for which the sums of few rows are kept

// One chunk of sixteen rows of weights: byte 4 * lane + i of a quad is value 4 * quad + i of that lane's row.
struct Panel {
    alignas(64) int8_t  bytes[BLOCKS][QUADS][SIDES][LANES * 4];
    alignas(64) float   scale[BLOCKS * 2][SIDES][LANES];
    alignas(64) float   floor[BLOCKS][SIDES][LANES];
    alignas(64) int32_t start[BLOCKS * 2][SIDES][LANES];  // where the batch's bytes have 128 added: that times ours, less
};

// Rows are read side by side, which the processor does not take for a stream. So while a part of a block of eight is
// read, as much of the eight after the next is asked for, a few lines at a time. That was a third of a token's time.
template <class Type>
inline void ask_for(const char * rows, int64_t block, int part) {
    constexpr size_t eight = Type::is_rearranged ? sizeof(typename Type::block) : LANES * sizeof(typename Type::block);
    constexpr size_t size  = eight / Type::parts;
    const char *     from  = rows + block * eight + part * size;
    for (size_t i = 0; i < size; i += 64) {
        _mm_prefetch(from + i, _MM_HINT_T0);
    }
}

template <class Block>
inline void rows_at(const char * rows, size_t stride, int64_t block, const Block * found[LANES]) {
    for (int lane = 0; lane < LANES; lane++) {
        found[lane] = reinterpret_cast<const Block *>(rows + lane * stride) + block;
    }
}

// Blocks of 32 of eight rows from `first` on, `n` of them, which begin and end with a block of the type.
template <class Type>
void unpack(const char * rows, size_t stride, int64_t first, int n, int side, Panel & panel) {
    constexpr int halves = Type::halves;
    for (int b = 0; b < n; b += Type::parts) {
        const typename Type::block * blocks[LANES];
        rows_at(rows, stride, (first + b) / Type::parts, blocks);
        __m256 scale[Type::parts * halves], floor[Type::parts];
        Type::scales(blocks, scale, floor);
        for (int i = 0; i < Type::parts * halves; i++) {
            _mm256_store_ps(panel.scale[b * halves + i][side], scale[i]);
        }
        for (int part = 0; part < Type::parts; part++) {
            ask_for<Type>(rows + SIDES * LANES * stride, (first + b) / Type::parts, part);
            if constexpr (Type::has_floor) {
                _mm256_store_ps(panel.floor[b + part][side], floor[part]);
            }
            __m256i r[LANES];
#pragma GCC unroll 8
            for (int lane = 0; lane < LANES; lane++) {
                r[lane] = Type::bytes(*blocks[lane], part);
                if constexpr (Type::offset != 0) {
                    r[lane] = _mm256_sub_epi8(r[lane], _mm256_set1_epi8(static_cast<char>(Type::offset)));
                }
            }
            transpose(r);
            for (int half = 0; half < halves; half++) {
                __m256i sum = _mm256_setzero_si256();
                for (int quad = half * QUADS / halves; quad < (half + 1) * QUADS / halves; quad++) {
                    _mm256_store_si256(reinterpret_cast<__m256i *>(panel.bytes[b + part][quad][side]), r[quad]);
                    if constexpr (Type::offset != 0) {
                        sum = add_products(sum, _mm256_set1_epi8(1), r[quad]);
                    }
                }
                if constexpr (Type::offset != 0) {
                    const __m256i start = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 7));
                    _mm256_store_si256(reinterpret_cast<__m256i *>(panel.start[(b + part) * halves + half][side]), start);
                }
            }
        }
    }
}

// Of eight rows' eight bytes the first four, or the last, of each row.
template <int QUAD>
inline __m256i quad_of(__m256i rows_to_3, __m256i rows_to_7) {
    const __m256 low   = _mm256_castsi256_ps(rows_to_3), high = _mm256_castsi256_ps(rows_to_7);
    const __m256 mixed = _mm256_shuffle_ps(low, high, QUAD ? 0xDD : 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xD8);
}

template <>
void unpack<RearrangedQ4_K>(const char * rows, size_t stride, int64_t first, int n, int side, Panel & panel) {
    for (int b = 0; b < n; b += RearrangedQ4_K::parts) {
        const int64_t  at    = (first + b) / RearrangedQ4_K::parts;
        const Q4_Kx8 & block = reinterpret_cast<const Q4_Kx8 *>(rows)[at];
        __m256 scale[RearrangedQ4_K::parts], floor[RearrangedQ4_K::parts];
        RearrangedQ4_K::scales(block, scale, floor);
        for (int part = 0; part < RearrangedQ4_K::parts; part++) {
            ask_for<RearrangedQ4_K>(rows + SIDES * LANES * stride, at, part);
            _mm256_store_ps(panel.scale[b + part][side], scale[part]);
            _mm256_store_ps(panel.floor[b + part][side], floor[part]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {  // a pair of parts, in its low and its high bits, and eight of their values
            const __m256i one = load(block.qs[i][0]), two = load(block.qs[i][LANES / 2]);
            for (int high = 0; high < 2; high++) {
                const __m256i to_3 = low_bits(_mm256_srli_epi16(one, 4 * high), 15);
                const __m256i to_7 = low_bits(_mm256_srli_epi16(two, 4 * high), 15);
                auto * const quads = panel.bytes[b + i / 4 * 2 + high] + i % 4 * 2;
                _mm256_store_si256(reinterpret_cast<__m256i *>(quads[0][side]), quad_of<0>(to_3, to_7));
                _mm256_store_si256(reinterpret_cast<__m256i *>(quads[1][side]), quad_of<1>(to_3, to_7));
            }
        }
    }
}

// Adds the chunk's products with rows `first` to `first + N` of a group to `out`, whose rows are `n_out` floats apart.
template <class Type, class Lanes, int N>
void multiply(const Panel & panel, int side, const Rows<Type> & rows, const Numbers & numbers, int first, int n,
              float * out, int64_t n_out, bool is_first) {
    constexpr int halves = Type::halves, quads = QUADS / halves;
    typename Lanes::Real sum[N];
    for (int i = 0; i < N; i++) {
        sum[i] = is_first ? Lanes::no() : Lanes::load_anywhere(out + i * n_out);
    }
    for (int b = 0; b < n; b++) {
        const uint8_t * const bytes = rows.bytes(b, first);
#pragma GCC unroll 2
        for (int half = 0; half < halves; half++) {
            typename Lanes::Whole part[N];
            for (int i = 0; i < N; i++) {
                part[i] = Type::offset ? Lanes::load(panel.start[b * halves + half][side]) : Lanes::zero();
            }
#pragma GCC unroll 8
            for (int quad = half * quads; quad < (half + 1) * quads; quad++) {
                const auto weights = Lanes::load(panel.bytes[b][quad][side]);
                for (int i = 0; i < N; i++) {
                    int32_t four;
                    std::memcpy(&four, bytes + i * BLOCK + 4 * quad, sizeof four);
                    part[i] = Type::offset ? add_products(part[i], Lanes::all(four), weights)
                                           : add_products(part[i], weights, Lanes::all(four));
                }
            }
            const auto scale = Lanes::load(panel.scale[b * halves + half][side]);
            for (int i = 0; i < N; i++) {
                const auto whole = Lanes::times(Lanes::real(part[i]), scale);
                sum[i] = Lanes::plus_product(sum[i], whole, Lanes::all(numbers.scale[b][first + i]));
            }
        }
        if constexpr (Type::has_floor) {
            const auto floor = Lanes::load(panel.floor[b][side]);
            for (int i = 0; i < N; i++) {
                sum[i] = Lanes::plus_product(sum[i], floor, Lanes::all(numbers.sum[b][first + i]));
            }
        }
    }
    for (int i = 0; i < N; i++) {
        Lanes::store_anywhere(out + i * n_out, sum[i]);
    }
}

// Calls `then` with `n`, but at most `MOST`, as a constant.
template <int MOST, class Then>
inline void with_count(int n, Then then) {
    if constexpr (MOST > 1) {
        if (n < MOST) {
            return with_count<MOST - 1>(n, then);
        }
    }
    then(std::integral_constant<int, MOST>());
}

// The same for all rows of a group, as many at a time as there are registers for.
template <class Type, class Lanes, int MOST>
void multiply_group(const Panel & panel, int side, const Rows<Type> & rows, int n, float * out, int64_t n_out,
                    bool is_first) {
    const Numbers numbers = rows.numbers(n);
    for (int first = 0; first < rows.n; first += MOST) {
        with_count<MOST>(rows.n - first, [&](auto count) {
            multiply<Type, Lanes, count>(panel, side, rows, numbers, first, n, out + first * n_out, n_out, is_first);
        });
    }
}

// What the offset takes from a few rows' products: the sums of their bytes, and how many there are for each scale.
template <class Type>
struct Totals {
    static constexpr int ROWS = 3;

    int32_t of[ROWS][LONGEST * Type::halves];

    explicit Totals(const Batch<Type> & batch) {
        if constexpr (Type::offset != 0) {
            for (int64_t block = 0; block < batch.n_blocks; block++) {
                for (int row = 0; row < batch.n_rows; row++) {
                    sum_up(batch.group(0).bytes(block, row), of[row] + block * Type::halves);
                }
            }
        }
    }

    static void sum_up(const void * bytes, int32_t * sums) {
        const __m256i eight = add_products(_mm256_setzero_si256(), _mm256_set1_epi8(1), load(bytes));
        const __m256i four  = _mm256_hadd_epi32(eight, eight);
        const __m256i two   = _mm256_hadd_epi32(four, four);
        const int32_t half  = _mm256_cvtsi256_si32(two), other = _mm_cvtsi128_si32(_mm256_extracti128_si256(two, 1));
        sums[0] = Type::halves == 1 ? half + other : half;
        if constexpr (Type::halves == 2) {
            sums[1] = other;
        }
    }
};

// Eight rows of weights as they are in the file with `N` rows of the batch. What is unpacked is used at once. Rounds as
// `multiply` does.
template <class Type, int N>
void multiply_directly(const char * weights, size_t stride, const Rows<Type> & rows, const Totals<Type> & totals,
                       int64_t n_blocks, float * out, int64_t n_out) {
    constexpr int parts = Type::parts, halves = Type::halves;
    __m256 sum[N];
    for (int i = 0; i < N; i++) {
        sum[i] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < n_blocks; b += parts) {
        const typename Type::block * blocks[LANES];
        rows_at(weights, stride, b / parts, blocks);
        __m256 scale[parts * halves], floor[parts];
        Type::scales(blocks, scale, floor);
#pragma GCC unroll 8
        for (int at = 0; at < parts; at++) {
            ask_for<Type>(weights + LANES * stride, b / parts, at);
            __m256i part[N][LANES];
#pragma GCC unroll 8
            for (int lane = 0; lane < LANES; lane++) {
                const __m256i bytes = Type::bytes(*blocks[lane], at);
                for (int i = 0; i < N; i++) {
                    part[i][lane] = add_products(_mm256_setzero_si256(), bytes, load(rows.bytes(b + at, i)));
                }
            }
            float scales[GROUP], sums[GROUP];
            _mm256_storeu_ps(scales, rows.scales(b + at));
            if constexpr (Type::has_floor) {
                _mm256_storeu_ps(sums, rows.sums(b + at));
            }
            for (int i = 0; i < N; i++) {
                __m256i exact[halves];
                sums_of<halves>(part[i], exact);
                for (int half = 0; half < halves; half++) {
                    if constexpr (Type::offset != 0) {
                        const int32_t total = totals.of[i][(b + at) * halves + half];
                        exact[half] = _mm256_sub_epi32(exact[half], _mm256_set1_epi32(Type::offset * total));
                    }
                    const __m256 whole = _mm256_mul_ps(_mm256_cvtepi32_ps(exact[half]), scale[at * halves + half]);
                    sum[i] = _mm256_fmadd_ps(whole, _mm256_set1_ps(scales[i]), sum[i]);
                }
                if constexpr (Type::has_floor) {
                    sum[i] = _mm256_fmadd_ps(floor[at], _mm256_set1_ps(sums[i]), sum[i]);
                }
            }
        }
    }
    for (int i = 0; i < N; i++) {
        _mm256_storeu_ps(out + i * n_out, sum[i]);
    }
}

// Eight rearranged rows of weights with `N` rows of the batch. Eight bytes of each are multiplied with
// eight of the batch's to two sums, which meet in the end. Rounds as `multiply` does.
template <int N>
void multiply_rearranged(const char * weights, const Rows<RearrangedQ4_K> & rows, int64_t n_blocks, float * out,
                         int64_t n_out) {
    constexpr int parts = RearrangedQ4_K::parts;
    __m256 sum[N];
    for (int i = 0; i < N; i++) {
        sum[i] = _mm256_setzero_ps();
    }
    for (int64_t b = 0; b < n_blocks; b += parts) {
        const Q4_Kx8 & block = reinterpret_cast<const Q4_Kx8 *>(weights)[b / parts];
        const Rows<RearrangedQ4_K> here = rows.from_block(b);
        const Numbers numbers = here.numbers(parts);
        __m256 scale[parts], floor[parts];
        RearrangedQ4_K::scales(block, scale, floor);
        for (int pair = 0; pair < parts; pair += 2) {
            __m256i part[2][N][2];
            for (int i = 0; i < 4 * N; i++) {
                part[i % 2][i / 4][i / 2 % 2] = _mm256_setzero_si256();
            }
#pragma GCC unroll 4
            for (int eight = 0; eight < 4; eight++) {
                const __m256i one = load(block.qs[2 * pair + eight][0]), two = load(block.qs[2 * pair + eight][LANES / 2]);
#pragma GCC unroll 2
                for (int high = 0; high < 2; high++) {
                    const __m256i to_3 = low_bits(_mm256_srli_epi16(one, 4 * high), 15);
                    const __m256i to_7 = low_bits(_mm256_srli_epi16(two, 4 * high), 15);
                    for (int i = 0; i < N; i++) {
                        int64_t bytes;
                        std::memcpy(&bytes, here.bytes(pair + high, i) + 8 * eight, sizeof bytes);
                        const __m256i all = _mm256_set1_epi64x(bytes);
                        part[high][i][0] = add_products(part[high][i][0], to_3, all);
                        part[high][i][1] = add_products(part[high][i][1], to_7, all);
                    }
                }
            }
#pragma GCC unroll 2
            for (int high = 0; high < 2; high++) {
                for (int i = 0; i < N; i++) {
                    const __m256i mixed = _mm256_hadd_epi32(part[high][i][0], part[high][i][1]);
                    const __m256  whole = _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(mixed, 0xD8));
                    const int     at    = pair + high;
                    sum[i] = _mm256_fmadd_ps(_mm256_mul_ps(whole, scale[at]),
                                             _mm256_set1_ps(numbers.scale[at][i]), sum[i]);
                    sum[i] = _mm256_fmadd_ps(floor[at], _mm256_set1_ps(numbers.sum[at][i]), sum[i]);
                }
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
    static constexpr int  FEW = Type::is_rearranged ? 4 : Totals<Type>::ROWS;  // rows that are not worth a panel

    Product(const ggml_compute_params * params, ggml_tensor * dst)
        : params(params), weights(dst->src[0]), values(dst->src[1]), dst(dst),
          batch(params->wdata, values->ne[1], weights->ne[0] / BLOCK), is_direct(batch.n_rows <= FEW) {}

    bool suits() const {
        return (EXACT_FOR_BYTES || Type::offset < 128) && weights->ne[1] % LANES == 0
            && (!is_direct || batch.n_blocks <= LONGEST) && batch.size() <= params->wsize;
    }

    void run() const {
        batch.quantize(values, params->ith, params->nth, Type::offset != 0 && !is_direct);
        if (params->ith == 0) {
            ggml_threadpool_chunk_set(params->threadpool, params->nth);
        }
        ggml_barrier(params->threadpool);
        constexpr int64_t WIDTH = SIDES * LANES;
        const int64_t n_rows  = weights->ne[1];
        const int64_t n_parts = (n_rows + WIDTH - 1) / WIDTH;
        const int64_t share   = (n_parts + 8 * params->nth - 1) / (8 * params->nth);
        const auto    for_all = [&](auto fill) {
            for (int64_t chunk = params->ith; chunk * share < n_parts;
                 chunk = ggml_threadpool_chunk_add(params->threadpool, 1)) {
                for (int64_t i = chunk * share; i < n_parts && i < (chunk + 1) * share; i++) {
                    fill(i * WIDTH, n_rows - i * WIDTH < WIDTH ? 1 : SIDES);
                }
            }
        };
        if (!is_direct) {
            for_all([&](int64_t first, int n_sides) { fill(first, n_sides); });
        } else if constexpr (Type::is_rearranged) {
            for_all([&](int64_t first, int n_sides) { fill_rearranged(first, n_sides); });
        } else {
            const Totals<Type> totals(batch);
            for_all([&](int64_t first, int n_sides) { fill_directly(first, n_sides, totals); });
        }
    }

  private:
    const ggml_compute_params * params;
    const ggml_tensor *         weights;
    const ggml_tensor *         values;
    ggml_tensor *               dst;
    Batch<Type>                 batch;
    bool                        is_direct;

    // Eight or sixteen rows of weights with all rows of the batch.
    void fill(int64_t first, int n_sides) const {
        Panel panel;
        for (int64_t b = 0; b < batch.n_blocks; b += BLOCKS) {
            const int n = batch.n_blocks - b < BLOCKS ? static_cast<int>(batch.n_blocks - b) : BLOCKS;
            for (int side = 0; side < n_sides; side++) {
                unpack<Type>(rows_from(first + side * LANES), weights->nb[1], b, n, side, panel);
            }
            for (int64_t row = 0; row < batch.n_rows; row += GROUP) {
                const Rows<Type> rows = batch.group(row).from_block(b);
#if FUNCTIONGATE_SIXTEEN_LANES
                if (n_sides == SIDES) {
                    multiply_group<Type, Sixteen, 8>(panel, 0, rows, n, out(first, row), n_out(), b == 0);
                    continue;
                }
#endif
                for (int side = 0; side < n_sides; side++) {
                    float * const to = out(first + side * LANES, row);
                    multiply_group<Type, Eight, 4>(panel, side, rows, n, to, n_out(), b == 0);
                }
            }
        }
    }

    void fill_rearranged(int64_t first, int n_sides) const {
        const auto rows = batch.group(0);
        for (int64_t at = first; at < first + n_sides * LANES; at += LANES) {
            with_count<FEW>(rows.n, [&](auto n) {
                multiply_rearranged<n>(rows_from(at), rows, batch.n_blocks, out(at, 0), n_out());
            });
        }
    }

    void fill_directly(int64_t first, int n_sides, const Totals<Type> & totals) const {
        const auto rows = batch.group(0);
        for (int64_t at = first; at < first + n_sides * LANES; at += LANES) {
            with_count<FEW>(rows.n, [&](auto n) {
                multiply_directly<Type, n>(rows_from(at), weights->nb[1], rows, totals, batch.n_blocks, out(at, 0),
                                           n_out());
            });
        }
    }

    const char * rows_from(int64_t first) const {
        return static_cast<const char *>(weights->data) + first * weights->nb[1];
    }

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

static_assert(std::is_same_v<decltype(&ggml_compute_forward_mul_mat_tiled), bool (*)(const ggml_compute_params *, ggml_tensor *)>,
              "bindings.cmake calls functiongate_matmul in its place");
static_assert(std::is_same_v<decltype(&ggml_cpu_extra_compute_forward), bool (*)(ggml_compute_params *, ggml_tensor *)>,
              "bindings.cmake calls functiongate_rearranged in its place");

extern "C" bool functiongate_matmul(const ggml_compute_params * params, ggml_tensor * dst);

bool functiongate_matmul(const ggml_compute_params * params, ggml_tensor * dst) {
    return (functiongate_is_on(FUNCTIONGATE_MATMUL) && multiplied_here(params, dst))
        || ggml_compute_forward_mul_mat_tiled(params, dst);
}

extern "C" bool functiongate_rearranged(ggml_compute_params * params, ggml_tensor * dst);

bool functiongate_rearranged(ggml_compute_params * params, ggml_tensor * dst) {
    return (functiongate_is_on(FUNCTIONGATE_REARRANGED) && multiplied_rearranged(params, dst))
        || ggml_cpu_extra_compute_forward(params, dst);
}
