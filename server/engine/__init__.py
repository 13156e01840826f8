"""Tokens, masks and sequences: continuous batching over one model. Never a message, never a text format."""
