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
