// Whether the kernels of this folder are used: FUNCTIONGATE_KERNELS=0 in the environment says no. Read once.

#pragma once

#include <cstdlib>
#include <cstring>

inline bool functiongate_kernels_are_on() {
    static const bool are_on = [] {
        const char * value = std::getenv("FUNCTIONGATE_KERNELS");
        return !value || std::strcmp(value, "0") != 0;
    }();
    return are_on;
}
