"""Microsoft's Phi-4-mini: tools behind the system's text, calls as one JSON list between tokens."""
