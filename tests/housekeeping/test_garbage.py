"""What may go from a results root, and that nothing else does."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.configs import whole_config
from tests.support.trainer_double import save
from toolrl_cli.errors import LedgerError
from toolrl_cli.housekeeping import removal
from toolrl_cli.housekeeping.garbage import ABANDONED, find_garbage, to_json
from toolrl_cli.housekeeping.removal import Garbage, Item, remove
from toolrl_cli.planning.plan import lay_out
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.run.data_settings import ToolWorldData
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.files import write_json
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import BEST
from toolrl_cli.store.sweep_folder import HARNESSES, SweepFolder

HUB = {"kind": "huggingface", "path": "someone/model"}
DATA = {"kind": "toolworld", "seed": 0, "base": 8, "sft": 8, "train": 8, "val": 8, "benchmark": 8}


class Results:
    """A results root written by hand through the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.root = ledger.results

    def stage(
        self, name: str, kind: str = "rl", *, status: Any = "succeeded", after: tuple[str, ...] = ()
    ) -> Path:
        """A stage with its state, and of a training stage the checkpoints of steps 1 to 3."""
        spec = self.spec(name, kind, after)
        folder = self.ledger.folder(spec)
        folder.path.mkdir(parents=True)
        folder.write_spec(spec)
        with take(folder.path, purpose="launch") as lease:
            state = dataclasses.replace(folder.state(), status=status, attempt=1, output={})
            folder.write_state(state, lease)
        if kind == "rl":
            for step in (1, 2, 3):
                save(folder.path / "checkpoints", step)
        return folder.path

    @staticmethod
    def spec(name: str, kind: str = "rl", after: tuple[str, ...] = ()) -> StageSpec:
        return StageSpec(
            name,
            kind,
            {"name": name},
            {f"input{n}": i for n, i in enumerate(after)},
            whole_config(kind, {} if kind in ("export", "evaluate") else {"data": DATA, "model": HUB}),
        )

    def sweep(self, name: str, *specs: StageSpec) -> None:
        run = PlannedRun(name, "run", "arm", 1, {}, specs)
        SweepFolder(self.root, name).save(lay_out(name, [run], self.ledger), "")

    def found(self, **options: Any) -> list[str]:
        return names(find_garbage(self.ledger, **options))


def names(garbage: Garbage) -> list[str]:
    return [item.path.relative_to(garbage.results).as_posix() for item in garbage.items]


def files(*places: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for place in places for p in place.rglob("*") if p.is_file()}


@pytest.fixture
def results(ledger: Ledger) -> Results:
    return Results(ledger)


def litter(stage: Path) -> None:
    """One of each of what may always go."""
    checkpoints = stage / "checkpoints"
    (checkpoints / "global_step_4.torn-1" / "actor").mkdir(parents=True)
    shutil.rmtree(checkpoints / "global_step_1" / "actor")  # as verl removes one
    (stage / "superseded" / "1" / "checkpoints").mkdir(parents=True)
    (stage / "superseded" / "1" / "checkpoints" / "x").write_bytes(bytes(1000))
    (checkpoints / ".best_step_2.partial").mkdir()
    (stage / "output").mkdir()
    (stage / "output" / ".model.partial").mkdir()
    (stage / ".state.json.0123.tmp").write_text("{")


def test_a_clean_root_has_nothing_to_remove(results: Results) -> None:
    results.stage("a")
    assert results.found() == []


def test_what_nothing_needs_is_found_with_its_reason_and_size(results: Results) -> None:
    stage = results.stage("a", status="failed")
    litter(stage)
    garbage = find_garbage(results.ledger)
    place = "stages/rl/a/"
    assert sorted(names(garbage)) == [
        f"{place}.state.json.0123.tmp",
        f"{place}checkpoints/.best_step_2.partial",
        f"{place}checkpoints/global_step_1",
        f"{place}checkpoints/global_step_4.torn-1",
        f"{place}output/.model.partial",
        f"{place}superseded/1",
    ]
    by_name = {item.path.name: item for item in garbage.items}
    assert by_name["1"].bytes == 1000
    assert (
        by_name["global_step_1"].why
        == "the rest of a checkpoint that was removed (global_step_1 holds no model)"
    )
    assert all(item.stage == "a" for item in garbage.items)


