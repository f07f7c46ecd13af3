"""Commands on one model: serve it, score it."""
