"""`--profile rehearsal`: a sweep with its own model, data, prompts and benchmarks, but hardly any steps and items.

It finds in minutes what would break at hour ten. So nothing is shortened that could: limits on lengths, templates,
merging, the endpoint, scoring, tracking and the checks of disk and memory are those of the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from toolrl_cli.spec.run.data_settings import DATA_KINDS
from toolrl_cli.spec.run.training_settings import RlSpec
from toolrl_cli.spec.sweeps.profile import REHEARSAL, RL_STEPS, Profile, get_setting
from toolrl_cli.spec.sweeps.settings import apply, copied
from toolrl_cli.spec.sweeps.sweep import Document

STEPS = 2
"""Of every training: the second shows that a step leaves a model that another can begin with."""
ITEMS = 5
"""Of each category of a benchmark."""
ROWS = 8
"""Of the validation set, most, and sequences of a step of SFT."""


@dataclass(frozen=True)
class Rehearsal(Profile):
    """The dress rehearsal of a sweep.

    Attributes:
        cuda: whether there are GPUs here; else what the sweep wants of one is left to the machine.
    """

    name: str = field(default=REHEARSAL, init=False)
    description: str = field(
        default=f"{STEPS} steps a training, {ITEMS} items a category (a command asks all of its own), "
        "ids of their own; its numbers mean nothing",
        init=False,
    )
    cuda: bool = True

    def document(self, document: Document) -> Document:
        """The sweep under its own name; benchmarks and tables stay."""
        sweep = document.sweep
        changes = {
            "name": f"{sweep.name}-{self.name}",
            "evaluate": [_at_every_step(e) for e in sweep.evaluate],
        }
        return Document(sweep.model_copy(update=changes), document.source, document.overrides, document.path)

    def adjust(
        self,
        tree: dict[str, Any],
        reference: Mapping[str, Any],
        settings: Mapping[str, Any],
        canonical_reward: Callable[[Any, str], dict[str, Any]],
    ) -> dict[str, Any]:
        """See `Profile`."""
        before = get_setting(tree, RL_STEPS) or RlSpec().steps
        if not self.cuda:
            self._without_gpu(tree)
        gpus = (get_setting(tree, "resources.gpus") or 1) * (get_setting(tree, "resources.nodes") or 1)
        small = {
            "rehearsal": True,
            "evaluation.limit": ITEMS,
            "sft.steps": STEPS,
            "sft.batch_size": max(ROWS, gpus),
            RL_STEPS: STEPS,
            "rl.save_every": 1,
            "rl.validate_every": 1,
            **self._batches(tree, gpus),
        }
        if get_setting(tree, "model.kind") == "tiny":
            small["model.pretrain.steps"] = STEPS
        kind = DATA_KINDS.get(get_setting(tree, "data.kind"))
        rows = "data.limit.val" if kind is not None and "limit" in kind.model_fields else "data.val"
        most = dict.fromkeys(("rl.warmup_steps", "rl.critic_warmup", "sft.save_every"), 1)
        for key, number in {**most, rows: ROWS, "data.at_least.val": ROWS}.items():
            value = get_setting(tree, key)
            if (isinstance(value, int) and value > number) or (
                value is None and key == rows and kind is not None
            ):
                small[key] = number
        apply(small, tree)
        if isinstance(tree.get("evaluate"), (list, tuple)):
            tree["evaluate"] = [_at_every_step(entry) for entry in tree["evaluate"]]
        if "reward" in tree and "rl" in tree.get("train", ("rl",)):
            self.stretch_reward(tree, before, canonical_reward)
        return self.settings_now(tree, settings)

    def _batches(self, tree: Mapping[str, Any], gpus: int) -> dict[str, Any]:
        """Two updates a step, of two prompts at least, that fit the algorithm and the devices."""
        algorithm = self.algorithm(tree)
        mini = max(2, gpus)
        share = mini * (get_setting(tree, "rl.rollouts") or RlSpec().rollouts) // gpus
        small = {"rl.mini_batch": mini, "rl.prompts": mini if algorithm.on_policy else 2 * mini}
        micro = get_setting(tree, "rl.micro_batch")
        if algorithm.whole_mini_batches:
            small["rl.micro_batch"] = share
        elif isinstance(micro, int):
            small["rl.micro_batch"] = gcd(micro, share)
        return small

    def _without_gpu(self, tree: dict[str, Any]) -> None:
        changes = {"resources.device": "auto", "resources.rollout": "auto", "resources.gpus": 1}
        if (get_setting(tree, "resources.nodes") or 1) > 1:
            changes["resources.nodes"] = 1
        wanted = {"resources.device": "cuda", "resources.rollout": "vllm"}
        if any(get_setting(tree, key) == value for key, value in wanted.items()):
            apply(changes, tree)
            told = ", ".join(f"{key} {value}" for key, value in changes.items())
            self.notes[f"there is no GPU here: {told}, and nothing of CUDA and vLLM is rehearsed"] = None


def _at_every_step(entry: Any) -> Any:
    """An entry of `evaluate`; a curve has its points where there are checkpoints."""
    return {**copied(entry), "every": 1} if isinstance(entry, Mapping) and "every" in entry else entry
