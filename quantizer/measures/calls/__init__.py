"""Measures of tool calls: the decisions inside them, and whole calls through the server."""
