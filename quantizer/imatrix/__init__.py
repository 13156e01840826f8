"""Activations of a model: collected, kept in files, read again, and what they tell of each tensor."""
