"""Settings that a run does not read because of others: an axis over one would train the same under several ids.

Presets set some of them for all algorithms, so only what a sweep writes itself is a fault: in a cell where that cell
does not read it; in `base` or `--set`, which all cells share, where no cell does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.evaluations.own_evaluation import takes_folder
from toolrl_cli.spec.run.evaluation_settings import OwnEvaluation
from toolrl_cli.spec.run.model_settings import EndpointModel

if TYPE_CHECKING:
    from toolrl_cli.spec.run.run_spec import RunSpec

_DISCOUNTED = ("gae", "reinforce_plus_plus")
"""Advantage estimators of verl that read the discount."""


@dataclass(frozen=True)
class Unread:
    """Why a setting is not read.

    Attributes:
        what: in one clause, for behind the setting.
        because: the dotted setting that decides it.
        read_where: the value of that setting with which it would be read.
    """

    what: str
    because: str
    read_where: str


def unread(run: RunSpec) -> Mapping[str, Unread]:
    """Dotted settings of a run's trainings that change nothing in them, each with the reason."""
    return dict(_unread(run))


def _unread(run: RunSpec) -> Iterator[tuple[str, Unread]]:
    if "sft" in run.train and run.sft.steps is not None and not run.rehearsal:
        yield "sft.epochs", Unread(f"sft.steps ({run.sft.steps}) counts the steps", "sft.steps", "null")
    commands = [e for e in run.evaluate if isinstance(e, OwnEvaluation) and e.command]
    if commands and len(commands) == len(run.evaluate):
        served = not all(takes_folder(e) for e in commands) and not isinstance(run.model, EndpointModel)
        for name in type(run.evaluation).model_fields:
            if not served or name != "batch_size":  # which toolrl's own server generates by
                what = "every evaluation is a command, which asks the model itself"
                yield f"evaluation.{name}", Unread(what, "evaluate", "[toolworld]")
    if "rl" not in run.train:
        return
    algorithm = ALGORITHMS[run.algorithm]
    for name, reads in {
        "critic_lr": algorithm.critic,
        "critic_warmup": algorithm.critic,
        "gae_lambda": algorithm.estimator == "gae",
        "gamma": algorithm.estimator in _DISCOUNTED,
    }.items():
        if not reads:
            yield f"rl.{name}", Unread(f"{algorithm.name} does not read it", "algorithm", "ppo")
    if run.rl.kl == "none":
        yield "rl.kl_coef", Unread("there is no KL term (rl.kl: none)", "rl.kl", "in_loss")


class Readings:
    """What the cells of one sweep read of the settings that they share.

    Args:
        base, overrides: the dotted settings of `base` and of `--set`.
    """

    def __init__(self, base: Collection[str], overrides: Collection[str]) -> None:
        self._overrides = frozenset(overrides)
        self._shared = sorted({*base, *overrides})
        self._read: set[str] = set()
        self._left: dict[str, tuple[str, Unread]] = {}

    def of_cell(self, run: RunSpec, arm: str, written: Collection[str]) -> tuple[str, Unread] | None:
        """Note a cell's run.

        Args:
            run: of the cell.
            arm: its name.
            written: its own dotted settings.

        Returns:
            The first setting of the cell itself that it does not read.
        """
        found = unread(run)
        for key in self._shared:
            if key in found:
                # `--set` may well make idle what `base` has
                if key in self._overrides or found[key].because not in self._overrides:
                    self._left.setdefault(key, (arm, found[key]))
            elif key.partition(".")[0] in run.train or (run.evaluate and key.startswith("evaluation.")):
                self._read.add(key)
        own = ((k, why) for k, why in found.items() if k in written and k not in self._overrides)
        return next(((k, why) for k, why in own if why.because not in self._overrides), None)

    def of_all(self) -> tuple[str, str, Unread] | None:
        """The first shared setting that no cell reads: setting, one of the arms, and why."""
        return next(((key, *told) for key, told in self._left.items() if key not in self._read), None)
