"""Gemma 4: calls with texts between quotes that are one token."""
