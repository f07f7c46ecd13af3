"""Evaluators in environments of their own: whole, pinned and compared to the byte, or not there."""

from __future__ import annotations

import dataclasses
import subprocess
import zipfile
from pathlib import Path

import pytest

from toolrl_cli.datasets.evaluators import EVALUATORS, Evaluator, bring, digest_of, missing, python_of
from toolrl_cli.errors import SpecError


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of a made-up evaluator, `thing-eval 1.0`."""
    folder = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(folder / "thing_eval-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing_eval/__init__.py", "ANSWER = 42\n")
        info = "thing_eval-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: thing-eval\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture(scope="module")
def thing(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    content = tmp_path_factory.mktemp("content")
    (content / "__init__.py").write_text("ANSWER = 42\n")
    return Evaluator("thing", "thing-eval", "1.0", "thing_eval", (), digest_of(content))


@pytest.fixture(scope="module")
def made(thing: Evaluator, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its environment, where a maker had been killed."""
    folder = tmp_path_factory.mktemp("data") / "thing-released"
    half = folder.with_name(f".{folder.name}.making")
    (half / "lib").mkdir(parents=True)
    told: list[str] = []
    bring(thing, folder, wheels, tell=told.append)
    assert told == ["installing thing-eval 1.0 in an environment of its own"] and not half.exists()
    return folder


def test_an_evaluator_runs_in_an_environment_that_holds_nothing_else(thing: Evaluator, made: Path) -> None:
    assert missing(thing, made) == ""
    code = "import thing_eval; print(thing_eval.ANSWER)\ntry: import yaml\nexcept ImportError: print('alone')"
    answer = subprocess.run([python_of(made), "-I", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["42", "alone"]


def test_one_that_is_whole_is_not_made_again(thing: Evaluator, made: Path) -> None:
    told: list[str] = []
    bring(thing, made, Path("/nowhere"), tell=told.append)
    assert told == []


def test_an_environment_that_was_changed_is_named_and_made_again(
    thing: Evaluator, made: Path, wheels: Path
) -> None:
    (file,) = made.glob("lib/*/site-packages/thing_eval/__init__.py")
    file.write_text("ANSWER = 41\n")
    assert missing(thing, made) == "the files of thing-eval are not those of 1.0"
    bring(thing, made, wheels)
    assert missing(thing, made) == ""


def test_an_environment_whose_python_is_gone_is_named(thing: Evaluator, tmp_path: Path) -> None:
    assert missing(thing, tmp_path / "none") == "thing-eval 1.0 is not installed"
    (tmp_path / "bin").mkdir()
    python_of(tmp_path).symlink_to(tmp_path / "removed")
    assert missing(thing, tmp_path) == "the Python that thing-eval was installed for is gone"


def test_what_is_not_the_pinned_release_is_refused_and_leaves_nothing(
    thing: Evaluator, wheels: Path, tmp_path: Path
) -> None:
    other = dataclasses.replace(thing, digest="0" * 64)
    with pytest.raises(SpecError, match="after it was installed"):
        bring(other, tmp_path / "data" / "thing", wheels)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".thing.lock"]


def test_wheels_that_are_not_there_are_named_with_the_command_that_fetches_them(
    thing: Evaluator, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as fault:
        bring(thing, tmp_path / "data" / "thing", tmp_path)
    assert "No matching distribution found for thing-eval==1.0" in str(fault.value)
    assert "pip download --no-deps -d WHEELS thing-eval==1.0" in str(fault.value)


def test_every_evaluator_is_pinned_with_all_that_it_needs() -> None:
    for evaluator in EVALUATORS.values():
        assert all(pin.count("==") == 1 for pin in evaluator.pins()) and len(evaluator.digest) == 64
