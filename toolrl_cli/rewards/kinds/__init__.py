"""The kinds of reward components that toolrl has: one module each, with its one object."""
