"""One module per output format; all print the same computed tables and round nothing."""
