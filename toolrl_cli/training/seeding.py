"""Seeds torch's global generator, from which verl 0.9.1 draws a critic's value head.

verl seeds that generator only with `full_determinism`, which forbids fast kernels, so two runs of PPO with equal
seeds would start with different critics. Data order and sampling have their own generators.
"""

from __future__ import annotations

import os

_SEED = "TOOLRL_SEED"


def seed_environment(seed: int) -> dict[str, str]:
    """The environment variables that `seed_torch` reads in the processes of a run."""
    return {_SEED: str(seed)}


def seed_torch() -> None:
    """Seed torch in this process, if it belongs to a run of toolrl."""
    if seed := os.environ.get(_SEED):
        import torch

        torch.manual_seed(int(seed))
