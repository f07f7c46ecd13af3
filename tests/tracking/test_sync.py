"""`toolrl sync` with the real client and a server of the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.store.test_small_disk import ALONE, can_mount
from tests.support.results_tree import stage
from tests.support.stages import ROOT, eventually
from tests.support.wandb_server import KEY, WRONG_KEY, Fault, WandbServer
from tests.tracking.tree import ResultsTree, rows_of, same_rows
from tests.training.test_checkpoints import write_rl
from toolrl_cli.errors import TrackingError
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.sweeps.sweep_file import Tracking
from toolrl_cli.store.files import write_json
from toolrl_cli.store.progress.metrics import MACHINE_FILE
from toolrl_cli.store.schemas import OPTIONS
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking import feed
from toolrl_cli.tracking.client import Client, Live, Seen
from toolrl_cli.tracking.offline import HEADER, RECORDS, START, WHOLE, kept_rows
from toolrl_cli.tracking.sync import sync
from toolrl_cli.tracking.told import STEP, TOLD, Told, marks_of, tell


def test_a_run_is_there_once_with_all_that_the_files_have(server: WandbServer, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results", arms=2, tags=["mine"], notes="why").trained()
    assert tree.sync() == dict.fromkeys(["arm0-seed1", "arm1-seed1"], "sent: 9 rows")
    same_rows(server, tree)
    (wandb_id,) = tree.wandb_ids(server, tree.runs[1])
    run = server.runs[wandb_id]
    assert (run.told["groupName"], run.told["jobType"]) == ("demo", "sft+rl")
    assert run.told["tags"] == ["rl.lr=1", "seed=1", "mine"]
    assert run.told["notes"] == "why"
    assert run.config["axes"] == {"rl_lr": 1} and run.config["seed"] == 1
    assert run.config["rl"]["algorithm"] == "grpo"
    assert run.summary["reward/total/mean"] == 0.6
    assert run.state == "finished"
    before = {name: list(run.rows) for name, run in server.runs.items()}
    assert set(tree.sync().values()) == {"up to date"}
    assert {name: run.rows for name, run in server.runs.items()} == before


def test_a_run_that_failed_or_was_stopped_is_not_finished_there(server: WandbServer, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    for status, state in (("stopped", "killed"), ("failed", "failed"), ("succeeded", "finished")):
        tree.stand(tree.rl[0], status)
        tree.sync()
        assert [run.state for run in server.runs.values()] == [state]
    same_rows(server, tree)


def test_what_the_machine_did_and_what_verl_was_given_are_there(server: WandbServer, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    for n, attempt in enumerate((1, 2)):
        place = tree.ledger.folder(tree.rl[0]).attempt(attempt)
        place.mkdir(exist_ok=True)
        lines = [
            {"time": 1000.0 * n + t, "data": {"attempt/memory_gib": 1.5, "gpu0/memory_gib": t}}
            for t in (0, 30)
        ]
        (place / MACHINE_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = {"options": {"actor_rollout_ref.actor.optim.lr": 1e-6, "data.token": "https://me:pw@host/x"}}
    write_json(tree.ledger.folder(tree.rl[0]).attempt(1) / OPTIONS.name, OPTIONS.stamped(options))
    assert tree.sync() == {"arm0-seed1": "sent: 13 rows"}
    same_rows(server, tree)
    (run,) = server.runs.values()
    there = [row for row in run.rows if "system/minutes" in row]
    assert [(row["system/minutes"], row["attempt"]) for row in there] == [
        (0, 1),
        (0.5, 1),
        (0.5, 2),
        (1.0, 2),
    ]
    assert there[1]["system/gpu0/memory_gib"] == 30 and "training/global_step" not in there[1]
    assert run.config["verl"]["rl"] == {**options["options"], "data.token": "https://host/x"}
    tree.log(tree.rl[0], 1, [7])  # a row that comes before the last that was sent
    assert tree.sync() == {"arm0-seed1": "sent: 14 rows"}
    assert tree.sync() == {"arm0-seed1": "up to date"}


def test_rows_that_the_server_lost_are_sent_again_and_only_those(server: WandbServer, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    with server.failing(Fault("file_stream", 403)):
        (said,) = tree.sync().values()
    assert said == "the server has taken what it was sent, and does not have 9 of 9 rows"
    assert tree.sync() == {"arm0-seed1": "sent: 9 rows"}
    same_rows(server, tree)
    (wandb_id,) = server.runs
    del server.runs[wandb_id].lines["wandb-history.jsonl"][4:]  # as a client that was killed leaves it
    assert tree.sync(dry_run=True) == {"arm0-seed1": "would be sent: 5 of 9 rows"}
    assert len(server.runs[wandb_id].rows) == 4
    assert tree.sync() == {"arm0-seed1": "sent: 9 rows"}
    same_rows(server, tree)


@pytest.mark.parametrize(("kept", "others", "lost"), [((), 0, "the summary"), ((TOLD,), 1, "1 of 9 rows")])
def test_a_run_counts_as_sent_only_with_its_own_rows_and_its_summary(
    server: WandbServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept: tuple[str, ...],
    others: int,
    lost: str,
) -> None:
    seen, keys = Client.seen, Client.row_keys

    def seen_partly(self: Client, ids: Sequence[str]) -> dict[str, Seen]:
        found = seen(self, ids)
        return {i: replace(s, summary={k: s.summary[k] for k in kept}) for i, s in found.items() if s.lines}

    monkeypatch.setattr(Client, "seen", seen_partly)
    monkeypatch.setattr(Client, "row_keys", lambda self, i: [*range(others), *keys(self, i)[others:]])
    (said,) = ResultsTree(tmp_path / "results").trained().sync().values()
    assert said == f"the server has taken what it was sent, and does not have {lost}"


def test_a_server_that_fails_now_and_then_has_each_row_once_in_the_end(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    now_and_then = [
        Fault("graphql UpsertBucket", 500, count=1),
        Fault("file_stream", 429, count=1),
        Fault("file_stream", reset=True, count=1, skip=1),
        Fault("file_stream", delay=0.5),
    ]
    with server.failing(*now_and_then):
        tree.sync()
    tree.sync()
    same_rows(server, tree)
    assert set(tree.sync().values()) == {"up to date"}


def test_what_w_and_b_refuses_is_one_line_and_the_next_try_works(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    for name, said in ((WRONG_KEY, "not logged in"), ("short", "API key"), (None, "No API key configured")):
        if name is None:
            monkeypatch.delenv("WANDB_API_KEY")
        else:
            monkeypatch.setenv("WANDB_API_KEY", name)
        with pytest.raises(TrackingError, match=said) as refused:
            tree.sync()
        assert "\n" not in str(refused.value)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with server.failing(Fault("graphql UpsertBucket", 403)):
        assert tree.sync() != {"arm0-seed1": "sent: 9 rows"}
    assert tree.sync() == {"arm0-seed1": "sent: 9 rows"}  # and no `in use`
    same_rows(server, tree)


def test_one_odd_file_stops_one_run(server: WandbServer, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results", arms=2).trained()
    metrics = tree.ledger.folder(tree.rl[0]).attempt(1) / "metrics.jsonl"
    metrics.unlink()
    metrics.mkdir()
    said = tree.sync()
    assert said["arm1-seed1"] == "sent: 9 rows"
    assert "Is a directory" in said["arm0-seed1"]


def test_offline_there_is_one_folder_for_each_run_made_anew_where_it_is_gone(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results", arms=2)
    tree.trained()
    torn: list[Path] = []
    for change in ("nothing", "more", "gone", "torn", "edited forth and back"):
        if change == "more":
            tree.log(tree.rl[0], 1, [7])
        elif change == "gone":
            shutil.rmtree(tree.root / "wandb")
        elif change == "torn":  # as a full disk leaves it, of which the client says nothing
            for path in (tree.root / "wandb").glob("offline-run-*/run-*.wandb"):
                os.truncate(path, path.stat().st_size // 4)
                torn.append(path.parent)
        elif change == "edited forth and back":
            SweepFolder(tree.root, "demo").save(replace(tree.plan, runs=tree.plan.runs[:1]), None)
            SweepFolder(tree.root, "demo").save(tree.plan, None)
        tree.sync("offline")
        kept = [kept_rows(path) for path in (tree.root / "wandb").glob("offline-run-*/run-*.wandb")]
        assert sorted(kept) == ([9, 9] if change == "nothing" else [9, 10])
    assert len(torn) == 2
    assert not server.runs
    assert tree.sync()["arm0-seed1"] == "sent: 10 rows"
    same_rows(server, tree)


def test_what_follows_a_training_that_goes_on_is_held_back_until_it_is_over(tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    told = []
    for status in ("succeeded", "stopped"):
        tree.stand(tree.sft, status)
        found = tell(tree.runs[0], "", tree.ledger, Tracking(every="checkpoint"))
        told.append(sum(STEP in row for row in found.rows))
    assert told[0] > told[1] == 0


def test_a_checkpoint_that_is_being_written_settles_no_row(tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results")
    tree.stand(tree.sft, "succeeded")
    tree.log(tree.rl[0], 1, [1, 2, 3, 4])
    tree.stand(tree.rl[0], "running")
    checkpoints = tree.ledger.folder(tree.rl[0]).path / "checkpoints"
    write_rl(checkpoints, 2)
    (checkpoints / "global_step_4" / "actor").mkdir(parents=True)
    found = tell(tree.runs[0], "", tree.ledger, Tracking(every="checkpoint"))
    assert [row[STEP] for row in found.rows if STEP in row] == [1, 2]


def test_an_offline_run_without_an_end_is_not_whole(tmp_path: Path) -> None:
    def piece(record: Any) -> bytes:
        data = record.SerializeToString()
        return HEADER.pack(zlib.crc32(bytes([WHOLE]) + data), len(data), WHOLE) + data

    file = tmp_path / "run-a.wandb"
    file.write_bytes(b"\0" * START + 2 * piece(RECORDS.Record(history=RECORDS.HistoryRecord())))
    assert kept_rows(file) == -1
    file.write_bytes(file.read_bytes() + piece(RECORDS.Record(exit=RECORDS.RunExitRecord())))
    assert kept_rows(file) == 2


def test_the_offline_folders_of_other_runs_are_left_alone(server: WandbServer, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    another = tree.root / "wandb" / "offline-run-20260101_000000-another"
    another.mkdir(parents=True)
    assert tree.sync("offline") == {"arm0-seed1": "kept offline: 9 rows"}
    assert another.is_dir()


def test_an_offline_run_that_the_client_still_writes_when_it_has_finished_is_waited_for(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    finish = Live.finish

    def early(live: Live, *outcome: Any) -> None:
        finish(live, *outcome)
        (path,) = (tree.root / "wandb").glob("offline-run-*/run-*.wandb")
        eventually(lambda: kept_rows(path) == 9)
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        threading.Timer(0.5, path.write_bytes, [whole]).start()

    monkeypatch.setattr(Live, "finish", early)
    assert tree.sync("offline") == {"arm0-seed1": "kept offline: 9 rows"}


def test_a_copy_of_the_results_writes_to_w_and_b_runs_of_its_own_and_a_moved_tree_to_the_old_ones(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    tree.sync()
    (mine,) = server.runs
    shutil.copytree(tree.root, tmp_path / "copy", symlinks=True)
    copy = SweepFolder(tmp_path / "copy", "demo").load()
    sync(copy, tmp_path / "copy", "online")
    assert len(server.runs) == 2 and len(server.runs[mine].rows) == 9
    tree.root.rename(tmp_path / "moved")
    assert [one.what for one in sync(copy, tmp_path / "moved", "online")] == ["up to date"]


def test_steps_that_were_trained_again_are_told_with_their_attempt_and_rebuild_makes_a_run_without(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    tree.sync()
    tree.log(tree.rl[0], 2, [5, 6, 7], again=1)  # went on from step 4
    assert tree.sync() == {"arm0-seed1": "sent: 10 rows"}
    (first,) = server.runs
    rows = [(row["training/global_step"], row["attempt"]) for row in rows_of(server, first)[2:]]
    assert rows == [*((n, 1) for n in range(7)), (5, 2), (6, 2), (7, 2)]
    assert "trained again" in server.runs[first].summary["trained_again"]
    tree.sync(rebuild="arm0-seed1")
    (new,) = set(server.runs) - {first}
    assert rows_of(server, new) == tree.expected(tree.runs[0])
    assert tree.sync() == {"arm0-seed1": "up to date"}


def test_offline_folders_are_sent_as_they_are_and_what_they_lack_by_row(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results", arms=2).trained()
    tree.sync("offline")
    tree.log(tree.rl[0], 1, [7])
    assert tree.sync() == {"arm0-seed1": "sent: 10 rows", "arm1-seed1": "sent: 9 rows"}
    same_rows(server, tree)
    assert list((tree.root / "wandb").glob("offline-run-*/*.synced"))  # by the client's own command


def test_fifty_runs_are_there_once_each(server: WandbServer, tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results", arms=50)
    tree.stand(tree.sft, "succeeded")
    for rl in tree.rl:
        tree.log(rl, 1, [1, 2])
        tree.stand(rl, "succeeded")
    assert set(tree.sync().values()) == {"sent: 2 rows"}
    same_rows(server, tree)
    assert len(server.runs) == 50
    assert set(tree.sync().values()) == {"up to date"}


def test_an_artifact_is_sent_from_the_results_where_the_offline_folder_has_only_its_rows(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results", artifacts=["checkpoints"]).trained()
    export = stage("export", "arm0", after=tree.rl)
    tree.runs = [replace(tree.runs[0], stages=(*tree.runs[0].stages, export))]
    tree.stand(export, "succeeded")
    model = tree.ledger.folder(export).path / "output" / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text('{"weights": 1}')
    SweepFolder(tree.root, "demo").save(tree.plan, None)
    tree.sync("offline")
    shutil.rmtree(tmp_path / "home")  # as on another machine
    (tmp_path / "home").mkdir()
    assert tree.sync() == {"arm0-seed1": "sent: 9 rows"}
    assert b'{"weights": 1}' in server.blobs.values()
    assert list((tree.root / "wandb").glob("offline-run-*/*.synced"))
    assert tree.sync() == {"arm0-seed1": "up to date"}
    same_rows(server, tree)


def test_where_the_clients_own_command_fails_each_run_is_sent_by_itself(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    tree.sync("offline")

    def fails(*_: object) -> None:
        raise TrackingError("the service process is not running")

    monkeypatch.setattr(Client, "send_folders", fails)
    assert tree.sync() == {"arm0-seed1": "sent: 9 rows"}
    same_rows(server, tree)


FULL = """
import sys
from pathlib import Path
from tests.support.small_disk import fill, mount
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.sync import sync
from toolrl_cli.tracking.told import STEP, TOLD, Told, marks_of, tell
root, folder = Path(sys.argv[1]), Path(sys.argv[1]) / "wandb"
folder.mkdir()
mount(folder, "size=1000000")
saved = SweepFolder(root, "demo").load()
for full in (True, False):
    if full:
        fill(folder / "ballast")
    else:
        (folder / "ballast").unlink()
    print([one.what for one in sync(saved, root, "offline")])
