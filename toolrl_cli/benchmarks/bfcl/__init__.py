"""BFCL: bfcl-eval in a process of its own, its items and verdicts here."""
