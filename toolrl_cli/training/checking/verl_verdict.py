"""Asks verl 0.9.1 itself whether it accepts a stage's options; a program, because importing verl takes seconds.

`main` reads a JSON list of questions, `{"kind": "rl" | "sft", "ours": {option: value}, "given": {option: value}}`, from
standard input and writes the answers in the same order, lists of `{"what", "option", "hint"}`. It reads no model: the
folder may not exist yet, so the model section is compared with its dataclass and not built.

It finds everything that verl refuses in its main program before it starts Ray (`main_ppo.main`:
`validate_config`) and in its workers when they build their configurations (`engine_workers.init_model`,
`sft_trainer._build_config`) or look up a name in a registry.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from toolrl_cli.spec.suggest import hint_for, nearest
from toolrl_cli.training.checking.batches import at
from toolrl_cli.training.checking.composed import Kind, merge, split_prefix
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.checking.question import Question, given_key
from toolrl_cli.training.checking.verl_interpolation import Tree

MODELS: dict[Kind, tuple[str, ...]] = {"rl": ("actor_rollout_ref.model", "critic.model"), "sft": ("model",)}
SFT_SECTIONS = ("engine", "optim", "checkpoint", "profiler")


def objections(question: Question) -> list[OptionFault]:
    """All of verl's objections: an option of the user's that it refuses is left out, and the rest looked at."""
    given: dict[str, Any] = dict(question.given)
    found: list[OptionFault] = []
    while True:
        fault = verdict(question.kind, question.ours | given)
        if fault is None:
            return found
        found.append(fault)
        blamed = given_key(fault.option, given, fault.what)
        if blamed is None:
            return found
        del given[blamed]


def verdict(kind: Kind, options: Mapping[str, Any]) -> OptionFault | None:
    """verl's objection to these options, or None. Imports verl."""
    try:
        tree = merge(kind, options)
        _check_annotations(options, tree)
        for section in MODELS[kind]:
            _check_fields(section, at(tree, section))
        if kind == "sft":
            for section in SFT_SECTIONS:
                build(section, at(tree, section))
        else:
            _check_rl(tree)
    except OptionFault as fault:
        return fault
    return None


def build(section: str, tree: Any) -> Any:
    """A section as verl's dataclass, with its `__post_init__` checks; equal to `omega_conf_to_dataclass`.

    Hydra's `instantiate` does the same from an OmegaConf tree and takes 20 times as long.

    Raises:
        OptionFault: an unknown field, or a value that verl refuses.
    """
    if not isinstance(tree, dict):
        return tree
    inside = {k: build(f"{section}.{k}", v) for k, v in tree.items() if k != "_target_"}
    if "_target_" not in tree:
        return inside
    kind = _dataclass(tree["_target_"])
    _check_fields(section, tree)
    if inside.get("optimizer_impl") == "torch.optim":  # workers/config/optimizer.py `build_optimizer`
        _check_optimizer(f"{section}.optimizer", inside["optimizer"])
    try:
        return kind(**inside)
    except (ValueError, TypeError, AssertionError, NotImplementedError) as error:
        raise OptionFault(_worded(error, kind.__name__), section) from None


def _check_optimizer(option: str, name: str) -> None:
    import torch

    known = [n for n in dir(torch.optim) if isinstance(getattr(torch.optim, n), type)]
    if name not in known:
        raise OptionFault(f"torch.optim has no {name!r}", option, hint_for(name, known, "names"))


def _check_rl(tree: Tree) -> None:
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    parts = tree["actor_rollout_ref"]
    actor = build("actor_rollout_ref.actor", parts["actor"])
    build("actor_rollout_ref.rollout", parts["rollout"])
    critic = tree["critic"]
    config = _Attributes(
        {**tree, "actor_rollout_ref": {**parts, "actor": actor}, "critic": {**critic, "model": None}}
    )
    reference, value_model = need_reference_policy(config), need_critic(config)
    if value_model:
        config["critic"] = build("critic", {**critic, "model": None})
    try:
        validate_config(config, use_reference_policy=reference, use_critic=value_model)
    except (ValueError, TypeError, AttributeError, AssertionError, ImportError) as error:
        # its last check, vLLM's limit on LoRA ranks, needs an installed vLLM
        if importlib.util.find_spec("vllm") is not None or "vllm" not in str(error):
            raise OptionFault(_worded(error, "validate_config")) from None
    if reference:
        build("actor_rollout_ref.ref", _as_worker_reads(parts["ref"], parts["actor"]))
    if tree["distillation"]["enabled"]:
        build("distillation", tree["distillation"])
    for option, names in _registries().items():
        value = at(tree, option)
        if value not in names():
            known = sorted(str(n) for n in names())
            raise OptionFault(f"verl knows no {value!r}", option, hint_for(str(value), known, "names"))


