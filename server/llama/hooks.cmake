# Which calls of ggml's file of operations come to kernels of our own, and the check that it still makes them. A call that
# is gone would leave a kernel unused, and nobody would know but by the clock. `bindings.cmake` asks in the build, before
# anything is compiled; a new llama.cpp can be asked without building it:
#
#   cmake -DOPERATIONS=vendor/llama.cpp/ggml/src/ggml-cpu/ggml-cpu.c -P server/llama/hooks.cmake

set(FUNCTIONGATE_HOOKS
    ggml_compute_forward_flash_attn_ext=functiongate_attention
    ggml_compute_forward_mul_mat_tiled=functiongate_matmul
    ggml_cpu_extra_compute_forward=functiongate_rearranged)

# Ends the build at the first name that the file of operations does not call as our kernels are called: (params, <tensor>).
function(functiongate_check_hooks operations)
    file(READ ${operations} text)
    foreach(hook IN LISTS FUNCTIONGATE_HOOKS)
        string(REGEX REPLACE "=.*" "" name ${hook})
        if(NOT text MATCHES "[^a-zA-Z0-9_]${name}\\(params, [a-z]+\\)")
            message(FATAL_ERROR "ggml-cpu.c does not call ${name}(params, …) any more: see docs/bump-llama-cpp.md")
        endif()
    endforeach()
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
    functiongate_check_hooks("${OPERATIONS}")
endif()
