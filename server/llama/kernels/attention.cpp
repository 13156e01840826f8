// Attention for ggml's CPU backend, where a few rows look at many cells: what decoding a forced run or a draft does.
//
// ggml goes through the keys and values once for every row and head up to 63 rows, and unpacks them for every head
// from 64 rows on. Here all rows and all heads that share a key/value head are the lanes of one register file: a tile
// of cells is unpacked once and meets up to 64 queries. The method is Milakov's and Gimelshein's online softmax over
// tiles (arXiv:1805.02867), as in FlashAttention.
//
// Knows ggml's tensors, its threads and its scratch memory; nothing of models or sequences. It takes the place of
// ggml_compute_forward_flash_attn_ext for what it can do, and calls that for the rest: see bindings.cmake.
//
// The law: what a row gets depends on its own query, its mask, the cells and the number of threads, and on nothing
// else: not on the rows beside it. Thread t adds the tiles t, t + n, t + 2n, ... and the sums of the threads are added
// in their order.

#include "switch.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "ops.h"

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

// With AVX-512 too: 16 lanes were no faster on Zen 4, and the heads of one row seldom fill them.
#if defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

constexpr int TILE    = 64;  // cells
constexpr int COLUMNS = 64;  // queries of one block: (row, head) pairs that share a key/value head
constexpr int VECTORS = COLUMNS / LANES;
constexpr int FEWEST  = 512; // cells: below, few rows are cheap anyhow, and ggml adds cell by cell, wherever they lie
constexpr int CHAINS  = 8;   // sums that are independent of each other, so that additions need not wait

using vec  = float   __attribute__((vector_size(LANES * 4)));
using ivec = int32_t __attribute__((vector_size(LANES * 4)));
using unaligned_vec = float __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

inline vec load(const float * from) { return *reinterpret_cast<const unaligned_vec *>(from); }
inline void store(float * to, vec value) { *reinterpret_cast<unaligned_vec *>(to) = value; }
inline vec all(float value) { return value - vec{}; }
inline vec larger(vec a, vec b) { return a > b ? a : b; }

// e^x for x <= 0, to two units in the last place; 0 below -87, where floats end, and for minus infinity.
inline vec exponential(vec x) {
    const vec     magic = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, which is in the low bits
    const vec     ends  = all(-87.0f);
    const vec     inner = larger(x, ends);
    const vec     moved = inner * 1.44269504f + magic;
    const vec     n     = moved - magic;
    const vec     r     = (inner - n * 0.693359375f) + n * 2.12194440e-4f;
    vec           p     = r * (1.0f / 720) + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const ivec power  = ((ivec) moved - (ivec) magic) << 23;
    const vec  result = (vec) ((ivec) p + power);
    return x < ends ? vec{} : result;
}

struct Shape {
    int64_t n_rows, n_cells;
    int64_t n_heads, n_kv_heads, group;  // group: heads that share one key/value head
    int64_t dk, dv;
};

// One thread's part of the scratch memory, in floats. Columns of one vector lie together: [vector][d][lane].
struct Scratch {
    float * q;      // COLUMNS * dk, scaled
    float * out;    // COLUMNS * dv, not yet divided by `sum`
    float * k;      // TILE * dk
    float * v;      // TILE * dv
    float * s;      // TILE * LANES
    float * max;    // COLUMNS
    float * sum;    // COLUMNS

    static int64_t size(const Shape & shape) {
        return (COLUMNS + TILE) * (shape.dk + shape.dv) + TILE * LANES + 2 * COLUMNS;
    }

    Scratch(void * work, const Shape & shape, int thread) {
        q   = static_cast<float *>(work) + thread * size(shape);
        out = q + COLUMNS * shape.dk;
        k   = out + COLUMNS * shape.dv;
        v   = k + TILE * shape.dk;
        s   = v + TILE * shape.dv;
        max = s + TILE * LANES;
        sum = max + COLUMNS;
    }
};

// Queries `first` to `first + count` of one key/value head; query c is row c / group, head c % group.
struct Block {
    int64_t kv_head, first;
    int     count;

