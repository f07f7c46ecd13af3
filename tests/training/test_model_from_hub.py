"""A model on the hub is taken at the revision that the stage's identity names."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from toolrl_cli.errors import StageError
from toolrl_cli.spec.models import HuggingFaceModel
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


def test_the_snapshot_of_that_revision_is_used(cache: Path, tmp_path: Path) -> None:
    snapshot = cache / "models--some--model" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    files = {"config.json": "{}", "model.safetensors": "x", "tokenizer.json": "{}"}
    files["tokenizer_config.json"] = '{"chat_template": "x"}'
    for name, text in files.items():
        (snapshot / name).write_text(text)
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


def test_a_model_without_a_revision_is_left_to_the_loader(cache: Path, tmp_path: Path) -> None:
    assert found(tmp_path, None) == "some/model"
