"""When an agent's loop ends: what is not called again, what is no answer, and what is asked in its place."""
