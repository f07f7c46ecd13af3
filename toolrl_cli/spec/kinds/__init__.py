"""The kinds of stages that toolrl has: one module each, with the kind's settings and its one object."""
