"""Text and tokens, one made of the other, as llama-server's clients ask for it."""
