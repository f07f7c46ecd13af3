"""Many attempts as one job array, over a stand-in for the cluster; tests/e2e has the real one."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.harness.slurm.conftest import Cluster
from tests.harness.slurm.test_detaching import options
from tests.support.stages import FUNCTIONS, eventually
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.detaching import detach
from toolrl_cli.harness.launcher import LaunchLater
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.slurm import launcher as launcher_module
from toolrl_cli.harness.slurm.arrays import PLACE, TASKS
from toolrl_cli.harness.slurm.programs import ask
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.harness.starting import AttemptOptions, Started, Wanted, start_attempts
from toolrl_cli.housekeeping.garbage import find_garbage
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.files import read_json


@pytest.fixture(autouse=True)
def small_arrays(cluster: Cluster) -> None:
    cluster.settings = SlurmSettings(poll=0.05, delay=0.0, array=2)


def several(cluster: Cluster, kind: str, names: str, *inputs: StageSpec) -> list[StageSpec]:
    after = [(spec,) for spec in inputs] or [()] * len(names)
    return [cluster.stages(name, kind=kind, after=a) for name, a in zip(names, after, strict=True)]


def start(cluster: Cluster, specs: list[StageSpec], function: str) -> list[object]:
    chosen = AttemptOptions({spec.kind: f"{FUNCTIONS}:{function}" for spec in specs}, heartbeat=0.1)
    wanted = [Wanted(cluster.ledger.folder(spec), spec) for spec in specs]
    return list(start_attempts(wanted, cluster.launcher(), chosen))


def jobs(cluster: Cluster, specs: list[StageSpec]) -> list[str]:
    return [str((cluster.ledger.read(spec).launcher or {}).get("job")) for spec in specs]


def test_stages_that_ask_alike_become_one_array_and_each_task_finds_its_own(cluster: Cluster) -> None:
    cluster.settings = SlurmSettings(poll=0.05, delay=0.0, array=2, kinds={"sft": {"cpus": 2}})  # type: ignore[dict-item]
    exports, trainings = several(cluster, "export", "abc"), several(cluster, "sft", "de")
    single = cluster.stages("f", kind="evaluate")
    outcome, events = cluster.run([*exports, *trainings, single])
    assert outcome.exit_code == 0
    first, second, third = sorted(cluster.calls("sbatch"), key=lambda call: "--array" not in call)
    assert {"--array=0-2" in first, "--array=0-1" in first} == {True, False}
    assert f"--job-name=export:{exports[0].id}+2" in f"{first} {second}" and "--array" not in third
    array = next(n for n, call in enumerate(cluster.calls("sbatch"), 1) if "export:" in call)
    assert jobs(cluster, exports) == [f"{array}_0", f"{array}_1", f"{array}_2"]
    started = [event.message for event in events if event.what == "started" and event.stage == exports[1].id]
    assert started == [f"given to slurm: {array}_1"]
    log = cluster.ledger.folder(exports[1]).attempt(1) / "slurm.txt"
    assert "toolrl: writing to" in log.read_text() and not log.is_symlink()
    assert len(cluster.calls("squeue")) < 40  # one question for all


def test_fewer_than_the_setting_says_are_jobs_of_their_own(cluster: Cluster) -> None:
    cluster.settings = SlurmSettings(poll=0.05, delay=0.0)
    assert cluster.run(several(cluster, "export", "abc"))[0].exit_code == 0
    cluster.settings = SlurmSettings(poll=0.05, delay=0.0, array=0)
    assert cluster.run(several(cluster, "export", "def"))[0].exit_code == 0
    assert len(cluster.calls("sbatch")) == 6 and not (cluster.ledger.results / "arrays").exists()


def test_a_job_finds_itself_written_down_before_the_next_one_is_submitted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.settings = SlurmSettings(poll=0.05, delay=0.0)
    cluster.switch("hold")
    specs, known = several(cluster, "export", "abc"), list[int]()

    def asked(program: str, *arguments: str, **more: Any) -> str:
        if program == "sbatch":
            known.append(sum(cluster.ledger.read(spec).active for spec in specs))
        return ask(program, *arguments, **more)

    monkeypatch.setattr(launcher_module, "ask", asked)
    start(cluster, specs, "finish")
    assert known == [0, 1, 2]


def test_an_array_whose_answer_was_lost_is_found_task_by_task_and_not_made_again(cluster: Cluster) -> None:
    specs = several(cluster, "export", "abc")
    cluster.switch("hold")
    cluster.switch("lost")
    assert all(isinstance(answer, LaunchLater) for answer in start(cluster, specs, "finish"))
    cluster.switch("lost", on=False)
    again = start(cluster, [specs[2], specs[0], specs[1]], "finish")
    assert all(isinstance(answer, Started) for answer in again)
    assert jobs(cluster, specs) == ["1_0", "1_1", "1_2"] and len(cluster.calls("sbatch")) == 1
    cluster.switch("hold", on=False)
    eventually(lambda: all(cluster.ledger.read(spec).status == "succeeded" for spec in specs))


def test_a_harness_that_dies_before_it_has_written_an_array_down_starts_nothing_twice(
    cluster: Cluster,
) -> None:
    specs = several(cluster, "export", "abc")
    cluster.switch("hold")
    start(cluster, specs, "finish")
    for spec in specs:
        (cluster.ledger.folder(spec).path / "state.json").unlink()  # as the harness died
    outcome: list[int] = []
    cluster.switch("hold", on=False)
    eventually(lambda: cluster.ledger.read(specs[0]).status == "pending")
    outcome.append(cluster.run(specs)[0].exit_code)
    assert outcome == [0] and len(cluster.calls("sbatch")) <= 4
    assert [cluster.ledger.read(spec).attempt for spec in specs] == [1, 1, 1]


def test_one_task_is_stopped_and_the_others_run_on(cluster: Cluster) -> None:
    specs = several(cluster, "export", "abc")
    start(cluster, specs, "sleep")
    eventually(lambda: all(cluster.ledger.read(spec).status == "running" for spec in specs))
    handles = [cluster.ledger.read(spec).launcher or {} for spec in specs]
    assert Reach().cancel(handles[1])
    eventually(lambda: cluster.ledger.read(specs[1]).status == "stopped")
    assert [seen.phase for seen in cluster.launcher().poll([handles[0], handles[2]])] == ["running"] * 2
    assert "scontrol hold 1_1" in cluster.calls("scontrol")  # Slurm 22.05 cancels all that wait, if it waits
    for handle in (handles[0], handles[2]):
        assert Reach().cancel(handle)
    eventually(lambda: all(cluster.ledger.read(spec).status == "stopped" for spec in specs))


def test_a_task_that_slurm_starts_anew_goes_on_as_the_next_attempt(cluster: Cluster) -> None:
    specs = several(cluster, "export", "ab")
    start(cluster, specs, "sleep")
    eventually(lambda: all(cluster.ledger.read(spec).status == "running" for spec in specs))
    handle = cluster.ledger.read(specs[1]).launcher
    assert handle is not None
    ask("scontrol", "requeue", str(handle["job"]))
    eventually(lambda: (s := cluster.ledger.read(specs[1])).attempt == 2 and s.status == "running")
    assert cluster.ledger.read(specs[1]).launcher == handle
    for spec in specs:
        assert Reach().cancel(cluster.ledger.read(spec).launcher or {})
    eventually(lambda: all(cluster.ledger.read(spec).status == "stopped" for spec in specs))


def test_what_waits_for_a_task_is_a_job_of_its_own_and_what_waits_for_a_job_an_array(
    cluster: Cluster,
) -> None:
    base = cluster.stages("base", kind="sft")
    trainings = several(cluster, "rl", "abc", base, base, base)
    exports = several(cluster, "export", "def", *trainings)
    both = cluster.stages("both", kind="evaluate", after=(exports[0], exports[1]))
    cluster.switch("hold")
    chosen = options(sft="finish", rl="finish", export="finish", evaluate="finish")
    done = detach([base, *trainings, *exports, both], cluster.ledger, cluster.launcher(), chosen)
    assert len(done.submitted) == 8 and not done.left
    calls = cluster.calls("sbatch")
    wishes = [call.partition("--dependency=")[2].partition(" ")[0] for call in calls]
    assert wishes == ["", "afterok:1", "afterok:2_0", "afterok:2_1", "afterok:2_2", "afterok:3:4"]
    assert ["--array=0-2" in call for call in calls] == [False, True, False, False, False, False]
    cluster.switch("hold", on=False)
    everything = [base, *trainings, *exports, both]
    eventually(lambda: all(cluster.ledger.read(spec).status == "succeeded" for spec in everything))


def test_where_there_is_no_room_for_an_array_its_half_is_tried(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_SLURM_MOST", "3")
    cluster.switch("hold")
    specs = several(cluster, "export", "abcde")
    answers = start(cluster, specs, "finish")
    assert [isinstance(answer, Started) for answer in answers] == [True, True, True, False, False]
    named = {(cluster.ledger.read(spec).launcher or {}).get("array") for spec in specs} - {None}
    assert {path.name for path in (cluster.ledger.results / "arrays").iterdir()} == named
    assert "the queue is full" in str(answers[-1])


def test_a_refusal_is_told_and_what_was_taken_is_written_down(cluster: Cluster) -> None:
    cluster.settings = SlurmSettings(
        **{"poll": 0.05, "array": 2, "kinds": {"sft": {"partition": "nowhere"}}}  # type: ignore[arg-type]
    )
    cluster.switch("hold")
    exports, trainings = several(cluster, "export", "ab"), several(cluster, "sft", "cd")
    with pytest.raises(LaunchError, match=r"sbatch refuses.*Invalid partition"):
        start(cluster, [*exports, *trainings], "finish")
    assert [cluster.ledger.read(spec).status for spec in (*exports, *trainings)] == ["queued"] * 2 + [
        "pending"
    ] * 2
    for spec in exports:
        Reach().cancel(cluster.ledger.read(spec).launcher or {})


def test_gc_keeps_what_a_job_may_still_read(cluster: Cluster) -> None:
    specs = several(cluster, "export", "ab")
    cluster.switch("hold")
    start(cluster, specs, "finish")
    (array,) = (cluster.ledger.results / "arrays").iterdir()
    assert sorted((read_json(array / TASKS) or {})["tasks"]) == ["0", "1"]
    assert (read_json(cluster.ledger.folder(specs[1]).attempt(1) / PLACE) or {})["index"] == 1
    old = time.time() - 3600
    os.utime(array, (old, old))
    assert not find_garbage(cluster.ledger, alive=Reach().alive).items
    cluster.switch("hold", on=False)
    eventually(lambda: all(cluster.ledger.read(spec).status == "succeeded" for spec in specs))
    os.utime(array)  # as one whose jobs are being submitted
    assert not find_garbage(cluster.ledger, alive=Reach().alive).items
    os.utime(array, (old, old))
    (item,) = find_garbage(cluster.ledger, alive=Reach().alive).items
    assert item.path.name == array.name