def _as_worker_reads(ref: Tree, actor: Tree) -> Tree:
    """engine_workers.py `init_model`: the reference's own names become the actor's."""
    renamed = {
        "log_prob_micro_batch_size": "ppo_micro_batch_size",
        "log_prob_micro_batch_size_per_gpu": "ppo_micro_batch_size_per_gpu",
        "log_prob_use_dynamic_bsz": "use_dynamic_bsz",
        "log_prob_max_token_len_per_gpu": "ppo_max_token_len_per_gpu",
    }
    read = {renamed.get(key, key): value for key, value in ref.items()}
    return {**read, "ppo_mini_batch_size": actor["ppo_mini_batch_size"]}


def _registries() -> dict[str, Callable[[], Iterable[str]]]:
    """Option → the registered names, among which verl looks it up once its workers run."""
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    return {
        "actor_rollout_ref.rollout.name": lambda: RolloutReplicaRegistry._registry,
        "algorithm.adv_estimator": lambda: ADV_ESTIMATOR_REGISTRY,
        "actor_rollout_ref.actor.policy_loss.loss_mode": lambda: POLICY_LOSS_REGISTRY,
        "algorithm.kl_ctrl.type": lambda: ("fixed", "adaptive"),  # core_algos.get_kl_controller
        "trainer.v1.trainer_mode": lambda: ("sync", "colocate_async", "separate_async"),  # @register_trainer
        "trainer.resume_mode": lambda: ("auto", "disable", "resume_path"),  # trainer_base._load_checkpoint
    }


def _check_annotations(options: Mapping[str, Any], tree: Tree) -> None:
    """Check values of given options against the annotations of verl's dataclasses."""
    for option, value in options.items():
        prefix, name = split_prefix(option)
        if prefix == "~" or value is None or (isinstance(value, str) and "${" in value):
            continue
        section, _, field = name.rpartition(".")
        target = at(tree, section)
        if isinstance(target, dict) and "_target_" in target:
            check = _annotation(target["_target_"], field)
            if check is not None:
                _check_value(option, value, check)


def _check_value(option: str, value: Any, check: Any) -> None:
    from pydantic import ValidationError

    tries = [value, tuple(value)] if isinstance(value, (list, tuple)) else [value]
    for position, candidate in enumerate(tries):
        try:
            check.validate_python(candidate, strict=True)
            return
        except ValidationError as error:
            if position == len(tries) - 1:
                told = error.errors(include_url=False)[0]["msg"]
                raise OptionFault(f"{value!r}: {told[0].lower()}{told[1:]}", option) from None


@lru_cache(maxsize=4096)
def _annotation(target: str, field: str) -> Any:
    """A pydantic check of one field's annotation; None where pydantic cannot express it."""
    import typing

    from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter

    hint = typing.get_type_hints(_dataclass(target)).get(field)
    if hint is None or (isinstance(hint, type) and issubclass(hint, Mapping)):
        return None
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticSchemaGenerationError:
        return None
    except TypeError:  # a nested dataclass is checked by itself
        return None


def _check_fields(section: str, tree: Tree) -> None:
    known = _field_names(tree["_target_"])
    for key in tree:
        if key != "_target_" and key not in known:
            close = nearest(str(key), known)
            hint = f"did you mean {close!r}?" if close else ""
            name = tree["_target_"].rsplit(".", 1)[-1]
            raise OptionFault(f"verl's {name} has no field {key!r}", f"{section}.{key}", hint)


@lru_cache(maxsize=256)
def _field_names(target: str) -> frozenset[str]:
    return frozenset(f.name for f in fields(_dataclass(target)) if f.init and not f.name.startswith("_"))


@lru_cache(maxsize=256)
def _dataclass(target: str) -> Any:
    from hydra.utils import get_class

    return get_class(target)


def _worded(error: Exception, of: str) -> str:
    """verl's message on one line; for an assertion without a message, its condition."""
    text = " ".join(str(error).split())
    if text:
        return text
    asserted = traceback.extract_tb(error.__traceback__)[-1].line or "an assertion"
    return f"does not hold in verl's {of}: {asserted.removeprefix('assert ')}"


class _Attributes(dict[str, Any]):
    """A mapping with access as `config.a.b` and `config.get("a")`, which is all that `validate_config` uses."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(name) from None
        return _Attributes(value) if type(value) is dict else value


def main() -> None:
    """Answer the questions on standard input; what verl prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    try:
        import verl.utils.config  # noqa: F401
    except ImportError as error:
        sys.exit(f"verl cannot be imported: {error}")
    said = [objections(Question(**question)) for question in json.load(sys.stdin)]
    json.dump(
        [[{"what": f.what, "option": f.option, "hint": f.hint} for f in faults] for faults in said], answers
    )
    answers.close()
