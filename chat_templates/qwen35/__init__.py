"""Qwen3.5: calls as tags, and thoughts that the prompt opens."""
