// Attention for ggml's CPU backend, which answers the same wherever a sequence lies and whoever is beside it.
//
// ggml goes through the keys and values once for every row and head up to 63 rows, and unpacks them for every head
// from 64 rows on. Here all rows and all heads that share a key/value head are the lanes of one register file: a tile
// of cells is unpacked once and meets up to 64 queries. Three times through the cells: scores, then weights, which are
// whole numbers of 2^-24 of the largest, then the values times the weights.
//
// Knows ggml's tensors and its threads; nothing of models or sequences. It takes the place of
// ggml_compute_forward_flash_attn_ext for what it can do, and calls that for the rest: see bindings.cmake.
//
// The law: what a row gets depends on its own query and on the set of cells that it sees, and on nothing else: not on
// the cells' order or place, not on the rows beside it, not on the number of threads. So what is added over cells is
// added as whole numbers. A value is 16 bits, scaled by the power of two above its cell's largest; a weight is 23 bits
// of the weights' sum, in a high part and a low part of eight bits, whose products have sums of their own. The low sums
// hand over to the high ones after each tile: neither can overflow.

#include "switch.h"

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "ops.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

// With AVX-512 too: 16 lanes were no faster on Zen 4, and the heads of one row seldom fill them.
#if defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

constexpr int TILE    = 64;  // cells
constexpr int PAIRS   = TILE / 2;
constexpr int COLUMNS = 64;  // queries of one block: (row, head) pairs that share a key/value head
constexpr int VECTORS = COLUMNS / LANES;
constexpr int CHAINS  = 8;   // sums that are independent of each other, so that additions need not wait

constexpr float ONE       = 16777216.0f;  // the weight of the cell with the highest score: 2^24
constexpr float UNIT      = 32768.0f;     // what a value as large as its cell's scale would be
constexpr float ALL       = 8380000.0f;   // the sum of a row's weights beside its values, a little below 2^23
constexpr int   LOW_BITS  = 8;            // of those weights: what 64 cells of them add up to stays below 2^31
constexpr int   LOW_SCALE = 1 << LOW_BITS;

using vec  = float   __attribute__((vector_size(LANES * 4)));
using ivec = int32_t __attribute__((vector_size(LANES * 4)));
using unaligned_vec  = float   __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
using unaligned_ivec = int32_t __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

inline vec load(const float * from) { return *reinterpret_cast<const unaligned_vec *>(from); }
inline ivec load(const int32_t * from) { return *reinterpret_cast<const unaligned_ivec *>(from); }
inline void store(float * to, vec value) { *reinterpret_cast<unaligned_vec *>(to) = value; }
inline void store(int32_t * to, ivec value) { *reinterpret_cast<unaligned_ivec *>(to) = value; }
inline vec all(float value) { return value - vec{}; }
inline ivec all(int32_t value) { return value - ivec{}; }
inline vec larger(vec a, vec b) { return a > b ? a : b; }
inline vec real(ivec whole) { return __builtin_convertvector(whole, vec); }
inline ivec whole(vec real) { return __builtin_convertvector(real, ivec); }  // without what is behind the point

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

// Two numbers of 16 bits in each lane.
inline ivec pair_of(ivec first, ivec second) { return (first & 0xFFFF) | (second << 16); }

// Adds the products of the first numbers and of the second numbers.
inline ivec add_products(ivec sum, ivec pairs, ivec others) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return (ivec) _mm256_dpwssd_epi32((__m256i) sum, (__m256i) pairs, (__m256i) others);
#elif defined(__AVX2__)
    return sum + (ivec) _mm256_madd_epi16((__m256i) pairs, (__m256i) others);
#else
    return sum + ((pairs << 16) >> 16) * ((others << 16) >> 16) + (pairs >> 16) * (others >> 16);
#endif
}

struct Shape {
    int64_t n_rows, n_cells;
    int64_t n_heads, n_kv_heads, group;  // group: heads that share one key/value head
    int64_t dk, dv;

    int64_t n_tiles() const { return (n_cells + TILE - 1) / TILE; }
};

enum class Sight : uint8_t { none, all, some };

// What one thread finds out about one block. Columns of one vector lie together: [vector][d][lane].
struct Part {
    float *   scores;   // [tile][vector][TILE][lane], then weights
    float *   scales;   // [tile][TILE] of the cells' values
    Sight *   sights;   // [tile][vector]
    int32_t * high;     // [vector][dv][lane]
    int32_t * low;      // [vector][dv][lane]
    float *   max;      // [vector][lane], of the scores
    float *   largest;  // [vector][lane], of the scales of cells that weigh anything
    double *  sum;      // [vector][lane], of the weights: whole numbers
};

