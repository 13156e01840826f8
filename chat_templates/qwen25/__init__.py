"""Alibaba's Qwen2.5: ChatML with tools in the system turn, calls as `<tool_call>` JSON."""
