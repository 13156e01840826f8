// Which kernels of this folder are used: a word that any thread may read and write.
//
// Not the environment: getenv in a kernel races with setenv elsewhere in the process, and ends it now and then.

#pragma once

#include <atomic>

enum functiongate_kernel : unsigned {
    FUNCTIONGATE_ATTENTION  = 1,
    FUNCTIONGATE_MATMUL     = 2,
    FUNCTIONGATE_REARRANGED = 4,
};

extern std::atomic<unsigned> functiongate_kernels;

inline bool functiongate_is_on(functiongate_kernel kernel) {
    return (functiongate_kernels.load(std::memory_order_relaxed) & kernel) != 0;
}
