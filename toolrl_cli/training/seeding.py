"""A run's seed, for the one thing that verl 0.9.1 draws from torch's global generator: a critic's value head.

verl seeds that generator under `full_determinism` alone, which forbids fast kernels: two runs of PPO with equal
seeds would begin with different critics. Data order and sampling have generators of their own.
"""

from __future__ import annotations

import os

_SEED = "TOOLRL_SEED"


def seed_environment(seed: int) -> dict[str, str]:
    """What the processes of a run must have in their environment."""
    return {_SEED: str(seed)}


def seed_torch() -> None:
    """Seed torch in this process, if it belongs to a run of toolrl."""
    if seed := os.environ.get(_SEED):
        import torch

        torch.manual_seed(int(seed))
