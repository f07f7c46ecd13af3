"""Components of a reward of your own, which `my_reward.yaml` names."""

from __future__ import annotations

import re


def brief(completion: str, calls: list[object] | None) -> float:
    """1 for a turn of up to 100 words, less for a longer one, 0 where no call can be read."""
    words = len(re.findall(r"\w+", completion))
    return 0.0 if calls is None else min(1.0, 100 / max(words, 1))
