"""The quantizer's own C boundary: structs and callbacks of llama.cpp that serving needs nothing of.

The only place of this package that imports ctypes. Values that cross are int, bytes, str, numpy arrays.
"""
