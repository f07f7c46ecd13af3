"""Data and models that are made on the spot, once for all stages that use them: which ones still are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.run.model_settings import TinyModel
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import ModelConfig, TrainingConfig
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.training.inputs import data_name, tiny_name


def used_caches(results: Path, stages: Iterable[StageSpec]) -> set[Path]:
    """The folders under `data/` and `models/` that these stages use.

    Where the source of a data set is gone, its folder cannot be named; all of its kind then count as used.
    """
    used: set[Path] = set()
    for config in map(settings_of, stages):
        if isinstance(config, TrainingConfig):
            try:
                used.add(results / "data" / data_name(config.data))
            except (SpecError, OSError):
                used.update((results / "data").glob(f"{config.data.kind}-*"))
        if isinstance(config, ModelConfig) and isinstance(config.model, TinyModel):
            used.add(results / "models" / tiny_name(config.model.seed))
    return used
