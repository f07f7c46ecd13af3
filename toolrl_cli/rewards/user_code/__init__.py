"""Users' reward functions: which files belong together, how they are imported, and the process that runs them."""
