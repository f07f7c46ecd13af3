"""verl's Ray beside other Rays of the same machine."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolrl_cli.training import stage_functions
from toolrl_cli.training.nodes.own_ray import own_ray


def test_an_attempt_starts_a_ray_of_its_own_where_another_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = pytest.importorskip("ray._private.services")
    (tmp_path / "ray_current_cluster").write_text("127.0.0.1:6379")  # what `ray start` leaves
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert services.canonicalize_bootstrap_address(None, str(tmp_path)) is not None
    context: Any = SimpleNamespace(attempt_dir=tmp_path)
    config: Any = SimpleNamespace(seed=1, resources=SimpleNamespace(gpus=1))
    given = stage_functions._environment(context, config, "cpu", tmp_path)
    monkeypatch.setattr(os, "environ", given)
    assert services.canonicalize_bootstrap_address(None, str(tmp_path)) is None


def test_the_token_of_an_attempt_s_ray_is_its_own_and_no_file_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = pytest.importorskip("ray._private.authentication.authentication_token_setup")
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    loader = setup.AuthenticationTokenLoader.instance()
    loader.reset_cache()
    assert not loader.has_token(ignore_auth_mode=True)
    for name, value in own_ray().items():
        monkeypatch.setenv(name, value)
    loader.reset_cache()
    assert loader.has_token(ignore_auth_mode=True)
    setup.ensure_token_if_auth_enabled()  # would make the file, and fail where it cannot
    loader.reset_cache()
    assert own_ray() != own_ray() and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("length", "chosen"), [(18, None), (48, "/tmp")])
def test_rays_sockets_fit_below_a_long_folder_for_temporary_files(
    length: int, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "/scratch/".ljust(length, "x")
    monkeypatch.setattr("tempfile.tempdir", place)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert own_ray()["RAY_TMPDIR"] == (chosen or place)
    monkeypatch.setenv("RAY_TMPDIR", "/mine")
    assert own_ray()["RAY_TMPDIR"] == "/mine"
