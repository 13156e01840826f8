"""Mistral's Ministral 3, the reasoning models: thoughts between markers, calls without ids."""
