"""Measures of running text: perplexity, and divergence from a reference's logits."""
