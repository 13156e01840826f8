"""Readers of generated text, one character at a time: what every form of call is read with."""
