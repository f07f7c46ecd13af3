"""Components of a reward of your own, which `my_reward.yaml` names."""

from __future__ import annotations

import re


def brief(completion: str) -> float:
    """1 for a turn of up to 100 words, less for a longer one. Gold answers must earn the most that there is."""
    words = len(re.findall(r"\w+", completion))
    return min(1.0, 100 / max(words, 1))
