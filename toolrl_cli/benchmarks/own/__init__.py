"""Evaluations of the user's own: a Python file in a process of its own, or a command."""
