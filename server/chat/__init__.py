"""Both worlds: a request becomes prompt and grammar, generated text becomes deltas."""
