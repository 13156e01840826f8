# How llama-cpp-python is built for this project. CMake reads it right after `project(llama_cpp)` of the bindings'
# own CMakeLists.txt: -DCMAKE_PROJECT_llama_cpp_INCLUDE=<this file>. Normal variables set here win over that file's
# options (policy CMP0077) and over what it forces into the cache (policy CMP0126), which no -D on the command line can.

# Not built: the vision library, and the helpers of llama.cpp's own command-line tools (argument parsing, HTTP
# downloads, chat templates). The bindings load neither, and together they cost more compile time than the rest.
set(LLAVA_BUILD OFF)
set(LLAMA_BUILD_COMMON OFF)

# One file per library. A wheel cannot hold symbolic links, so `libggml.so`, `libggml.so.0` and `libggml.so.0.25.3`
# would become three libraries with a backend registry each, and whoever opens the wrong one finds no backend.
set(CMAKE_PLATFORM_NO_VERSIONED_SONAME ON)

# One place. llama.cpp's own install rules would put a second copy of everything into site-packages/lib, and the CPU
# variants of the portable build into site-packages/bin; here all of it meets in the directory the bindings look in.
set(CMAKE_INSTALL_LIBDIR llama_cpp/lib)
set(CMAKE_INSTALL_BINDIR llama_cpp/lib)
set(CMAKE_INSTALL_INCLUDEDIR llama_cpp/include)
set(CMAKE_INSTALL_RPATH "$ORIGIN")

# Kernels of our own for what decides here, a few rows at once: ggml's file of operations calls them in place of its own,
# which they fall back to. The targets, one for each CPU variant, are known when all directories were read.
function(functiongate_kernels)
    set(ggml ${CMAKE_SOURCE_DIR}/vendor/llama.cpp/ggml/src)
    functiongate_check_hooks(${ggml}/ggml-cpu/ggml-cpu.c)
    file(GLOB kernels ${FUNCTIONGATE_KERNELS}/*.cpp)
    get_property(targets DIRECTORY ${ggml} PROPERTY BUILDSYSTEM_TARGETS)
    list(FILTER targets INCLUDE REGEX "^ggml-cpu")
    list(FILTER targets EXCLUDE REGEX "-feats$")  # what asks the processor for its features
    foreach(target IN LISTS targets)
        target_sources(${target} PRIVATE ${kernels})
        # ggml's AMX products (ADR 17): weights would be laid out as none of our kernels reads them, a row's bits would
        # depend on its company, and GCC before 14 drops half of the tile configuration, so that loading it ends the process.
        if(FUNCTIONGATE_KNOWS_AMX)
            target_compile_options(${target} PRIVATE -mno-amx-tile -mno-amx-int8 -mno-amx-bf16)
        endif()
    endforeach()
    set_source_files_properties(${ggml}/ggml-cpu/ggml-cpu.c DIRECTORY ${ggml} PROPERTIES COMPILE_DEFINITIONS
        "${FUNCTIONGATE_HOOKS}")
endfunction()

set(FUNCTIONGATE_KERNELS ${CMAKE_CURRENT_LIST_DIR}/kernels)
include(${CMAKE_CURRENT_LIST_DIR}/hooks.cmake)
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag("-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" FUNCTIONGATE_KNOWS_AMX)  # x86 alone does
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    cmake_language(DEFER CALL functiongate_kernels)
endif()
