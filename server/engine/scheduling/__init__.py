"""What runs in the next step: plans, whose turn it is, how long a step takes."""
