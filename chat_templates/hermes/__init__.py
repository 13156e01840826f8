"""Hermes-2-Pro."""
