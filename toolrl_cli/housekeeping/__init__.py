"""What may be removed from a results root, and what is wrong with this machine."""
