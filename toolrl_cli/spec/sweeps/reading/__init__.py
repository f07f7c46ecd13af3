"""Which file a sweep's name stands for, and all faults of it at once."""
