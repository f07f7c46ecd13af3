"""Loggers beside W&B, which get the same rows from the files: `tracking.loggers`. One module each."""