// A thread's memory, kept from one call to the next.
class Scratch {
  public:
    float *           q;        // [vector][dk][lane], scaled
    float *           k;        // [TILE][dk]
    int32_t *         v;        // [PAIRS][dv], two cells' values each
    int32_t *         weights;  // [high, low][PAIRS][lane] of one tile, times the cells' scales
    std::vector<Part> parts;    // of the blocks that are worked on at the same time

    void fit(const Shape & shape, int n_vectors, int64_t n_tiles, int64_t n_parts) {
        const int64_t columns = int64_t{ n_vectors } * LANES;
        parts.resize(n_parts);
        for (bool is_placed : { false, true }) {
            size_t     size = 0;
            const auto take = [&](auto *& pointer, int64_t n) {
                if (is_placed) {
                    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(memory.data() + size);
                }
                size += (n * sizeof(*pointer) + 63) / 64 * 64;
            };
            take(q, columns * shape.dk);
            take(k, TILE * std::max(shape.dk, shape.dv));
            take(v, PAIRS * shape.dv);
            take(weights, 2 * PAIRS * LANES);
            for (Part & part : parts) {
                take(part.scores, n_tiles * TILE * columns);
                take(part.scales, n_tiles * TILE);
                take(part.sights, n_tiles * n_vectors);
                take(part.high, columns * shape.dv);
                take(part.low, columns * shape.dv);
                take(part.max, columns);
                take(part.largest, columns);
                take(part.sum, columns);
            }
            if (memory.size() < size) {
                memory.resize(size);
            }
        }
    }

  private:
    std::vector<char> memory;
};

// Threads that share a block's cells: all of them, or one alone where there are blocks enough.
struct Team {
    int               index, size;
    Scratch * const * scratch;  // of each

    const Scratch & mine() const { return *scratch[index]; }
};

// Queries `first` to `first + count` of one key/value head; query c is row c / group, head c % group.
struct Block {
    int64_t kv_head, first;
    int     count;
    int64_t part;  // which of the scratch memory's

