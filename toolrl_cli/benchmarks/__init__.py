"""Benchmarks: each generates answers and scores them."""
