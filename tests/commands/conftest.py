"""The command line in this process, with stages of no work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.api import running
from toolrl_cli.app import app
from toolrl_cli.commands.views.exit_status import run_guarded
from toolrl_cli.harness.scheduling.scheduler_options import Options

FUNCTIONS = {
    "sft": "tests.commands.stage_functions:train",
    "rl": "tests.commands.stage_functions:train",
    "export": "tests.commands.stage_functions:export",
    "evaluate": "tests.commands.stage_functions:evaluate",
}
SWEEP = """
name: small
base: {preset: tiny_grpo, rl.steps: 2}
arms: {raw: {train: []}, coarse: {reward: coarse}, original: {reward: original}}
evaluate: [toolworld]
tables: [toolworld]
"""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Toolrl = Callable[..., Answer]


@pytest.fixture(autouse=True)
def verl_is_asked_where_that_is_the_subject(request: pytest.FixtureRequest) -> None:
    if request.path.stem not in ("test_checking", "test_shipped_plans"):
        request.getfixturevalue("verl_accepts")


@pytest.fixture
def toolrl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Toolrl:
    """Run `toolrl ARGUMENTS` in an empty folder with its own results root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLRL_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(running, "Options", partial(Options, functions=FUNCTIONS))

    def run(*arguments: str) -> Answer:
        capfd.readouterr()
        code = run_guarded(app, arguments)
        said = capfd.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the results of the sweep, run once to its end, are kept for the next test."""
    return tmp_path_factory.mktemp("kept") / "results"


@pytest.fixture
def swept(toolrl: Toolrl, sweep_file: Path, tmp_path: Path, kept: Path) -> Toolrl:
    """The command line beside a sweep that has run to its end."""
    if kept.is_dir():
        shutil.copytree(kept, tmp_path / "results", symlinks=True)
    else:
        answer = toolrl("sweep", "small.yaml")
        assert answer.code == 0, answer.err
        shutil.copytree(tmp_path / "results", kept, symlinks=True, ignore=shutil.ignore_patterns("root.json"))
    return toolrl
