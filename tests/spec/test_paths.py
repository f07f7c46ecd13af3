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
        (", model: ./own", ("models=[./mine]",), "cwd/mine"),
    ],
)
def test_a_model_s_folder_begins_where_it_is_named_and_is_absolute_then(
    sweep: Callable[..., Resolved], tmp_path: Path, settings: str, sets: tuple[str, ...], folder: str
) -> None:
    assert model_of(sweep(settings, *sets)).path == str(tmp_path / folder)


MODEL = "{kind: huggingface, name: m, path: ./both}"


@pytest.mark.parametrize(
    "given",
    [
        "model=./both",
        "model.path=./both",
        f"model={MODEL}",
        "base.model=./both",
        f"base.model={MODEL}",
        "models=[./both]",
        f"models=[{MODEL}]",
        "axes.model=[./both]",
        "zip.model=[./both]",
        "arms={a: {model: ./both}}",
        "include=[{arm: a, model: ./both}]",
        "ablate={change: {a: {model: ./both}}}",
        "models=[org/both]",
    ],
)
def test_every_path_that_set_gives_begins_in_the_working_folder(
    sweep: Callable[..., Resolved], tmp_path: Path, given: str
) -> None:
    for folder in ("both", "org/both"):
        (tmp_path / "cwd" / folder).mkdir(parents=True)
        (tmp_path / "sweeps" / folder).mkdir(parents=True)
    models = [
        run.spec.model for run in sweep(", model: {kind: huggingface, name: f, path: ./own}", given).runs
    ]
    assert isinstance(models[-1], HuggingFaceModel)
    assert models[-1].path == str(tmp_path / "cwd" / ("org/both" if "org" in given else "both"))


def test_a_path_of_the_file_begins_beside_it_where_set_changes_what_stands_around_it(
    sweep: Callable[..., Resolved], tmp_path: Path
) -> None:
    (tmp_path / "cwd/own").mkdir()
    text = "}\narms: {a: {model: {kind: huggingface, name: m, path: ./own}}}\ntracking: {"
    resolved = sweep(text, "arms.a.model.revision=main")
    assert model_of(resolved).path == str(tmp_path / "sweeps/own")
    assert model_of(sweep(text, "arms.a.model.path=./own")).path == str(tmp_path / "cwd/own")
    ablate = "}\nablate: {baseline: {}, change: {b: {rl.steps: 3}}}\ntracking: {"
    first, second = sweep(ablate, "ablate.baseline.model=./own").runs
    assert first.spec.model == second.spec.model
    assert isinstance(first.spec.model, HuggingFaceModel)
    assert first.spec.model.path == str(tmp_path / "cwd/own")


@pytest.mark.parametrize(
    "given",
    [
        "reward=mine.yaml",
        "base.reward=mine.yaml",
        "axes.reward=[mine.yaml]",
        "reward={components: {own: {kind: python, path: r.py, function: f, range: [0, 1]}}}",
        "reward.components.own={kind: python, path: r.py, function: f, range: [0, 1]}",
        "base.reward.components.own={kind: python, path: r.py, function: f, range: [0, 1]}",
        "axes={reward: [{components: {own: {kind: python, path: r.py, function: f, range: [0, 1]}}}]}",
        "evaluate=[e.py]",
        "evaluate=[{command: [python, e.py]}]",
        "data.sft4k=r.py",
        "base.data={kind: rlla, sft4k: r.py}",
    ],
)
def test_files_that_set_gives_are_those_of_the_working_folder(
    sweep: Callable[..., Resolved], tmp_path: Path, given: str
) -> None:
    for folder in ("cwd", "sweeps"):
        (tmp_path / folder / "r.py").write_text("def f(completion):\n    return 1\n", encoding="utf-8")
        (tmp_path / folder / "e.py").write_text("def items(): ...\ndef judge(a, b): ...\n", encoding="utf-8")
        part = "{own: {kind: python, path: r.py, function: f, range: [0, 1]}}"
        (tmp_path / folder / "mine.yaml").write_text(f"components: {part}\n", encoding="utf-8")
    data = ", data: {kind: rlla}" if given.startswith("data") else ""
    (run,) = sweep(data, given).runs
    found = str(run.spec.model_dump(mode="json"))
    assert str(tmp_path / "cwd") in found and str(tmp_path / "sweeps") not in found


def test_a_path_that_set_gives_and_only_the_sweep_s_folder_has_is_refused_with_what_to_write(
    sweep: Callable[..., Resolved],
) -> None:
    with pytest.raises(SpecError, match=r"--set models.*no such folder: .*cwd/own \(write \.\./sweeps/own: "):
        sweep(", model: ./own", "models=[./own]")


def test_a_condition_looks_into_the_reward_that_set_gives_in_the_working_folder(
    sweep: Callable[..., Resolved], tmp_path: Path
) -> None:
    (tmp_path / "cwd/mine.yaml").write_text("components: {format: {}}\nname: mine\n", encoding="utf-8")
    text = "}\naxes: {rl.steps: [3, 4]}\nexclude: [{rl.steps: 3, reward.components.format.kind: format}]\ntracking: {"
    assert len(sweep(text, "reward=mine.yaml").runs) == 1


def test_a_reward_s_file_may_lie_in_the_home_folder(sweep: Callable[..., Resolved], tmp_path: Path) -> None:
    (tmp_path / "home/mine.yaml").write_text(
        "components: {own: {kind: python, path: ~/r.py, function: f, range: [0, 1]}}\n", encoding="utf-8"
    )
    (tmp_path / "home/r.py").write_text("def f(completion):\n    return 1\n", encoding="utf-8")
    (run,) = sweep(", reward: ~/mine.yaml").runs
    assert run.spec.reward["components"]["own"]["path"] == str(tmp_path / "home/r.py")


def test_a_model_in_the_folder_itself_has_the_folder_s_name(sweep: Callable[..., Resolved]) -> None:
    assert model_of(sweep("", "models=[.]")).name == "cwd"


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
