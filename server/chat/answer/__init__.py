"""An answer as it comes: what is told of it, what is held back, and what it goes on with."""