    int n_vectors() const { return (count + LANES - 1) / LANES; }
};

enum class Sight { none, all, some };

class Attention {
  public:
    Attention(const ggml_compute_params * params, ggml_tensor * dst)
        : params(params), dst(dst), query(dst->src[0]), key(dst->src[1]), value(dst->src[2]), mask(dst->src[3]) {
        shape = { query->ne[1], key->ne[1], query->ne[2], key->ne[2], query->ne[2] / key->ne[2], key->ne[0],
                  value->ne[0] };
        std::memcpy(&scale, dst->op_params, sizeof(float));
    }

    // Whether this is the plain case: one stream, keys and values in f16, no biases, no caps, no sinks.
    bool suits() const {
        float max_bias, softcap;
        std::memcpy(&max_bias, reinterpret_cast<const float *>(dst->op_params) + 1, sizeof(float));
        std::memcpy(&softcap,  reinterpret_cast<const float *>(dst->op_params) + 2, sizeof(float));
        return shape.n_cells >= FEWEST && mask && !dst->src[4] && !params->use_ref
            && max_bias == 0.0f && softcap == 0.0f
            && query->type == GGML_TYPE_F32 && key->type == GGML_TYPE_F16 && value->type == GGML_TYPE_F16
            && mask->type == GGML_TYPE_F16 && mask->ne[2] == 1 && mask->ne[3] == 1
            && query->ne[3] == 1 && key->ne[3] == 1 && value->ne[3] == 1 && key->ne[2] == value->ne[2]
            && shape.n_heads % shape.n_kv_heads == 0 && shape.dv % CHAINS == 0
            && params->nth * Scratch::size(shape) * (int64_t) sizeof(float) <= (int64_t) params->wsize;
    }

    void run() {
        const int64_t columns = shape.n_rows * shape.group;
        bool          begun   = false;
        for (int64_t kv_head = 0; kv_head < shape.n_kv_heads; kv_head++) {
            for (int64_t first = 0; first < columns; first += COLUMNS) {
                const int count = columns - first < COLUMNS ? (int) (columns - first) : COLUMNS;
                if (begun) {
                    ggml_barrier(params->threadpool);  // the others may still read what the next block overwrites
                }
                begun = true;
                add_tiles({ kv_head, first, count });
                ggml_barrier(params->threadpool);
                write_out({ kv_head, first, count });
            }
        }
    }

  private:
    const ggml_compute_params * params;
    ggml_tensor *               dst;
    const ggml_tensor *         query;
    const ggml_tensor *         key;
    const ggml_tensor *         value;
    const ggml_tensor *         mask;
    Shape                       shape;
    float                       scale;

    void add_tiles(const Block & block) {
        const Scratch mine(params->wdata, shape, params->ith);
        read_queries(block, mine);
        std::memset(mine.out, 0, block.n_vectors() * LANES * shape.dv * sizeof(float));
        for (int i = 0; i < COLUMNS; i++) {
            mine.max[i] = -INFINITY;
            mine.sum[i] = 0.0f;
        }
        for (int64_t cell = (int64_t) params->ith * TILE; cell < shape.n_cells; cell += (int64_t) params->nth * TILE) {
            Sight sight[VECTORS];
            bool  seen = false;
            for (int i = 0; i < block.n_vectors(); i++) {
                sight[i] = look(block, i, cell);
                seen |= sight[i] != Sight::none;
            }
            if (!seen) {
                continue;
            }
            unpack(key, mine.k, shape.dk, block.kv_head, cell);
            unpack(value, mine.v, shape.dv, block.kv_head, cell);
            for (int i = 0; i < block.n_vectors(); i++) {
                if (sight[i] != Sight::none) {
                    add_tile(block, mine, i, cell, sight[i]);
                }
            }
        }
    }

