"""A stop that lets RL save first; tests/e2e has verl do it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.stages import eventually
from toolrl_cli.training.checkpointing import last_save, save_callback
from toolrl_cli.training.checkpointing.last_save import (
    ASKED,
    CALLBACK,
    OPTION,
    SAVE_IN,
    SAVED,
    WITHIN,
    LastSave,
    saves_when_asked,
)
from toolrl_cli.training.checkpointing.save_callback import SaveWhenAsked


def test_a_stop_waits_for_the_checkpoint_where_it_is_given_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    stop = LastSave(tmp_path, lambda: bool(asked))
    monkeypatch.setenv(WITHIN, "60")
    assert not stop() and not (tmp_path / ASKED).exists()
    asked.append(True)
    assert not stop() and (tmp_path / ASKED).exists()
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 6, "data": {}}\n')
    (tmp_path / SAVED).write_text("7")
    assert not stop()  # the step's row, its validation in it, is not there yet
    log.write_text('{"step": 7, "data": {}}\n')
    assert stop()


def test_a_stop_waits_for_nothing_without_time_and_no_longer_than_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WITHIN, raising=False)
    assert LastSave(tmp_path, lambda: True)() and not (tmp_path / ASKED).exists()
    for useless in ("2m", "nan", "inf", "-1"):
        monkeypatch.setenv(WITHIN, useless)
        assert LastSave(tmp_path, lambda: True)() and not (tmp_path / ASKED).exists()
    now = [100.0]
    monkeypatch.setattr(last_save.time, "monotonic", lambda: now[0])
    monkeypatch.setenv(WITHIN, "30")
    stop = LastSave(tmp_path, lambda: True)
    assert not stop()
    now[0] += 30
    assert stop()


def test_the_trainer_saves_once_after_it_is_asked_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SAVE_IN, str(tmp_path))
    monkeypatch.setattr(save_callback, "LOOK", 0.01)
    config = SimpleNamespace(trainer=SimpleNamespace(save_freq=40))
    callback = SaveWhenAsked(config=config)
    callback.on_save(trainer=None, global_step=40, checkpoint_dir="x")
    assert config.trainer.save_freq == 40 and not (tmp_path / SAVED).exists()
    (tmp_path / ASKED).touch()
    eventually(lambda: config.trainer.save_freq == 1)
    callback.on_save(trainer=None, global_step=41, checkpoint_dir="x")
    assert (tmp_path / SAVED).read_text() == "41"
    assert config.trainer.save_freq == -1  # what it still trains until it is ended leaves no checkpoint


def test_a_save_that_came_before_the_trainer_looked_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SAVE_IN, str(tmp_path))
    config = SimpleNamespace(trainer=SimpleNamespace(save_freq=40))
    monkeypatch.setattr(save_callback.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    callback = SaveWhenAsked(config=config)
    (tmp_path / ASKED).touch()
    callback.on_save(trainer=None, global_step=40, checkpoint_dir="x")
    callback._watch(tmp_path)
    assert config.trainer.save_freq == -1 and (tmp_path / SAVED).read_text() == "40"


@pytest.mark.parametrize("name", ["trainer.checkpoint_callback_class", "++trainer.checkpoint_callback_class"])
def test_a_callback_of_the_user_s_takes_its_place(name: str) -> None:
    assert saves_when_asked({OPTION: CALLBACK}) and not saves_when_asked({})
    assert not saves_when_asked({OPTION: CALLBACK} | {name: "mine.Callback"})


def test_the_callback_is_found_by_its_name() -> None:
    module, _, name = CALLBACK.rpartition(".")
    assert (module, getattr(save_callback, name)) == (save_callback.__name__, SaveWhenAsked)
