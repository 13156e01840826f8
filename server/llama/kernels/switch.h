// Whether the kernels of this folder are used: FUNCTIONGATE_KERNELS=0 in the environment says no. Looked up each time,
// some hundred times a token at a tenth of a microsecond, so that one process can do both.

#pragma once

#include <cstdlib>
#include <cstring>

inline bool functiongate_kernels_are_on() {
    const char * value = std::getenv("FUNCTIONGATE_KERNELS");
    return !value || std::strcmp(value, "0") != 0;
}
