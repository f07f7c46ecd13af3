"""The algorithms of reinforcement learning: what each is, what makes it right, and when it is not that any more."""
