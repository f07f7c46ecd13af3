"""Model folders: what they hold, how large they are, and the tiny one that is made on the spot."""
