"""From a cell to a run: layers merged, names resolved, everything validated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.spec import presets
from toolrl_cli.spec.grid import Cell, expand
from toolrl_cli.spec.identity import canonical_json
from toolrl_cli.spec.models import RunSpec
from toolrl_cli.spec.settings import apply, copied, flatten
from toolrl_cli.spec.source import Source
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweep import Document, fault_text

BENCHMARKS = ("toolworld",)
"""Benchmarks that `evaluate` accepts: those that have a runner."""


MAX_SEED = 2**31 - 1
"""What every library that is seeded takes."""


@dataclass(frozen=True)
class Run:
    """One arm with one seed.

    Attributes:
        id: `<arm>-seed<seed>`, unique in the sweep.
        settings: the dotted settings that tell this arm from the others.
        spec: the resolved, validated run.
    """

    id: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    spec: RunSpec


def resolve_runs(document: Document) -> list[Run]:
    """All runs of a sweep.

    Raises:
        SpecError: the first fault found, with file, line, key path and the nearest valid name.
    """
    sweep, source = document.sweep, document.source
    for position, name in enumerate(sweep.evaluate):
        _check_benchmark(name, source.where(("evaluate", position)))
    cells = expand(document)
    seeds = sweep.seed_values()
    if not seeds:
        raise SpecError("no seeds", source.where(("seeds",)), "for example `seeds: [1, 2, 3]`")
    if min(seeds) < 0 or max(seeds) > MAX_SEED:
        raise SpecError(f"seeds are from 0 to {MAX_SEED}", source.where(("seeds",)))
    if len(set(seeds)) != len(seeds):
        raise SpecError(f"a seed stands twice in {seeds}", source.where(("seeds",)), "list each once")
    base = flatten(sweep.base, source.where(("base",)))
    if sweep.evaluate:
        base["evaluate"] = list(sweep.evaluate)
    overrides = flatten(dict(document.overrides), "--set")
    runs = []
    for cell in cells:
        spec = _resolve(cell, base, overrides, source)
        for seed in seeds:
            seeded = spec.model_copy(update={"seed": seed})
            runs.append(Run(f"{cell.arm}-seed{seed}", cell.arm, seed, dict(cell.settings), seeded))
    return runs


def _resolve(cell: Cell, base: Mapping[str, Any], overrides: Mapping[str, Any], source: Source) -> RunSpec:
    layers = {**base, **cell.settings, **overrides}
    chosen = layers.pop("preset", None)
    flat = dict(presets.layered(chosen, _where("preset", cell, source)))
    tree: dict[str, Any] = {}
    for layer in (flat, base, cell.settings, overrides):
        settings = {k: copied(v) for k, v in layer.items() if k != "preset"}
        if "model" in settings:
            settings["model"] = copied(presets.model(settings["model"], _where("model", cell, source)))
        apply(_ordered(settings), tree)
    if "seed" in tree:
        raise SpecError(
            "a run's seed is not set here", _where("seed", cell, source), "list it under `seeds:`"
        )
    if "reward" in tree:
        tree["reward"] = canonical_reward(tree["reward"], _where("reward", cell, source), source)
    elif "rl" not in tree.get("train", ("rl",)):
        tree["reward"] = {}  # no reward is read where nothing is trained with one
    for name in tree.get("evaluate", []):
        _check_benchmark(name, _where("evaluate", cell, source))
    try:
        return RunSpec.model_validate(tree)
    except ValidationError as error:
        raise _fault(error, cell, source) from None


def _ordered(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Shorter paths first, so that `reward: x` does not wipe a `reward.y` of the same layer."""
    return dict(sorted(settings.items(), key=lambda item: item[0].count(".")))


def canonical_reward(value: Any, where: str, source: Source) -> dict[str, Any]:
    """The full composition behind a reward's name, mapping or file.

    Raises:
        SpecError: what `get_reward` refuses.
    """
    try:
        return _canonical(canonical_json(value), str(Path(source.name).parent))
    except RewardError as error:
        raise SpecError(error.what, where, error.hint) from None
    except (TypeError, ValueError) as error:
        raise SpecError(f"reward {value!r} is not usable: {error}", where) from None


@lru_cache(maxsize=4096)
def _canonical(spec: str, base_dir: str) -> dict[str, Any]:
    reward = get_reward(json.loads(spec), base_dir=base_dir)
    return {"name": reward.name, **reward.to_dict()}


def _check_benchmark(name: Any, where: str) -> None:
    if name not in BENCHMARKS:
        raise SpecError(f"unknown benchmark {name!r}", where, hint_for(str(name), BENCHMARKS, "benchmarks"))


def _where(key: str, cell: Cell, source: Source) -> str:
    """Where the sweep file sets `key` for this cell; the arm's own place first."""
    parts = tuple(key.split("."))
    for root in (("axes", key), ("zip", key)):
        if root in source.lines and (key in cell.settings):
            return source.where(root)
    for arm_root in ("arms", "ablate"):
        for path in source.lines:
            tail = path[1:] if arm_root == "arms" else path[2:]
            if path[0] == arm_root and tail and str(tail[0]) in cell.arm and key in _joined(tail[1:]):
                return source.where(path)
    if key == "model" and ("models",) in source.lines:
        return source.where(("models",))
    for path in source.lines:
        if path[0] == "base" and _joined(path[1:]) == key:
            return source.where(path)
    for size in range(len(parts), 0, -1):
        if ("base", *parts[:size]) in source.lines:
            return source.where(("base", *parts[:size]))
    return f"{source.name}: {key}"


def _joined(path: tuple[str | int, ...]) -> str:
    return ".".join(str(p) for p in path)


def _fault(error: ValidationError, cell: Cell, source: Source) -> SpecError:
    fault = error.errors(include_url=False)[0]
    loc = [str(p) for p in fault["loc"] if p not in ("toolworld", "rlla", "tiny", "huggingface")]
    key = ".".join(loc)
    where = _where(key, cell, source)
    if not where.endswith(key):
        where += f" ({key})"
    if fault["type"] == "extra_forbidden":
        return SpecError(f"unknown key {loc[-1]!r}", where, hint_for(loc[-1], _fields_at(loc[:-1]), "keys"))
    if fault["type"] == "missing" and loc == ["model"]:
        return SpecError("no model is named", where, "set base.model or models:, or a preset that has one")
    return SpecError(fault_text(fault), where, f"arm {cell.arm!r}; see `toolrl schema`")


def _fields_at(path: list[str]) -> list[str]:
    """Valid keys of the run spec at a dotted place."""
    schema = RunSpec.model_json_schema()
    definitions = schema.get("$defs", {})
    nodes = [schema]
    for part in path:
        reached = [n.get("properties", {}).get(part) for n in nodes]
        nodes = [option for node in reached if node for option in _options(node, definitions)]
    return sorted({key for node in nodes for key in node.get("properties", {})})


def _options(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _options(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    found = [
        o for key in ("anyOf", "oneOf", "allOf") for n in node.get(key, []) for o in _options(n, definitions)
    ]
    return found or [node]
