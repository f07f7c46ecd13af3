"""Sweep files written by tests, and facts without a disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolrl_cli.spec.run.data_settings import DataSpec
from toolrl_cli.spec.run.frozen import Precision
from toolrl_cli.spec.run.model_settings import HuggingFaceModel, TinyModel
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.sweeps.resolve import Run, resolve_runs
from toolrl_cli.spec.sweeps.sweep import read_sweep


class FixedFacts:
    """Facts that never change, so that ids can be literal."""

    verl_version = "0.9.1"

    def data_fingerprint(self, data: DataSpec, splits: tuple[str, ...]) -> str:
        return f"{data.kind}:{','.join(splits)}"

    def located(self, data: DataSpec) -> DataSpec:
        return data

    def model_fingerprint(self, model: HuggingFaceModel) -> str:
        return model.path

    def pinned(self, model: HuggingFaceModel) -> HuggingFaceModel:
        return model

    def precision(self, run: RunSpec) -> Precision:
        return run.precision

    def tiny_fingerprint(self, model: TinyModel) -> str:
        return f"tiny{model.seed}"


@pytest.fixture
def facts() -> FixedFacts:
    return FixedFacts()


@pytest.fixture
def resolve(tmp_path: Path) -> Callable[..., list[Run]]:
    """Text of a sweep file (and `--set` values) → its runs."""

    def run(text: str, *sets: str) -> list[Run]:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return resolve_runs(read_sweep(path, sets))

    return run
