"""What is served, told as each kind of client asks for it."""
