"""Qwen3-Coder: calls as tags, a tag for each argument."""
