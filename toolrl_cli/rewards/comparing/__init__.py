"""What reward designs tell apart, before a GPU is spent: gold answers, changed in one way each, scored side by side."""
