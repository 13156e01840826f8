// The rows of a batch, quantized to bytes for products with weights of `Type`.
//
// Up to eight rows lie together, block by block: first the rows' scales, then, where the weights have floors, the rows'
// sums, then 32 bytes of each row. So the numbers of eight rows are one register, and it is as much memory as ggml's own
// blocks take, which is what its scratch memory is made for. One of the two sorts of bytes in a product must be unsigned:
// where that has to be the batch's, 128 is added.

#pragma once

#include "weights.h"

#if FUNCTIONGATE_LANES

#include "ggml-cpu.h"

namespace {

constexpr int GROUP  = 8;   // rows of the batch that lie together
constexpr int BLOCKS = 16;  // of one chunk: what is unpacked of it, and of a group, stays in the first cache

// What the bytes of a group are multiplied with, for the blocks of one chunk. `sum` is of what was quantized.
struct Numbers {
    alignas(32) float scale[BLOCKS][GROUP];
    alignas(32) float sum[BLOCKS][GROUP];
};

// Some rows of a batch from one block on; `n` of them lie together.
template <class Type>
struct Rows {
    static constexpr int HEAD = (Type::has_floor ? 2 : 1) * sizeof(ggml_half);
    static constexpr int SIZE = HEAD + BLOCK;  // of one row's block

    char * from;
    int    n;

    Rows from_block(int64_t block) const { return { from + block * n * SIZE, n }; }

    uint8_t * bytes(int64_t block, int row) const {
        return reinterpret_cast<uint8_t *>(from + block * n * SIZE + n * HEAD + row * BLOCK);
    }

    // Lanes beyond n are garbage.
    __m256 scales(int64_t block) const { return eight_halves(from + block * n * SIZE); }
    __m256 sums(int64_t block) const { return eight_halves(from + block * n * SIZE + n * sizeof(ggml_half)); }

    Numbers numbers(int n_blocks) const {
        Numbers found;
        for (int block = 0; block < n_blocks; block++) {
            _mm256_store_ps(found.scale[block], scales(block));
            if constexpr (Type::has_floor) {
                _mm256_store_ps(found.sum[block], sums(block));
            }
        }
        return found;
    }

    void put(int64_t block, int row, const typename Type::input & values, __m256i added) const {
        char * const here = from + block * n * SIZE;
        std::memcpy(here + row * sizeof(ggml_half), &values.d, sizeof(ggml_half));
        if constexpr (Type::has_floor) {
            std::memcpy(here + (n + row) * sizeof(ggml_half), &values.s, sizeof(ggml_half));
        }
        const __m256i shifted = _mm256_xor_si256(load(values.qs), added);  // the highest bit, so xor adds
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(bytes(block, row)), shifted);
    }

    static __m256 eight_halves(const char * halves) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(halves)));
    }
};

template <class Type>
class Batch {
  public:
    Batch(void * memory, int64_t n_rows, int64_t n_blocks)
        : memory(static_cast<char *>(memory)), n_rows(n_rows), n_blocks(n_blocks) {}

    size_t size() const { return n_rows * n_blocks * Rows<Type>::SIZE; }

    // Up to eight rows from a multiple of eight on.
    Rows<Type> group(int64_t row) const {
        const int64_t n = n_rows - row < GROUP ? n_rows - row : GROUP;
        return { memory + row * n_blocks * Rows<Type>::SIZE, static_cast<int>(n) };
    }

    // The blocks of thread `ith` of `nth`, of every row.
    void quantize(const ggml_tensor * batch, int ith, int nth, bool to_unsigned) const {
        const __m256i added      = _mm256_set1_epi8(to_unsigned ? -128 : 0);
        const auto    from_float = ggml_get_type_traits_cpu(Type::input_type)->from_float;
        const int64_t begin      = n_blocks * ith / nth;
        const int64_t end        = n_blocks * (ith + 1) / nth;
        for (int64_t row = 0; row < n_rows; row++) {
            const char * const values = static_cast<const char *>(batch->data) + row * batch->nb[1];
            const Rows<Type>   rows   = group(row - row % GROUP);
            for (int64_t block = begin; block < end; block += BLOCKS) {
                const int            n = static_cast<int>(end - block < BLOCKS ? end - block : BLOCKS);
                typename Type::input some[BLOCKS];
                from_float(reinterpret_cast<const float *>(values) + block * BLOCK, some, n * BLOCK);
                for (int i = 0; i < n; i++) {
                    rows.put(block + i, static_cast<int>(row % GROUP), some[i], added);
                }
            }
        }
    }

    char *  memory;
    int64_t n_rows, n_blocks;
};

}  // namespace

#endif
