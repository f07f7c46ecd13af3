"""The kinds of reward components that toolrl has: one module and one object each."""
