"""Mistral Nemo: tools before the last user's turn, calls as a JSON array after `[TOOL_CALLS]`."""
