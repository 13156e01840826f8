"""Minitron: base models, which continue text and do not chat."""
