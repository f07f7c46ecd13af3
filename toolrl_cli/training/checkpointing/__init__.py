"""verl's checkpoints: which are whole, which is best, which is exported."""
