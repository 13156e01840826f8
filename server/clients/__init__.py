"""Other people's programs, and how each is told to use this server."""