    void read_queries(const Block & block, const Scratch & mine) const {
        for (int c = 0; c < block.n_vectors() * LANES; c++) {
            float * to = mine.q + (c / LANES) * LANES * shape.dk + c % LANES;
            if (c >= block.count) {
                for (int64_t d = 0; d < shape.dk; d++) {
                    to[d * LANES] = 0.0f;
                }
                continue;
            }
            const int64_t row  = (block.first + c) / shape.group;
            const int64_t head = block.kv_head * shape.group + (block.first + c) % shape.group;
            const float * from = reinterpret_cast<const float *>(
                static_cast<const char *>(query->data) + row * query->nb[1] + head * query->nb[2]);
            for (int64_t d = 0; d < shape.dk; d++) {
                to[d * LANES] = from[d] * scale;
            }
        }
    }

    const ggml_fp16_t * mask_of(const Block & block, int column) const {
        const int64_t inside = column < block.count ? column : block.count - 1;
        const int64_t row    = (block.first + inside) / shape.group;
        return reinterpret_cast<const ggml_fp16_t *>(static_cast<const char *>(mask->data) + row * mask->nb[1]);
    }

    int cells_from(int64_t cell) const {
        return shape.n_cells - cell < TILE ? (int) (shape.n_cells - cell) : TILE;
    }

    Sight look(const Block & block, int vector, int64_t cell) const {
        constexpr uint16_t MINUS_INFINITY = 0xFC00;
        const int          n    = cells_from(cell);
        uint16_t           some = n < TILE, hidden = 0;
        const ggml_fp16_t * last = nullptr;
        for (int c = vector * LANES; c < (vector + 1) * LANES; c++) {
            const ggml_fp16_t * bits = mask_of(block, c) + cell;
            if (bits == last) {
                continue;
            }
            last = bits;
            for (int i = 0; i < n; i++) {
                some   |= bits[i];
                hidden |= bits[i] ^ MINUS_INFINITY;
            }
        }
        return hidden == 0 ? Sight::none : some == 0 ? Sight::all : Sight::some;
    }

    void unpack(const ggml_tensor * from, float * to, int64_t width, int64_t head, int64_t cell) const {
        const int n = cells_from(cell);
        for (int i = 0; i < n; i++) {
            const char * packed = static_cast<const char *>(from->data) + (cell + i) * from->nb[1] + head * from->nb[2];
            ggml_cpu_fp16_to_fp32(reinterpret_cast<const ggml_fp16_t *>(packed), to + i * width, width);
        }
        std::memset(to + n * width, 0, (TILE - n) * width * sizeof(float));
    }

    void add_tile(const Block & block, const Scratch & mine, int vector, int64_t cell, Sight sight) const {
        score(mine.q + vector * LANES * shape.dk, mine.k, mine.s);
        if (sight == Sight::some) {
            hide(block, mine.s, vector, cell);
        }
        float * max = mine.max + vector * LANES;
        float * sum = mine.sum + vector * LANES;

        vec highest = load(max);
        for (int i = 0; i < TILE; i++) {
            highest = larger(highest, load(mine.s + i * LANES));
        }
        const vec from  = highest == all(-INFINITY) ? vec{} : highest;  // nothing seen yet: -inf - -inf is no number
        const vec shift = exponential(load(max) - from);
        store(max, highest);

        vec total{};
        for (int i = 0; i < TILE; i++) {
            const vec weight = exponential(load(mine.s + i * LANES) - from);
            store(mine.s + i * LANES, weight);
            total += weight;
        }
        store(sum, load(sum) * shift + total);
        weigh(mine.out + vector * LANES * shape.dv, mine.v, mine.s, shift);
    }

    // s[cell][lane] = k[cell] . q[.][lane]
    void score(const float * q, const float * k, float * s) const {
        const int64_t dk = shape.dk;
        for (int i = 0; i < TILE; i += CHAINS) {
            vec part[CHAINS] = {};
            for (int64_t d = 0; d < dk; d++) {
                const vec lanes = load(q + d * LANES);
#pragma GCC unroll 8
                for (int j = 0; j < CHAINS; j++) {
                    part[j] += lanes * k[(i + j) * dk + d];
                }
            }
#pragma GCC unroll 8
            for (int j = 0; j < CHAINS; j++) {
                store(s + (i + j) * LANES, part[j]);
            }
        }
    }

