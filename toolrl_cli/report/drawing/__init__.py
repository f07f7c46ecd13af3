"""Curves and figures with matplotlib."""
