"""A model on the hub is taken at the revision that the stage's identity names."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.support.model_folders import write_model
from toolrl_cli.errors import StageError
from toolrl_cli.planning.fingerprints import LocalFacts
from toolrl_cli.spec.run.model_settings import HuggingFaceModel
from toolrl_cli.spec.stage import StageContext, StageSpec
from toolrl_cli.training.inputs import model_path

REVISION = "989aa7980e4cf806f80c7fef2b1adb7bc71aa306"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def found(tmp_path: Path, revision: str | None) -> str:
    model = HuggingFaceModel(kind="huggingface", name="m", path="some/model", revision=revision)
    spec = StageSpec("rl-x-0000000000", "rl", {})
    return model_path(StageContext(spec, tmp_path, tmp_path / "stage", tmp_path / "attempt", {}), model)


def whole_snapshot(cache: Path) -> Path:
    snapshot = cache / "models--some--model" / "snapshots" / REVISION
    return write_model(snapshot)


def test_the_snapshot_of_that_revision_is_used(cache: Path, tmp_path: Path) -> None:
    snapshot = whole_snapshot(cache)
    assert found(tmp_path, REVISION) == str(snapshot)


def test_a_snapshot_that_is_not_whole_is_not_used(cache: Path, tmp_path: Path) -> None:
    snapshot = cache / "models--some--model" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    with pytest.raises(StageError, match="cannot be had"):
        found(tmp_path, REVISION)


def test_a_revision_that_is_not_to_be_had_is_one_line_with_the_command_that_fetches_it(
    cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(StageError) as caught:
        found(tmp_path, REVISION)
    assert caught.value.failure_class == "infra"
    assert f"hf download some/model --revision {REVISION}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_revision_is_the_main_branch_as_a_folder(cache: Path, tmp_path: Path) -> None:
    snapshot = whole_snapshot(cache)
    (cache / "models--some--model" / "refs").mkdir()
    (cache / "models--some--model" / "refs" / "main").write_text(REVISION)
    assert found(tmp_path, None) == str(snapshot)


def test_a_plan_pins_the_commit_that_the_cache_has_and_says_so_once_where_nothing_tells(
    cache: Path, tmp_path: Path
) -> None:
    facts = LocalFacts()
    model = HuggingFaceModel(kind="huggingface", name="m", path="some/model", revision=None)
    assert facts.pinned(model) == model and facts.pinned(model) == model
    (note,) = facts.notes
    assert "some/model is taken as the hub has it" in note
    (cache / "models--some--model" / "refs").mkdir(parents=True)
    (cache / "models--some--model" / "refs" / "main").write_text(REVISION)
    facts = LocalFacts()
    assert facts.pinned(model).revision == REVISION and not facts.notes
    assert facts.model_fingerprint(facts.pinned(model)) == f"some/model@{REVISION}"


def test_a_folder_that_changes_between_plan_and_training_is_refused(cache: Path, tmp_path: Path) -> None:
    folder = whole_snapshot(cache)
    model = HuggingFaceModel(kind="huggingface", name="m", path=str(folder))
    spec = StageSpec(
        "rl-x-0000000000", "rl", {"model": {"fingerprint": LocalFacts().model_fingerprint(model)}}
    )
    ctx = StageContext(spec, tmp_path, tmp_path / "stage", tmp_path / "attempt", {})
    assert model_path(ctx, model) == str(folder)
    (folder / "generation_config.json").write_text("{}")
    with pytest.raises(StageError, match="has changed since the stage was planned") as caught:
        model_path(ctx, model)
    assert caught.value.failure_class == "config"