    void hide(const Block & block, float * s, int vector, int64_t cell) const {
        const int           n    = cells_from(cell);
        const ggml_fp16_t * last = nullptr;
        float               bias[TILE];
        for (int i = n; i < TILE; i++) {
            bias[i] = -INFINITY;
        }
        for (int lane = 0; lane < LANES; lane++) {
            const ggml_fp16_t * packed = mask_of(block, vector * LANES + lane) + cell;
            if (packed != last) {
                ggml_cpu_fp16_to_fp32(packed, bias, n);
                last = packed;
            }
            for (int i = 0; i < TILE; i++) {
                s[i * LANES + lane] += bias[i];
            }
        }
    }

    // out[d][lane] = out[d][lane] * shift[lane] + sum over cells of v[cell][d] * weight[cell][lane]
    void weigh(float * out, const float * v, const float * weight, vec shift) const {
        const int64_t dv = shape.dv;
        for (int64_t d = 0; d < dv; d += CHAINS) {
            vec part[CHAINS];
#pragma GCC unroll 8
            for (int j = 0; j < CHAINS; j++) {
                part[j] = load(out + (d + j) * LANES) * shift;
            }
            for (int i = 0; i < TILE; i++) {
                const vec lanes = load(weight + i * LANES);
#pragma GCC unroll 8
                for (int j = 0; j < CHAINS; j++) {
                    part[j] += lanes * v[i * dv + d + j];
                }
            }
#pragma GCC unroll 8
            for (int j = 0; j < CHAINS; j++) {
                store(out + (d + j) * LANES, part[j]);
            }
        }
    }

    // Adds the threads' sums; each thread does its share of the values' dimensions.
    void write_out(const Block & block) const {
        const int64_t begin = shape.dv * params->ith / params->nth;
        const int64_t end   = shape.dv * (params->ith + 1) / params->nth;
        for (int vector = 0; vector < block.n_vectors(); vector++) {
            vec highest = all(-INFINITY);
            for (int t = 0; t < params->nth; t++) {
                highest = larger(highest, load(Scratch(params->wdata, shape, t).max + vector * LANES));
            }
            const vec from = highest == all(-INFINITY) ? vec{} : highest;
            vec       sum{};
            for (int t = 0; t < params->nth; t++) {
                const Scratch theirs(params->wdata, shape, t);
                sum += load(theirs.sum + vector * LANES) * exponential(load(theirs.max + vector * LANES) - from);
            }
            const vec inverse = sum == vec{} ? vec{} : 1.0f / sum;
            for (int64_t d = begin; d < end; d++) {
                vec total{};
                for (int t = 0; t < params->nth; t++) {
                    const Scratch theirs(params->wdata, shape, t);
                    const vec share = exponential(load(theirs.max + vector * LANES) - from);
                    total += load(theirs.out + (vector * shape.dv + d) * LANES) * share;
                }
                scatter(block, vector, d, total * inverse);
            }
        }
    }

    void scatter(const Block & block, int vector, int64_t d, vec result) const {
        const int64_t first = block.first + (int64_t) vector * LANES;
        for (int lane = 0; lane < LANES && vector * LANES + lane < block.count; lane++) {
            const int64_t row  = (first + lane) / shape.group;
            const int64_t head = block.kv_head * shape.group + (first + lane) % shape.group;
            char *        to   = static_cast<char *>(dst->data) + (row * shape.n_heads + head) * dst->nb[1];
            reinterpret_cast<float *>(to)[d] = result[lane];
        }
    }
};

}  // namespace

extern "C" void functiongate_attention(const ggml_compute_params * params, ggml_tensor * dst);

void functiongate_attention(const ggml_compute_params * params, ggml_tensor * dst) {
    Attention attention(params, dst);
    if (functiongate_kernels_are_on() && attention.suits()) {
        attention.run();
    } else {
        ggml_compute_forward_flash_attn_ext(params, dst);
    }
}