def test_looking_changes_nothing_and_removing_leaves_the_rest_as_it_was(results: Results) -> None:
    stage = results.stage("a")
    other = results.stage("b")
    litter(stage)
    before = files(results.root)
    garbage = find_garbage(results.ledger)
    assert files(results.root) == before
    removed, kept = remove(garbage)
    assert (len(removed), kept) == (6, {})
    gone = {item.path for item in garbage.items}
    left = {p: text for p, text in before.items() if not gone & {p, *p.parents}}
    assert files(results.root) == left
    assert files(other) == {p: text for p, text in before.items() if other in p.parents}
    assert results.found() == []
    assert not (results.root / ".trash").exists()


def test_what_cannot_be_removed_stays_with_its_reason_and_the_rest_goes(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = results.stage("a")
    litter(stage)
    (stage / "superseded" / "1" / "stuck").write_bytes(b"1")
    rename, unlink = Path.rename, os.unlink

    def refuse_to_rename(path: Path, target: Path) -> Path:
        if path.name == "global_step_4.torn-1":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return rename(path, target)

    def refuse_to_unlink(path: str, **more: Any) -> None:
        if str(path).endswith("stuck"):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
        unlink(path, **more)

    monkeypatch.setattr(Path, "rename", refuse_to_rename)
    monkeypatch.setattr(os, "unlink", refuse_to_unlink)
    garbage = find_garbage(results.ledger)
    removed, kept = remove(garbage)
    assert len(removed) == len(garbage.items) - 2
    assert {path.name: why.partition(":")[0] for path, why in kept.items()} == {
        "global_step_4.torn-1": "Permission denied",
        "1": "a part of it cannot be removed",
    }
    assert (stage / "checkpoints" / "global_step_4.torn-1" / "actor").is_dir()  # nothing half-done in place
    document = to_json(garbage, removed, kept, dry_run=False)
    assert sum(not item["removed"] for item in document["items"]) == len(document["kept"]) == 2
    monkeypatch.undo()
    remove(find_garbage(results.ledger))
    assert results.found() == []


def test_checkpoints_stay_where_the_model_that_was_made_of_them_is_gone(results: Results) -> None:
    results.stage("a")
    export = results.stage("e", "export", after=("a",))
    folder = results.ledger.at("export", "e")
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(dataclasses.replace(folder.state(), output={"model/weights": 3}), lease)
    results.sweep("s", results.spec("a"), results.spec("e", "export", ("a",)))
    assert results.found(checkpoints="none") == []
    (export / "output" / "model").mkdir(parents=True)
    (export / "output" / "model" / "weights").write_bytes(b"123")
    assert len(results.found(checkpoints="none")) == 3


def test_a_stage_at_work_is_left_alone(results: Results) -> None:
    stage = results.stage("a", status="failed")
    litter(stage)
    with take(stage, purpose="attempt", attempt=1):
        garbage = find_garbage(results.ledger, unreferenced=True)
        assert names(garbage) == []
        assert garbage.kept == {stage: "at work"}


def test_a_stage_whose_attempt_cannot_be_seen_from_here_is_left_alone(results: Results) -> None:
    stage = results.stage("a", status="failed")
    litter(stage)
    elsewhere = ProcessId(1, 1.0, "elsewhere/boot")
    with take(stage, purpose="attempt", attempt=1) as lease:
        info = dataclasses.replace(lease.info, owner=elsewhere)
        (stage / "lease").write_bytes(info.encode())
        assert results.found() == []


def test_a_stage_that_begins_to_work_between_the_two_looks_is_left_alone(results: Results) -> None:
    stage = results.stage("a", status="failed")
    litter(stage)
    garbage = find_garbage(results.ledger)
    with take(stage, purpose="attempt", attempt=1):
        before = files(stage)
        removed, kept = remove(garbage)
        assert removed == []
        assert set(kept.values()) == {"its stage is at work"}
        assert files(stage) == before


def test_a_link_out_of_the_root_is_neither_followed_nor_removed(results: Results, tmp_path: Path) -> None:
    stage = results.stage("a")
    precious = tmp_path / "scratch"
    save(precious, 1)
    shutil.copytree(precious / "global_step_1", precious / "global_step_1.torn-1")
    shutil.rmtree(stage / "checkpoints")
    (stage / "checkpoints").symlink_to(precious)
    (stage / "superseded").symlink_to(precious)
    (results.root / "stages" / "rl" / "b").symlink_to(precious)
    before = files(precious)
    garbage = find_garbage(results.ledger, unreferenced=True, checkpoints="none")
    remove(garbage)
    assert files(precious) == before
    assert (stage / "superseded").is_symlink() or not stage.exists()


def test_a_link_that_appears_between_the_two_looks_is_refused(results: Results, tmp_path: Path) -> None:
    stage = results.stage("a")
    litter(stage)
    garbage = find_garbage(results.ledger)
    precious = tmp_path / "scratch"
    (precious / "1").mkdir(parents=True)
    (precious / "1" / "thesis.txt").write_text("all of it")
    shutil.rmtree(stage / "superseded")
    (stage / "superseded").symlink_to(precious)
    _, kept = remove(garbage)
    assert kept == {stage / "superseded" / "1": "leads out of the results root"}
    assert (precious / "1" / "thesis.txt").read_text() == "all of it"


def test_links_inside_of_what_is_removed_are_removed_and_not_followed(
    results: Results, tmp_path: Path
) -> None:
    stage = results.stage("a")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    (stage / "superseded" / "1").mkdir(parents=True)
    (stage / "superseded" / "1" / "link").symlink_to(precious)
    remove(find_garbage(results.ledger))
    assert not (stage / "superseded" / "1").exists()
    assert (precious / "thesis.txt").read_text() == "all of it"


def test_what_is_mounted_below_the_root_is_left_alone(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = results.stage("a")
    mount, plain = stage / "superseded" / "1" / "check points", stage / "superseded" / "2"
    for folder in (mount, plain):
        folder.mkdir(parents=True)
        (folder / "thesis.txt").write_text("all of it")
    told = tmp_path / "mountinfo"
    escaped = str(mount).replace(" ", r"\040")
    told.write_text(f"36 1 98:0 / / rw - ext4 /dev/a rw\n40 36 98:0 /home {escaped} rw - ext4 /dev/a rw\n")
    monkeypatch.setattr(removal, "MOUNTS", told)
    monkeypatch.setattr(removal, "LINUX", True)
    why = "stages/rl/a/superseded/1/check points is mounted from elsewhere"
    garbage = find_garbage(results.ledger)
    assert [item.path for item in garbage.items] == [plain]
    assert garbage.kept == {mount.parent: why}
    removed, kept = remove(dataclasses.replace(garbage, items=(*garbage.items, Item(mount.parent, "", "a"))))
    assert ([item.path for item in removed], kept) == ([plain], {mount.parent: why})
    assert (mount / "thesis.txt").exists()


def test_a_root_that_is_a_link_itself_works(results: Results, tmp_path: Path) -> None:
    litter(results.stage("a"))
    (tmp_path / "link").symlink_to(results.root)
    removed, kept = remove(find_garbage(Ledger(tmp_path / "link")))
    assert (len(removed), kept) == (6, {})


@pytest.mark.parametrize(
    ("keep", "left"),
    [("last", ["global_step_3"]), ("best", ["best_step_2"]), ("none", [])],
)
def test_checkpoints_of_a_finished_and_exported_training_may_go(
    results: Results, keep: Any, left: list[str]
) -> None:
    stage = results.stage("a")
    (stage / "checkpoints" / "best_step_2" / "actor").mkdir(parents=True)
    results.stage("x", "export", after=("a",))
    assert results.found() == []
    remove(find_garbage(results.ledger, checkpoints=keep))
    assert sorted(p.name for p in (stage / "checkpoints").iterdir() if p.is_dir()) == left


@pytest.mark.parametrize(("said", "left"), [(9, "best_step_9"), (10, "best_step_10"), (None, "best_step_10")])
def test_of_two_best_checkpoints_the_recorded_one_stays_else_the_later(
    results: Results, said: int | None, left: str
) -> None:
    checkpoints = results.stage("a") / "checkpoints"
    for name in ("best_step_9", "best_step_10", "best_step_mine"):
        (checkpoints / name / "actor").mkdir(parents=True)
    if said is not None:
        write_json(checkpoints / BEST.name, BEST.stamped({"judged": {"9": 0.5, "10": 0.4}, "step": said}))
    results.stage("x", "export", after=("a",))
    remove(find_garbage(results.ledger, checkpoints="best"))
    assert sorted(p.name for p in checkpoints.iterdir() if p.is_dir()) == [left, "best_step_mine"]


def test_models_kept_for_a_curve_may_go_once_they_are_exported(results: Results) -> None:
    rl = results.stage("a")
    kept = rl / "checkpoints" / "kept_step_1"
    shutil.copytree(rl / "checkpoints" / "global_step_1", kept)
    results.sweep("s", results.spec("a"), results.spec("p", "export", ("a",)))
    assert results.found(checkpoints="last") == []
    results.stage("p", "export", after=("a",))
    assert "stages/rl/a/checkpoints/kept_step_1" in results.found(checkpoints="last")


def test_checkpoints_that_are_still_needed_stay_and_it_is_told_for_what(results: Results) -> None:
    results.stage("unfinished", status="stopped")
    alone = results.stage("alone")
    waits = results.stage("waits")
    results.stage("x", "export", status="failed", after=("waits",))
    planned = results.stage("planned")
    results.stage("y", "export", after=("planned",))
    results.sweep("s", results.spec("planned"), results.spec("z", "export", ("planned",)))
    garbage = find_garbage(results.ledger, checkpoints="none")
    assert names(garbage) == []
    assert garbage.kept == {
        alone / "checkpoints": "it was never exported",
        waits / "checkpoints": "x needs it",
        planned / "checkpoints": "z needs it",
    }


def test_stages_that_no_sweep_refers_to_may_go_when_asked_for(results: Results) -> None:
    results.stage("a")
    results.stage("b")
    results.sweep("s", results.spec("a"))
    assert results.found() == []
    assert results.found(unreferenced=True) == ["stages/rl/b"]
    remove(find_garbage(results.ledger, unreferenced=True))
    assert [folder.id for folder in results.ledger.folders()] == ["a"]


def test_a_model_that_a_saved_sweep_names_by_its_path_stays(results: Results) -> None:
    results.stage("a", "export")
    results.stage("b", "export")
    spec = results.spec("c")
    model = {**HUB, "path": str(results.root.resolve() / "stages/export/a/output/model")}
    results.sweep("s", dataclasses.replace(spec, config={**spec.config, "model": model}))
    assert results.found(unreferenced=True) == ["stages/export/b"]


def test_stages_that_a_harness_at_work_needs_stay_when_another_plan_has_taken_its_place(
    results: Results,
) -> None:
    results.stage("a")
    results.stage("b")
    results.sweep("s", results.spec("a"))
    with SweepFolder(results.root, "s").attended(["a"]):
        results.sweep("s", results.spec("b"))
        assert SweepFolder(results.root, "s").needed() == {"a"}
        assert results.found(unreferenced=True) == []
        assert "stages/rl/a" in {
            str(path.relative_to(results.root))
            for path in find_garbage(results.ledger, checkpoints="none").kept
        }
    assert results.found(unreferenced=True) == ["stages/rl/a"]


def test_what_a_killed_harness_left_half_written_may_go_once_nobody_can_be_writing_it(
    results: Results,
) -> None:
    results.stage("a")
    results.sweep("s", results.spec("a"))
    sweep = SweepFolder(results.root, "s").path
    left = [
        results.root / ".root.json.01.tmp",
        sweep / ".plan.json.01.tmp",
        sweep / HARNESSES / ".h-1.json.01.tmp",
    ]
    (sweep / HARNESSES).mkdir()
    for path in left:
        path.write_text("{")
    assert results.found() == []
    for path in left:
        os.utime(path, (time.time() - ABANDONED - 60,) * 2)
    (sweep / ".notes").write_text("of the user")
    assert sorted(results.found()) == sorted(str(path.relative_to(results.root)) for path in left)


def test_where_a_plan_cannot_be_read_nobody_says_what_is_not_referred_to(results: Results) -> None:
    results.stage("a")
    results.sweep("s", results.spec("a"))
    (results.root / "sweeps" / "s" / "plan.json").write_text("{")
    with pytest.raises(LedgerError, match="plan"):
        find_garbage(results.ledger, unreferenced=True)
    with pytest.raises(LedgerError, match="plan"):
        find_garbage(results.ledger, checkpoints="last")
    assert results.found() == []


def test_data_that_no_stage_uses_may_go_when_asked_for(results: Results) -> None:
    from toolrl_cli.training.inputs import data_name

    results.stage("a")
    results.sweep("s", results.spec("a"))
    for name in (
        data_name(ToolWorldData.model_validate(DATA)),
        "toolworld-0123456789",
        ".toolworld-0123456789.abc",
        "rlla-released",
    ):
        (results.root / "data" / name).mkdir(parents=True)
    assert results.found() == ["data/.toolworld-0123456789.abc"]
    assert sorted(results.found(unreferenced=True)) == [
        "data/.toolworld-0123456789.abc",
        "data/toolworld-0123456789",
    ]
    stage = results.stage("b", status="failed")
    with take(stage, purpose="attempt", attempt=1):  # which may be writing it
        assert results.found(unreferenced=True) == []


def test_a_file_with_another_link_frees_nothing_until_both_may_go(results: Results) -> None:
    stage = results.stage("a")
    (stage / "superseded" / "1").mkdir(parents=True)
    (stage / "superseded" / "2").mkdir()
    file = stage / "superseded" / "1" / "model.pt"
    file.write_bytes(bytes(5000))
    os.link(file, stage / "superseded" / "2" / "model.pt")
    garbage = find_garbage(results.ledger)
    assert [item.bytes for item in garbage.items] == [0, 0]
    assert garbage.bytes == 5000
    os.link(file, stage / "checkpoints" / "kept.pt")
    assert find_garbage(results.ledger).bytes == 0


def test_a_removal_that_was_interrupted_is_finished_by_the_next(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    litter(results.stage("a"))

    def die(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        remove(find_garbage(results.ledger))
    monkeypatch.undo()
    assert ".trash" in results.found()
    remove(find_garbage(results.ledger))
    assert results.found() == []
    assert not (results.root / ".trash").exists()


def test_an_attempt_that_died_without_a_word_does_not_keep_its_stage(results: Results) -> None:
    stage = results.stage("a", status="running")
    litter(stage)
    write_json(stage / "state.json", {**_json(stage), "launcher": {"kind": "local", **_dead().to_json()}})
    garbage = find_garbage(results.ledger)
    assert len(garbage.items) == 6
    assert remove(garbage)[1] == {}


def _dead() -> ProcessId:
    return dataclasses.replace(ProcessId.current(), start_time=1.0)


def _json(stage: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((stage / "state.json").read_text())
    return data
