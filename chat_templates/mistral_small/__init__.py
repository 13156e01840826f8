"""Mistral Small 3.2: tools before the last user's turn, calls as name, id and arguments after `[TOOL_CALLS]`."""
