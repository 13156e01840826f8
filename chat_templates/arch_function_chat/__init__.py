"""Katanemo's Arch-Function-Chat: every answer is one fenced object, of a text, a question back, or calls."""
