"""Data and models that are made on the spot, once for all stages that use them: which ones still are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.stage import TRAINING, StageSpec
from toolrl_cli.training.inputs import data_name, tiny_name


def used_caches(results: Path, stages: Iterable[StageSpec]) -> set[Path]:
    """The folders under `data/` and `models/` that these stages use.

    Where the source of a data set is gone, its folder cannot be named; all of its kind then count as used.
    """
    used: set[Path] = set()
    for spec in stages:
        data, model = spec.config.get("data"), spec.config.get("model")
        if data and spec.kind in TRAINING:
            try:
                used.add(results / "data" / data_name(data))
            except (SpecError, OSError):
                used.update((results / "data").glob(f"{data['kind']}-*"))
        if model and model.get("kind") == "tiny":
            used.add(results / "models" / tiny_name(model["seed"]))
    return used
