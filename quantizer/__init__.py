"""Mixed-precision GGUFs: planned exactly, made by llama.cpp, and measured by what they are for."""
