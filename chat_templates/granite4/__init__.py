"""IBM's Granite 4.0 and 4.1: Hermes' calls in turns of their own."""
