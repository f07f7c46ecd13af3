"""Which dotted settings there are, and what they are where nobody sets them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath
from toolrl_cli.spec.sweeps.reading.source import Source
from toolrl_cli.spec.sweeps.settings import split
from toolrl_cli.spec.sweeps.sweep_file import SweepFile

PRESET = "preset"
SEED = "seed"


def check_setting(key: str, where: str, source: Source | None = None, below: KeyPath = ()) -> None:
    """Refuse a dotted key that the run spec does not have.

    Args:
        key: the dotted key; `preset` is one too.
        where: place for the message, where the file does not say it better.
        source: the file, for the line of the key itself.
        below: key path in the file under which the key stands, nested or dotted.

    Raises:
        SpecError: with the nearest valid key.
    """
    if key == PRESET:
        return
    parts = split(key)
    if not all(parts):
        raise SpecError(f"key {key!r} has an empty part", where, "write it as a.b.c")
    place = where if source is None else _place(parts, key, source, below)
    if parts[0] == PRESET:
        raise SpecError("a preset is a name, or a list of names", place, "for example `preset: tiny_grpo`")
    if key == SEED:
        raise SpecError("a run's seed is not set here", place, "list it under `seeds:`")
    for depth, part in enumerate(parts):
        valid = fields_at(tuple(parts[:depth]))
        if not valid:
            _check_open(parts[:depth], place)
            return
        if part not in valid:
            if source is not None:
                place = _place(parts[: depth + 1], key, source, below)
            raise SpecError(f"unknown key {part!r}", place, _hint(part, valid, depth))


def _check_open(parts: list[str], place: str) -> None:
    """Refuse a key below a setting that is a single value."""
    path = ".".join(parts)
    if not is_block(path):
        raise SpecError(f"{path!r} is a single value: nothing lies below it", place, f"write `{path}: …`")


def is_block(key: str) -> bool:
    """Whether settings, or keys of the user's own, may lie below a dotted setting."""
    return any(node.get("type", "object") == "object" for node in schema_at(tuple(split(key))))


USUAL = {
    **dict.fromkeys(("learning_rate", "actor_lr"), "lr"),
    **dict.fromkeys(("batch_size", "train_batch_size", "prompts_per_step"), "prompts"),
    **dict.fromkeys(("n", "num_generations", "group_size", "n_samples_per_prompt"), "rollouts"),
    **dict.fromkeys(("max_new_tokens", "max_completion_length", "max_tokens"), "max_response_length"),
    **dict.fromkeys(("beta", "kl_beta", "init_kl_coef"), "kl_coef"),
    **dict.fromkeys(("epsilon", "eps_clip", "cliprange"), "clip_ratio"),
    **{"max_steps": "steps", "total_training_steps": "steps", "num_train_epochs": "epochs"},
    **{"save_steps": "save_every", "save_freq": "save_every"},
    **{"eval_steps": "validate_every", "test_freq": "validate_every"},
    **{"num_iterations": "updates", "ppo_epochs": "updates", "max_grad_norm": "grad_clip"},
}
"""What other trainers call a setting → its name here."""


def _hint(part: str, valid: tuple[str, ...], depth: int) -> str:
    if depth:
        usual = USUAL.get(part)
        return f"did you mean {usual!r}?" if usual in valid else hint_for(part, valid, "keys")
    if part in ("arm", "arms"):
        return "name a setting by which the arm differs"
    if part in SweepFile.model_fields:
        return f"{part!r} is a key of the sweep: it stands on the left, beside base:"
    return deeper_hint(part) or hint_for(part, [*(key for key in valid if key != SEED), PRESET], "keys")


def deeper_hint(name: str) -> str:
    """A hint for a setting that was written without its block, `steps` for `rl.steps`; empty where it is none."""
    found = [f"{block}.{name}" for block in fields_at(()) if name in fields_at((block,))]
    return f"did you mean {' or '.join(map(repr, found))}?" if found else ""


def _place(parts: list[str], key: str, source: Source, below: KeyPath) -> str:
    spelt_dotted = (*below, key)
    return source.where(spelt_dotted if spelt_dotted in source.lines else (*below, *parts))


@lru_cache
def defaults() -> Mapping[str, Any]:
    """Dotted setting → its default, of all that have one."""
    flat: dict[str, Any] = {}
    for name, field in RunSpec.model_fields.items():
        if not field.is_required() and name != SEED:
            _flatten(name, field.get_default(call_default_factory=True), flat)
    return flat


def _flatten(path: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, Frozen):
        for name in type(value).model_fields:
            _flatten(f"{path}.{name}", getattr(value, name), flat)
    else:
        flat[path] = list(value) if isinstance(value, tuple) else value


@lru_cache(maxsize=512)
def fields_at(path: tuple[str, ...]) -> tuple[str, ...]:
    """Valid keys of the run spec below a path; empty below a value, and where any key may stand."""
    return tuple(sorted({key for node in schema_at(path) for key in node.get("properties", {})}))


def schema_at(path: tuple[str, ...]) -> list[dict[str, Any]]:
    """The parts of the run spec's JSON Schema that a path reaches; several where a block has several kinds."""
    schema = _schema()
    definitions = schema.get("$defs", {})
    nodes = [schema]
    for part in path:
        reached = [n.get("properties", {}).get(part) for n in nodes]
        nodes = [option for node in reached if node for option in _options(node, definitions)]
    return nodes


def choices_at(key: str) -> tuple[str, ...]:
    """The values that a setting can have, where they are a list of words; empty otherwise."""
    path = tuple(split(key))
    if path[0] not in RunSpec.model_fields:
        return ()
    *above, last = path
    definitions = _schema().get("$defs", {})
    nodes = schema_at(tuple(above))
    found = [
        o
        for n in nodes
        if last in n.get("properties", {})
        for o in _options(n["properties"][last], definitions)
    ]
    words = [word for node in found for word in node.get("enum", [node["const"]] if "const" in node else [])]
    return tuple(map(str, words))


@lru_cache
def _schema() -> dict[str, Any]:
    return RunSpec.model_json_schema()


def _options(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _options(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    found = [
        o for key in ("anyOf", "oneOf", "allOf") for n in node.get(key, []) for o in _options(n, definitions)
    ]
    return found or [node]
