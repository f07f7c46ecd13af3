"""Folders of models and data: relative to what names them, whatever the working folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.run.data_settings import RllaData
from toolrl_cli.spec.run.model_settings import HuggingFaceModel
from toolrl_cli.spec.sweeps.resolve import Resolved, Run, resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep

HEAD = "name: s\nbase: {preset: tiny_grpo%s}\nevaluate: [toolworld]\n"


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Resolved]:
    """Settings of the base, and `--set`s → the runs; the file lies in `sweeps/`, the working folder is `cwd/`."""
    for folder in ("sweeps/own", "sweeps/org/name", "cwd/mine", "cwd/org/other", "home/far"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def resolved(settings: str, *sets: str) -> Resolved:
        file = tmp_path / "sweeps" / "s.yaml"
        file.write_text(HEAD % settings, encoding="utf-8")
        return resolve_sweep(read_sweep(Path("../sweeps/s.yaml"), sets))

    return resolved


def model_of(resolved: Resolved) -> HuggingFaceModel:
    (run,) = resolved.runs
    assert isinstance(run.spec.model, HuggingFaceModel)
    return run.spec.model


@pytest.mark.parametrize(
    ("settings", "sets", "folder"),
    [
        (", model: ./own", (), "sweeps/own"),
        (", model: ../cwd/mine", (), "cwd/mine"),
        (", model: ~/far", (), "home/far"),
        (", model: {kind: huggingface, name: m, path: ./own}", (), "sweeps/own"),
        (", model: {kind: huggingface, name: m, path: own}", (), "sweeps/own"),
        (", model: ./own", ("model=./mine",), "cwd/mine"),
        (", model: ./own", ("model.path=./mine",), "cwd/mine"),
        (", model: ./own", ("models=[./own]",), "sweeps/own"),
        (", model: ./own", ("models=[./mine]",), "cwd/mine"),
    ],
)
def test_a_model_s_folder_begins_where_it_is_named_and_is_absolute_then(
    sweep: Callable[..., Resolved], tmp_path: Path, settings: str, sets: tuple[str, ...], folder: str
) -> None:
    assert model_of(sweep(settings, *sets)).path == str(tmp_path / folder)


def test_the_data_s_folder_begins_beside_the_file_and_that_of_a_set_in_the_working_folder(
    sweep: Callable[..., Resolved], tmp_path: Path
) -> None:
    def path(runs: list[Run]) -> str | None:
        (run,) = runs
        assert isinstance(run.spec.data, RllaData)
        return run.spec.data.path

    assert path(sweep(", data: {kind: rlla, path: own}").runs) == str(tmp_path / "sweeps/own")
    assert path(sweep(", data: {kind: rlla}", "data.path=mine").runs) == str(tmp_path / "cwd/mine")


def test_a_mapping_s_folders_begin_in_the_working_folder(
    sweep: Callable[..., Resolved], tmp_path: Path
) -> None:
    given = {"name": "s", "base": {"preset": "tiny_grpo", "model": "./mine"}}
    assert model_of(resolve_sweep(read_sweep(given))).path == str(tmp_path / "cwd/mine")


def test_a_folder_beside_the_file_that_could_be_a_name_on_the_hub_is_the_folder_and_that_is_said(
    sweep: Callable[..., Resolved], tmp_path: Path
) -> None:
    resolved = sweep(", model: org/name")
    folder = str(tmp_path / "sweeps/org/name")
    assert model_of(resolved).path == folder
    assert [w for w in resolved.grid.warnings if f"'org/name' is the folder {folder}" in w]


@pytest.mark.parametrize(
    "model", ["org/other", "{kind: huggingface, name: m, path: org/name, revision: main}"]
)
def test_a_name_without_a_folder_beside_the_file_or_with_a_revision_is_the_hub_s(
    sweep: Callable[..., Resolved], model: str
) -> None:
    resolved = sweep(f", model: {model}")
    assert model_of(resolved).path in ("org/other", "org/name") and not resolved.grid.warnings


def test_a_folder_that_is_only_in_the_working_folder_is_refused_with_what_to_write(
    sweep: Callable[..., Resolved],
) -> None:
    with pytest.raises(SpecError, match=r"s\.yaml:2: base\.model: no such folder.*write \.\./cwd/mine"):
        sweep(", model: ./mine")
