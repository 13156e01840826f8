// Whether ggml still lays rearranged Q4_K out as weights.h reads it. Compiles to nothing; fails to compile if it does not.
//
// In a file of its own: repack.h declares ggml's blocks in a way that the headers of the kernels do not bear.

#include "repack.h"

#include <cstddef>
#include <type_traits>

static_assert(std::is_same_v<decltype(&ggml_backend_cpu_repack_buffer_type), ggml_backend_buffer_type_t (*)()>,
              "matmul.cpp declares it so, to know rearranged weights by their buffer");

#if defined(__AVX2__)

static_assert(sizeof(block_q4_Kx8::d) == 8 * sizeof(ggml_half) && offsetof(block_q4_Kx8, d) == 0,
              "weights.h: Q4_Kx8 begins with the scales of eight rows");
static_assert(sizeof(block_q4_Kx8::dmin) == 8 * sizeof(ggml_half) && offsetof(block_q4_Kx8, dmin) == 16,
              "weights.h: Q4_Kx8 goes on with the floors of eight rows");
static_assert(sizeof(block_q4_Kx8::scales) == 96 && offsetof(block_q4_Kx8, scales) == 32,
              "weights.h: Q4_Kx8 has twelve bytes of six-bit scales for each of eight rows");
static_assert(sizeof(block_q4_Kx8::qs) == 1024 && offsetof(block_q4_Kx8, qs) == 128 && sizeof(block_q4_Kx8) == 1152,
              "weights.h: Q4_Kx8 ends with the nibbles of eight rows of 256");

#endif
