"""Reward designs for tool-use reinforcement learning: exact, composable, explainable. Imports no other room.

>>> reward = get_reward("finegrained+dynamic")
>>> turn = '<think> t </think>\\n<tool_call>\\n{"name": "f", "parameters": {}}\\n</tool_call>'
>>> reward.score(turn, turn, step=75).total
4.0
"""

from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.resolve import get_reward
from toolrl_cli.rewards.reward import Part, Reward, Score

__all__ = ["Part", "Reward", "RewardError", "Score", "get_reward"]
