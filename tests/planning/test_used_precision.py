"""Precision as it is really used: what a CPU trains in, and what a stage does on a device it was not planned for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.configs import rl_config
from toolrl_cli.errors import StageError
from toolrl_cli.planning.fingerprints import LocalFacts
from toolrl_cli.spec.run.frozen import Precision
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.training import device
from toolrl_cli.training.device import device_for


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., RunSpec]:
    def make(*sets: str) -> RunSpec:
        (tmp_path / "s.yaml").write_text("name: s\nbase: {preset: tiny_grpo}\n")
        return resolve_sweep(read_sweep(tmp_path / "s.yaml", sets)).runs[0].spec

    return make


@pytest.mark.parametrize(
    ("sets", "gpu", "used"),
    [
        (("precision=bf16", "resources.device=cpu"), True, "fp32"),
        (("precision=bf16", "resources.device=auto"), False, "fp32"),
        (("precision=bf16", "resources.device=auto"), True, "bf16"),
        (("precision=bf16", "resources.device=cuda"), False, "bf16"),
        (("precision=fp32", "resources.device=cuda"), True, "fp32"),
    ],
)
def test_bf16_is_fp32_where_a_cpu_is_planned(
    run: Callable[..., RunSpec],
    monkeypatch: pytest.MonkeyPatch,
    sets: tuple[str, ...],
    gpu: bool,
    used: Precision,
) -> None:
    monkeypatch.setattr(device, "_cuda_possible", lambda: gpu)
    facts = LocalFacts()
    assert [facts.precision(run(*sets)) for _ in range(2)] == [used] * 2
    assert len(facts.notes) == (used != run(*sets).precision)


@pytest.mark.parametrize(
    ("config", "gpu", "says"),
    [
        ({"precision": "fp32", "asked_precision": "bf16"}, True, "planned for a CPU, where bf16 is fp32"),
        ({"precision": "bf16"}, False, "planned in bf16, and a CPU trains in fp32"),
    ],
)
def test_a_stage_on_a_device_with_another_precision_than_planned_is_refused(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, str], gpu: bool, says: str
) -> None:
    monkeypatch.setattr(device, "cuda_usable", lambda: gpu)
    with pytest.raises(StageError, match=says) as caught:
        device_for(rl_config(**config))
    assert caught.value.failure_class == "config"
    monkeypatch.setattr(device, "cuda_usable", lambda: not gpu)
    assert device_for(rl_config(**config)) == ("cpu" if gpu else "cuda")
