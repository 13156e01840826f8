"""What speaks for a call: the words of the conversation that stand in its arguments."""
