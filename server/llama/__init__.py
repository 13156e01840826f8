"""The C boundary: llama.cpp through ctypes. What crosses is int, bytes, str and numpy arrays, never a pointer."""
