"""The KV cache: which slot holds which cells, prefixes in memory, prefixes beyond it."""
