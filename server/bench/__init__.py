"""Measures any OpenAI-compatible server by the work of tool-calling agents, and two of them against each other."""
