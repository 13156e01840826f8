"""From a model's name to its file: catalogue, hub, wheels, GGUF heads, hashes, the cache."""