"""


@pytest.mark.skipif(not can_mount(), reason="no user namespaces here")
def test_a_full_disk_below_the_offline_folder_is_one_line_and_with_space_again_all_is_kept(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    ran = subprocess.run(
        [*ALONE, sys.executable, "-c", FULL, str(tree.root)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    full, space = ran.stdout.splitlines()
    assert "No space left on device" in full or "the offline run is not whole" in full
    assert space == "['kept offline: 9 rows']"
    assert "Traceback" not in ran.stderr


def test_what_has_not_changed_since_it_was_told_is_not_read_again_and_what_has_is(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ResultsTree(tmp_path / "results", arms=3).trained()
    assert set(tree.sync("offline").values()) == {"kept offline: 9 rows"}
    told: list[str] = []

    def tell_and_note(run: PlannedRun, *given: Any, **named: Any) -> Told:
        told.append(run.id)
        return tell(run, *given, **named)

    monkeypatch.setattr(feed, "tell", tell_and_note)
    assert set(tree.sync().values()) == {"sent: 9 rows"}
    assert set(tree.sync().values()) == {"up to date"}
    assert not told
    same_rows(server, tree)
    tree.log(tree.rl[1], 1, [7])
    os.utime(
        tree.ledger.folder(tree.rl[2]).path / "state.json", ns=(1, 1)
    )  # written anew, with the same in it
    lost = next(name for name in server.runs if "arm0" in name)
    del server.runs[lost]
    (kept,) = (tree.root / "wandb").glob(f"offline-run-*-{lost}")
    shutil.rmtree(kept)
    assert tree.sync() == {
        **{"arm0-seed1": "sent: 9 rows", "arm1-seed1": "sent: 10 rows", "arm2-seed1": "up to date"}
    }
    assert sorted(told) == ["arm0-seed1", "arm1-seed1", "arm2-seed1"]
    same_rows(server, tree)


def test_where_checkpoints_decide_what_is_told_the_files_are_always_read(tmp_path: Path) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    (run,) = tree.runs
    assert marks_of(run, tree.ledger, Tracking(), "")
    assert not marks_of(run, tree.ledger, Tracking(every="checkpoint"), "")
    marks = {
        marks_of(run, tree.ledger, Tracking(notes=notes), about)
        for notes, about in (("", ""), ("a", ""), ("", "b"))
    }
    assert len(marks) == 3


def test_settings_that_are_no_part_of_an_id_are_told_anew_where_they_have_changed(
    server: WandbServer, tmp_path: Path
) -> None:
    tree = ResultsTree(tmp_path / "results").trained()
    tree.sync()
    before = marks_of(tree.runs[0], tree.ledger, Tracking(), "")
    stages = [replace(s, config={**s.config, "resources": {"gpus": 2}}) for s in tree.runs[0].stages]
    tree.runs[0] = replace(tree.runs[0], stages=tuple(stages))
    assert marks_of(tree.runs[0], tree.ledger, Tracking(), "") != before
    SweepFolder(tree.root, tree.plan.sweep).save(tree.plan, "name: demo")
    tree.sync()
    (run,) = server.runs.values()
    assert run.config["rl"]["resources"] == {"gpus": 2}
