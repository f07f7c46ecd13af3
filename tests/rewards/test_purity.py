"""Rewards stand alone: they are imported by every command that validates, and by users without toolrl."""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import sys
before = set(sys.modules)
import toolrl_cli.rewards
from toolrl_cli.rewards import catalogue, explain, gold
from toolrl_cli.rewards.comparing import rescore
toolrl_cli.rewards.get_reward("finegrained+dynamic+length@paper").score("<think> a </think>", "", 1, 10)
catalogue.catalogue()
loaded = set(sys.modules) - before
print(*sorted(loaded))
"""


def modules() -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_rewards_imports_no_other_room_and_nothing_heavy() -> None:
    loaded = modules()
    assert "toolrl_cli.rewards.reward" in loaded
    rooms = {name.split(".")[1] for name in loaded if name.startswith("toolrl_cli.")}
    assert rooms == {"registry", "rewards"}  # the registry is no room: stdlib alone
    heavy = {
        "torch",
        "verl",
        "transformers",
        "ray",
        "pandas",
        "numpy",
        "scipy",
        "yaml",
        "omegaconf",
        "pydantic",
    }
    assert not {name.split(".")[0] for name in loaded} & heavy
