// The switch of the kernels, and its two functions for who loads the library. All are on until somebody says otherwise.

#include "switch.h"

std::atomic<unsigned> functiongate_kernels{FUNCTIONGATE_ATTENTION | FUNCTIONGATE_MATMUL | FUNCTIONGATE_REARRANGED};

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED void functiongate_set_kernels(unsigned kernels);
EXPORTED unsigned functiongate_get_kernels(void);

void functiongate_set_kernels(unsigned kernels) { functiongate_kernels.store(kernels, std::memory_order_relaxed); }
unsigned functiongate_get_kernels(void) { return functiongate_kernels.load(std::memory_order_relaxed); }
