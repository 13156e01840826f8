"""What outlives its answer: responses, conversations, and what goes on from them."""
