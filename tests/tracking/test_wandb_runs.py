"""What W&B is told, with a double of its client that keeps what a server would."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolrl_cli.errors import TrackingError
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.scores import write_scores
from toolrl_cli.store.state import StageState
from toolrl_cli.store.step_warnings import StepWarning
from toolrl_cli.tracking.wandb_runs import STEP, TrackedRun, _remove_unsynced, publish


class Server:
    """W&B runs: id → rows, and what `init` was told last."""

    Error = OSError
    Settings = SimpleNamespace

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.told: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}

    def init(self, **told: Any) -> SimpleNamespace:
        self.told = told
        rows = self.runs.setdefault(told["id"], [])
        return SimpleNamespace(
            starting_step=len(rows),
            log=rows.append,
            summary=self.summary,
            dir=str(self.folder / "run" / "files"),
            define_metric=lambda *_, **__: None,
            finish=lambda: None,
        )

    def steps(self) -> dict[str, list[int]]:
        return {name: [row[STEP] for row in rows] for name, rows in self.runs.items()}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", made)  # type: ignore[arg-type]
    return made


def logged(folder: Path, attempt: int, steps: Sequence[int], value: float = 1.0) -> None:
    place = folder / "rl" / "attempts" / str(attempt)
    place.mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps({"step": n, "data": {"reward": value}}) + "\n" for n in steps)
    (place / "metrics.jsonl").write_text(rows)


def run_of(folder: Path, settled: Mapping[str, int] | None = None) -> TrackedRun:
    stages = [(StageSpec("rl-1", "rl", {}), folder / "rl")]
    return TrackedRun("sweep", "arm-seed1", "arm", 1, folder / "run", stages, settled=settled or {})


def test_online_each_row_is_sent_once(server: Server, tmp_path: Path) -> None:
    logged(tmp_path, 1, [1, 2])
    first = publish(run_of(tmp_path), tmp_path, "online")
    assert str(publish(run_of(tmp_path), tmp_path, "online")) == "up to date"
    logged(tmp_path, 1, [1, 2, 3])
    (tmp_path / "run" / "wandb.json").unlink()  # a kill between sending and recording
    publish(run_of(tmp_path), tmp_path, "online")
    assert server.steps() == {first.id: [1, 2, 3]}


def test_what_a_training_warns_of_is_in_the_summary(server: Server, tmp_path: Path) -> None:
    logged(tmp_path, 1, [1])
    warning = StepWarning("no_gradient", "nothing differs", "look", 1, 1, 1, 1)
    (tmp_path / "rl/state.json").write_text(
        json.dumps(StageState("rl-1", "rl", warnings=(warning,)).to_json())
    )
    publish(run_of(tmp_path), tmp_path, "online")
    told = "rl: step 1: nothing differs (look)"
    assert server.summary == {"warnings/rl/no_gradient": 1, "warnings": told}


def test_steps_that_may_be_trained_again_are_not_sent_while_the_training_goes_on(
    server: Server, tmp_path: Path
) -> None:
    logged(tmp_path, 1, [1, 2, 3, 4])
    sent = publish(run_of(tmp_path, {"rl-1": 2}), tmp_path, "online")
    assert server.steps() == {sent.id: [1, 2]}
    logged(tmp_path, 2, [3, 4, 5], 2.0)  # went on from step 2
    again = publish(run_of(tmp_path), tmp_path, "online")
    assert (again.id, again.replaces) == (sent.id, "")
    assert [row["reward"] for row in server.runs[sent.id]] == [1.0, 1.0, 2.0, 2.0, 2.0]


def test_steps_that_were_sent_and_trained_again_make_a_new_run_that_names_the_old(
    server: Server, tmp_path: Path
) -> None:
    logged(tmp_path, 1, [1, 2, 3])
    old = publish(run_of(tmp_path), tmp_path, "online").id
    logged(tmp_path, 2, [2, 3], 2.0)
    new = publish(run_of(tmp_path), tmp_path, "online")
    assert (new.id, new.replaces) == (f"{old}-2", old)
    assert f"W&B run {old}-2, which replaces {old}" in str(new)
    assert [row["reward"] for row in server.runs[new.id]] == [1.0, 2.0, 2.0]
    assert server.told["config"]["replaces"] == old
    logged(tmp_path, 2, [2, 3, 4], 2.0)
    assert publish(run_of(tmp_path), tmp_path, "online").id == new.id  # and stays with that one
    logged(tmp_path, 3, [1], 3.0)
    assert publish(run_of(tmp_path), tmp_path, "online").id == f"{old}-3"


def test_offline_has_every_step_at_once_and_is_written_anew(server: Server, tmp_path: Path) -> None:
    logged(tmp_path, 1, [1, 2, 3])
    done = publish(run_of(tmp_path, {"rl-1": 2}), tmp_path, "offline")
    assert server.steps() == {done.id: [1, 2, 3]}


@pytest.mark.parametrize("text", ["{", "[]", '{"id": 3, "rows": "x", "sent": "y", "mode": "online"}'])
def test_a_torn_or_edited_record_is_written_anew(server: Server, tmp_path: Path, text: str) -> None:
    logged(tmp_path, 1, [1, 2])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wandb.json").write_text(text)
    done = publish(run_of(tmp_path), tmp_path, "online")
    assert server.steps() == {done.id: [1, 2]}


def test_a_record_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    logged(tmp_path, 1, [1])
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(TrackingError, match=r"arm-seed1: .*run"):
        publish(run_of(tmp_path), tmp_path, "online")


@pytest.mark.parametrize("place", ["elsewhere", "results/wandb/below", "results"])
def test_an_offline_folder_outside_the_results_is_never_removed(tmp_path: Path, place: str) -> None:
    results = tmp_path / "results"
    theirs = tmp_path / place / "offline-run-1-x"
    ours = results / "wandb" / "offline-run-1-x"
    for folder in (theirs, ours):
        folder.mkdir(parents=True)
    _remove_unsynced(str(theirs), results)
    assert theirs.is_dir()
    _remove_unsynced(str(ours), results)
    assert not ours.exists()


def test_an_offline_folder_that_was_synced_or_has_another_name_stays(tmp_path: Path) -> None:
    wandb = tmp_path / "wandb"
    for name in ("offline-run-1-x", "run-1-x"):
        (wandb / name).mkdir(parents=True)
    (wandb / "offline-run-1-x" / "x.wandb.synced").touch()
    for name in ("offline-run-1-x", "run-1-x"):
        _remove_unsynced(str(wandb / name), tmp_path)
        assert (wandb / name).is_dir()


def test_scores_on_the_way_never_take_the_place_of_the_run_s_own(server: Server, tmp_path: Path) -> None:
    point = {"checkpoint": "step", "step": 5}
    specs = [
        StageSpec("rl-1", "rl", {}, total_steps=9),
        StageSpec("e-1", "export", {"checkpoint": "last"}, {"checkpoint": "rl-1"}),
        *(StageSpec(i, "evaluate", {}, inputs, {"benchmark": "toolworld"}) for i, inputs in (
            ("v-1", {"model": "e-1"}), ("v-0", {}), ("v-5", {"model": "e-5"}),
        )),
        StageSpec("e-5", "export", point, {"checkpoint": "rl-1"}),
    ]  # fmt: skip
    for name, value in (("v-1", 0.9), ("v-0", 0.1), ("v-5", 0.5)):
        scores = {"benchmark": "toolworld", "metrics": {"overall": {"value": value}}}
        write_scores(tmp_path / name / "output", scores, [])
    stages = [(spec, tmp_path / spec.id) for spec in specs]
    publish(TrackedRun("s", "a-seed1", "a", 1, tmp_path / "run", stages), tmp_path, "offline")
    told = {key: value for key, value in server.summary.items() if key.startswith("toolworld/")}
    assert told == {"toolworld/overall": 0.9, "toolworld/overall@0": 0.1, "toolworld/overall@5": 0.5}
