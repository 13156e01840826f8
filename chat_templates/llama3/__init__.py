"""Llama 3.1 and 3.2."""
