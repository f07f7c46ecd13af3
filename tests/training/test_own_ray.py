"""verl's Ray beside other Rays of the same machine."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolrl_cli.training import stage_functions


def test_an_attempt_starts_a_ray_of_its_own_where_another_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = pytest.importorskip("ray._private.services")
    (tmp_path / "ray_current_cluster").write_text("127.0.0.1:6379")  # what `ray start` leaves
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert services.canonicalize_bootstrap_address(None, str(tmp_path)) is not None
    context: Any = SimpleNamespace(attempt_dir=tmp_path)
    config: Any = SimpleNamespace(seed=1, resources=SimpleNamespace(gpus=1))
    given = stage_functions._environment(context, config, "cpu")
    monkeypatch.setattr(os, "environ", given)
    assert services.canonicalize_bootstrap_address(None, str(tmp_path)) is None
