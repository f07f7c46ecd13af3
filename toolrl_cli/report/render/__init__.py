"""One module per output format; each prints the same computed tables and rounds nothing."""
