"""Hugging Face's SmolLM3: three billion parameters, thinking or not, calls between tags."""
