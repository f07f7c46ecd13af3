"""A training on several machines: a Ray over all of them, or ranks on each, for as long as the training runs."""
