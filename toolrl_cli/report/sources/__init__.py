"""What a report is made of: sweeps on disk, imported runs, printed numbers."""