    int n_vectors() const { return (count + LANES - 1) / LANES; }
};

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
        return mask && !dst->src[4] && !params->use_ref && max_bias == 0.0f && softcap == 0.0f
            && query->type == GGML_TYPE_F32 && key->type == GGML_TYPE_F16 && value->type == GGML_TYPE_F16
            && mask->type == GGML_TYPE_F16 && mask->ne[2] == 1 && mask->ne[3] == 1
            && query->ne[3] == 1 && key->ne[3] == 1 && value->ne[3] == 1 && key->ne[2] == value->ne[2]
            && shape.n_heads % shape.n_kv_heads == 0 && shape.dv % CHAINS == 0
            && params->nth * sizeof(Scratch *) <= params->wsize;
    }

    void run() {
        const int64_t columns  = shape.n_rows * shape.group;
        const int64_t per_head = (columns + COLUMNS - 1) / COLUMNS;
        const int64_t n_blocks = per_head * shape.n_kv_heads;
        n_vectors = static_cast<int>((std::min<int64_t>(columns, COLUMNS) + LANES - 1) / LANES);

        const auto block = [&](int64_t i, int64_t part) {
            const int64_t first = i % per_head * COLUMNS;
            return Block{ i / per_head, first, static_cast<int>(std::min<int64_t>(COLUMNS, columns - first)), part };
        };
        thread_local Scratch mine;
        if (n_blocks % params->nth == 0 || n_blocks >= MANY_BLOCKS * params->nth || shape.n_tiles() <= FEW_TILES) {
            mine.fit(shape, n_vectors, shape.n_tiles(), 1);
            Scratch * const only[] = { &mine };
            for (int64_t i = params->ith; i < n_blocks; i += params->nth) {
                attend_alone(block(i, 0), { 0, 1, only });
            }
            return;
        }
        mine.fit(shape, n_vectors, (shape.n_tiles() + params->nth - 1) / params->nth, n_blocks);
        Scratch ** const theirs = static_cast<Scratch **>(params->wdata);
        theirs[params->ith]     = &mine;
        std::vector<Block> blocks;
        for (int64_t i = 0; i < n_blocks; i++) {
            blocks.push_back(block(i, i));
        }
        attend_together(blocks, { params->ith, params->nth, theirs });
    }

  private:
    static constexpr int MANY_BLOCKS = 4;  // a thread: one more or less is no long wait
    static constexpr int FEW_TILES   = 8;  // in which threads would wait for each other longer than for one of them

    const ggml_compute_params * params;
    ggml_tensor *               dst;
    const ggml_tensor *         query;
    const ggml_tensor *         key;
    const ggml_tensor *         value;
    const ggml_tensor *         mask;
    Shape                       shape;
    float                       scale;
    int                         n_vectors = 0;  // of the widest block

    void attend_alone(const Block & block, const Team & team) const {
        find_scores(block, team);
        find_weights(block, team);
        add_values(block, team);
        write_out(block, team);
    }

    void attend_together(const std::vector<Block> & blocks, const Team & team) const {
        for (const Block & block : blocks) {
            find_scores(block, team);
        }
        ggml_barrier(params->threadpool);
        for (const Block & block : blocks) {
            find_weights(block, team);
        }
        ggml_barrier(params->threadpool);
        for (const Block & block : blocks) {
            add_values(block, team);
        }
        ggml_barrier(params->threadpool);
        for (const Block & block : blocks) {
            write_out(block, team);
        }
    }

    // Calls `with(cell, tile)` for the thread's tiles.
    template <class With>
    void for_tiles(const Team & team, With with) const {
        int64_t tile = 0;
        for (int64_t cell = (int64_t) team.index * TILE; cell < shape.n_cells; cell += (int64_t) team.size * TILE) {
            with(cell, tile++);
        }
    }

    // Calls `with(cell, tile, sights)` for those of them that any query sees.
    template <class With>
    void for_seen_tiles(const Block & block, const Team & team, const Part & part, With with) const {
        for_tiles(team, [&](int64_t cell, int64_t tile) {
            const Sight * sights = part.sights + tile * n_vectors;
            const auto    seen   = [](Sight sight) { return sight != Sight::none; };
            if (std::any_of(sights, sights + block.n_vectors(), seen)) {
                with(cell, tile, sights);
            }
        });
    }

    float * scores_of(const Part & part, int64_t tile, int vector) const {
        return part.scores + (tile * n_vectors + vector) * TILE * LANES;
    }

    void find_scores(const Block & block, const Team & team) const {
        const Scratch & mine = team.mine();
        const Part &    part = mine.parts[block.part];
        read_queries(block, mine.q);
        for_tiles(team, [&](int64_t cell, int64_t tile) {
            for (int i = 0; i < block.n_vectors(); i++) {
                part.sights[tile * n_vectors + i] = look(block, i, cell);
            }
        });
        std::fill_n(part.max, n_vectors * LANES, -INFINITY);
        for_seen_tiles(block, team, part, [&](int64_t cell, int64_t tile, const Sight * sights) {
            unpack_keys(mine.k, block.kv_head, cell);
            for (int i = 0; i < block.n_vectors(); i++) {
                if (sights[i] == Sight::none) {
                    continue;
                }
                float * const scores = scores_of(part, tile, i);
                score(mine.q + i * LANES * shape.dk, mine.k, scores);
                if (sights[i] == Sight::some) {
                    hide(block, scores, i, cell);
                }
                vec highest = load(part.max + i * LANES);
                for (int j = 0; j < TILE; j++) {
                    highest = larger(highest, load(scores + j * LANES));
                }
                store(part.max + i * LANES, highest);
            }
        });
    }

    void find_weights(const Block & block, const Team & team) const {
        const Part & part = team.mine().parts[block.part];
        vec          from[VECTORS];
        for (int i = 0; i < block.n_vectors(); i++) {
            vec highest = all(-INFINITY);
            for (int t = 0; t < team.size; t++) {
                highest = larger(highest, load(team.scratch[t]->parts[block.part].max + i * LANES));
            }
            from[i] = highest == all(-INFINITY) ? vec{} : highest;  // nothing is seen: -inf - -inf is no number
        }
        std::fill_n(part.largest, n_vectors * LANES, 0.0f);
        std::fill_n(part.sum, n_vectors * LANES, 0.0);
        for_seen_tiles(block, team, part, [&](int64_t cell, int64_t tile, const Sight * sights) {
            float * const scales = part.scales + tile * TILE;
            find_scales(scales, block.kv_head, cell);
            for (int i = 0; i < block.n_vectors(); i++) {
                if (sights[i] != Sight::none) {
                    weigh(scores_of(part, tile, i), from[i], scales, part.largest + i * LANES, part.sum + i * LANES);
                }
            }
        });
    }

    void add_values(const Block & block, const Team & team) const {
        const Scratch & mine = team.mine();
        const Part &    part = mine.parts[block.part];
        vec             factor[VECTORS];  // from weights times scales to numbers that add up to ALL at the most
        for (int i = 0; i < block.n_vectors(); i++) {
            const Totals totals(team, block, i);
            for (int lane = 0; lane < LANES; lane++) {
                factor[i][lane] = totals.factor(lane);
            }
        }
        std::fill_n(part.high, n_vectors * LANES * shape.dv, 0);
        std::fill_n(part.low, n_vectors * LANES * shape.dv, 0);
        for_seen_tiles(block, team, part, [&](int64_t cell, int64_t tile, const Sight * sights) {
            const float * const scales = part.scales + tile * TILE;
            unpack_values(mine, scales, block.kv_head, cell);
            for (int i = 0; i < block.n_vectors(); i++) {
                if (sights[i] != Sight::none) {
                    split(scores_of(part, tile, i), scales, factor[i], mine.weights);
                    const int64_t at = i * LANES * shape.dv;
                    add_tile(mine.v, mine.weights, part.high + at, part.low + at);
                }
            }
        });
    }

    // What a team found for one vector of queries.
    struct Totals {
        float  largest[LANES] = {};
        double sum[LANES]     = {};

        Totals(const Team & team, const Block & block, int vector) {
            for (int t = 0; t < team.size; t++) {
                const Part & part = team.scratch[t]->parts[block.part];
                for (int lane = 0; lane < LANES; lane++) {
                    largest[lane] = std::max(largest[lane], part.largest[vector * LANES + lane]);
                    sum[lane] += part.sum[vector * LANES + lane];
                }
            }
        }

        float factor(int lane) const {
            return sum[lane] == 0.0 ? 0.0f : static_cast<float>(ALL / (sum[lane] * largest[lane]));
        }

        // What the sums of products are to be multiplied with.
        double inverse(int lane) const {
            return sum[lane] == 0.0 ? 0.0 : 1.0 / (static_cast<double>(factor(lane)) * sum[lane] * UNIT);
        }
    };

    void read_queries(const Block & block, float * q) const {
        for (int c = 0; c < block.n_vectors() * LANES; c++) {
            float * to = q + (c / LANES) * LANES * shape.dk + c % LANES;
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

    const ggml_fp16_t * packed(const ggml_tensor * from, int64_t head, int64_t cell) const {
        return reinterpret_cast<const ggml_fp16_t *>(
            static_cast<const char *>(from->data) + cell * from->nb[1] + head * from->nb[2]);
    }

    void unpack_keys(float * to, int64_t head, int64_t cell) const {
        const int n = cells_from(cell);
        for (int i = 0; i < n; i++) {
            ggml_cpu_fp16_to_fp32(packed(key, head, cell + i), to + i * shape.dk, shape.dk);
        }
        std::fill_n(to + n * shape.dk, (TILE - n) * shape.dk, 0.0f);
    }

    // The power of two above each cell's largest value.
    void find_scales(float * scales, int64_t head, int64_t cell) const {
        const int n = cells_from(cell);
        for (int i = 0; i < n; i++) {
            const ggml_fp16_t * bits    = packed(value, head, cell + i);
            uint16_t            largest = 1 << 10;  // the smallest number that has an exponent
            for (int64_t d = 0; d < shape.dv; d++) {
                largest = std::max<uint16_t>(largest, bits[d] & 0x7FFF);
            }
            scales[i] = power_of_two((largest >> 10) - 14);
        }
        std::fill_n(scales + n, TILE - n, 1.0f);
    }

    static float power_of_two(int exponent) {
        const uint32_t bits = static_cast<uint32_t>(exponent + 127) << 23;
        float          power;
        std::memcpy(&power, &bits, sizeof power);
        return power;
    }

    void unpack_values(const Scratch & mine, const float * scales, int64_t head, int64_t cell) const {
        const int n = cells_from(cell);
        for (int i = 0; i < TILE; i += 2) {
            float * const two = mine.k;  // the keys are done with
            for (int j = 0; j < 2; j++) {
                if (i + j < n) {
                    ggml_cpu_fp16_to_fp32(packed(value, head, cell + i + j), two + j * shape.dv, shape.dv);
                } else {
                    std::fill_n(two + j * shape.dv, shape.dv, 0.0f);
                }
            }
            const vec first = all(UNIT / scales[i]), second = all(UNIT / scales[i + 1]);
            for (int64_t d = 0; d < shape.dv; d += LANES) {
                const ivec pair = pair_of(whole(load(two + d) * first), whole(load(two + shape.dv + d) * second));
                store(mine.v + i / 2 * shape.dv + d, pair);
            }
        }
    }

    // scores[cell][lane] = k[cell] . q[.][lane]
    void score(const float * q, const float * k, float * scores) const {
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
                store(scores + (i + j) * LANES, part[j]);
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

    // Scores to weights. Adds to `sum`, and finds the largest scale of what weighs anything.
    static void weigh(float * scores, vec from, const float * scales, float * largest, double * sum) {
        vec  highest = load(largest);
        ivec total{};
        for (int i = 0; i < TILE; i++) {
            const ivec weight = whole(exponential(load(scores + i * LANES) - from) * ONE);
            store(scores + i * LANES, real(weight));
            total += weight;
            highest = larger(highest, weight > 0 ? all(scales[i]) : vec{});
        }
        store(largest, highest);
        for (int lane = 0; lane < LANES; lane++) {
            sum[lane] += total[lane];
        }
    }

    // A tile's weights times its cells' scales, by pairs of cells: all high parts, then all low ones.
    static void split(const float * weights, const float * scales, vec factor, int32_t * parts) {
        for (int i = 0; i < TILE; i += 2) {
            const ivec first  = whole(load(weights + i * LANES) * (factor * scales[i]) + 0.5f);
            const ivec second = whole(load(weights + (i + 1) * LANES) * (factor * scales[i + 1]) + 0.5f);
            store(parts + i / 2 * LANES, pair_of(first >> LOW_BITS, second >> LOW_BITS));
            store(parts + (PAIRS + i / 2) * LANES, pair_of(first & (LOW_SCALE - 1), second & (LOW_SCALE - 1)));
        }
    }

    // high[d][lane] and low[d][lane] += sum over cells of v[cell][d] times the weight's high and low part
    void add_tile(const int32_t * v, const int32_t * parts, int32_t * high, int32_t * low) const {
        const int64_t dv = shape.dv;
        for (int64_t d = 0; d < dv; d += CHAINS) {
            ivec highs[CHAINS], lows[CHAINS];
#pragma GCC unroll 8
            for (int j = 0; j < CHAINS; j++) {
                highs[j] = load(high + (d + j) * LANES);
                lows[j]  = load(low + (d + j) * LANES);
            }
            for (int pair = 0; pair < PAIRS; pair++) {
                const ivec large = load(parts + pair * LANES), small = load(parts + (PAIRS + pair) * LANES);
#pragma GCC unroll 8
                for (int j = 0; j < CHAINS; j++) {
                    const ivec values = all(v[pair * dv + d + j]);
                    highs[j] = add_products(highs[j], large, values);
                    lows[j]  = add_products(lows[j], small, values);
                }
            }
#pragma GCC unroll 8
            for (int j = 0; j < CHAINS; j++) {
                store(high + (d + j) * LANES, highs[j] + (lows[j] >> LOW_BITS));
                store(low + (d + j) * LANES, lows[j] & (LOW_SCALE - 1));
            }
        }
    }

    // Adds the threads' sums; each thread does its share of the values' dimensions.
    void write_out(const Block & block, const Team & team) const {
        const int64_t begin = shape.dv * team.index / team.size;
        const int64_t end   = shape.dv * (team.index + 1) / team.size;
        for (int vector = 0; vector < block.n_vectors(); vector++) {
            const Totals totals(team, block, vector);
            for (int lane = 0; lane < LANES && vector * LANES + lane < block.count; lane++) {
                const double  inverse = totals.inverse(lane);
                const int64_t column  = block.first + vector * LANES + lane;
                const int64_t row     = column / shape.group;
                const int64_t head    = block.kv_head * shape.group + column % shape.group;
                float * const to      = reinterpret_cast<float *>(
                    static_cast<char *>(dst->data) + (row * shape.n_heads + head) * dst->nb[1]);
                for (int64_t d = begin; d < end; d++) {
                    const int64_t at    = (vector * shape.dv + d) * LANES + lane;
                    int64_t       total = 0;
                    for (int t = 0; t < team.size; t++) {
                        const Part & part = team.scratch[t]->parts[block.part];
                        total += int64_t{ part.high[at] } * LOW_SCALE + part.low[at];
                    }
                    to[d] = static_cast<float>(static_cast<double>(total) * inverse);
                }
            }
        }
    }
};

}  // namespace

static_assert(std::is_same_v<decltype(&ggml_compute_forward_flash_attn_ext), void (*)(const ggml_compute_params *, ggml_tensor *)>,
              "bindings.cmake calls functiongate_attention in its place");

extern "C" void functiongate_attention(const ggml_compute_params * params, ggml_tensor * dst);

void functiongate_attention(const ggml_compute_params * params, ggml_tensor * dst) {
    Attention attention(params, dst);
    if (functiongate_is_on(FUNCTIONGATE_ATTENTION) && attention.suits()) {
        attention.run();
    } else {
        ggml_compute_forward_flash_attn_ext(params, dst);
    }
}
