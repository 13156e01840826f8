"""Liquid's LFM2 and LFM2.5: a list of Python calls between special tokens."""
