"""toolrl: reward-design ablations of tool-use reinforcement learning, run with verl."""

__version__ = "0.1.0"
