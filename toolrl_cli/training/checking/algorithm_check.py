"""Whether verl's own options contradict the algorithm of a stage."""

from __future__ import annotations

from typing import Any

from toolrl_cli.spec.algorithms.algorithm import ESTIMATOR, LOSS, VANILLA, Algorithm
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.training.checking.composed import split_prefix
from toolrl_cli.training.checking.option_fault import OptionFault

BYPASS = "bypass_mode"
"""verl's name for the clipped loss against the log-probs of the rollout."""
_WEIGHTS = ("algorithm.gdpo_reward_keys", "algorithm.gdpo_reward_weights")
_OF_MANY = ("actor_rollout_ref.actor.clip_ratio_c",)
"""Options of verl's clipped loss that others read too, and that a preset may set whatever the algorithm."""
_CANNOT_RUN = ("optimal_token_baseline", "tir_optimal_token_baseline")


def algorithm_faults(config: RlConfig) -> dict[str, OptionFault]:
    """Option → fault, of a stage's `verl.rl` options that make its algorithm another one."""
    algorithm = ALGORITHMS[config.algorithm]
    found = {}
    for option, value in config.verl_options.items():
        fault = _fault(algorithm, split_prefix(option)[1], value)
        if fault is not None:
            found[option] = OptionFault(fault[0], option, fault[1])
    return found


def _fault(algorithm: Algorithm, name: str, value: Any) -> tuple[str, str] | None:
    if name == ESTIMATOR and value in _CANNOT_RUN:
        return f"verl 0.9.1's trainer cannot run {value!r}", "name another algorithm"
    if name == ESTIMATOR and (value != algorithm.estimator or algorithm.own_trainer):
        return _another(algorithm, value, _by_estimator(value))
    if name == LOSS and value != algorithm.loss and (value, algorithm.loss) != (BYPASS, VANILLA):
        return _another(algorithm, value, _by_loss(value))
    if name in _WEIGHTS:
        return (
            "is not read: parts of the reward are known by their names",
            "set rl.gdpo_weights: {PART: WEIGHT}",
        )
    readers = _readers(name)
    if readers and algorithm.name not in readers:
        return f"is not read by {algorithm.name}", f"it is of {' and '.join(readers)}; remove it"
    return None


def _readers(name: str) -> list[str]:
    """The algorithms that read an option; none for one that is of no algorithm in particular."""
    if name.startswith("critic.") and name != "critic.enable":
        return [a.name for a in ALGORITHMS.values() if a.critic]
    if name in _OF_MANY:
        return []
    return [a.name for a in ALGORITHMS.values() if name in a.options]


def _another(algorithm: Algorithm, value: Any, named: str | None) -> tuple[str, str] | None:
    """What to say of a value that makes it another algorithm; None where no algorithm has it, as verl will say."""
    if named is None:
        return None
    if named == algorithm.name:
        return f"is {value!r}, which `algorithm: {named}` sets by itself", "remove it"
    return f"is {value!r}, and this is planned as {algorithm.name}", f"set `algorithm: {named}`"


def _by_estimator(value: Any) -> str | None:
    plain = str(value).removesuffix("_vectorized")
    found = (a.name for a in ALGORITHMS.values() if plain == (a.name if a.own_trainer else a.estimator))
    return next(found, None)


def _by_loss(value: Any) -> str | None:
    return next((a.name for a in ALGORITHMS.values() if a.loss == value), None)
