"""Arch-Function."""
