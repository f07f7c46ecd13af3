"""The scheduler's decisions, in simulated time."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_launcher import Ending, FakeLauncher
from tests.support.stages import Stages, dead_process, leave_lease
from toolrl_cli.errors import LaunchError, LedgerError, SpecError
from toolrl_cli.harness.scheduling.events import Event, Outcome
from toolrl_cli.harness.scheduling.retries import Policy, Retry
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store import files
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.lease import LeaseInfo, take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Progress, StageState

INFRA = Failure.of("infra", "NCCL error")
CONFIG = Failure.of("config", "no such key")


class Command:
    """One issued command: a scheduler over a fake launcher, and what came of it."""

    def __init__(self, ledger: Ledger, specs: list[StageSpec], **fake: Any) -> None:
        self.ledger = ledger
        self.specs = specs
        self.launcher = FakeLauncher(**fake)
        self.events: list[Event] = []
        self.scheduler: Scheduler

    def run(self, *, policy: Policy | None = None, **options: Any) -> Outcome:
        self.scheduler = Scheduler(
            self.specs,
            self.ledger,
            self.launcher,
            policy=policy,
            options=Options(**options),
            observe=self.events.append,
            seconds=lambda spec: self.launcher.seconds(spec.id),
            clock=self.launcher.clock,
        )
        return self.scheduler.run()

    def told(self, *what: str) -> list[tuple[str, str]]:
        return [(e.what, e.stage.partition("-")[0]) for e in self.events if not what or e.what in what]

    @property
    def started(self) -> list[tuple[float, str]]:
        return [(round(at, 3), stage_id.partition("-")[0]) for at, stage_id, _ in self.launcher.starts]


def ends(outcome: Outcome) -> dict[str, str]:
    return {stage_id.partition("-")[0]: end for stage_id, end in outcome.stages.items()}


def script(*pairs: tuple[StageSpec, list[Ending]]) -> dict[str, list[Ending]]:
    return {spec.id: endings for spec, endings in pairs}


def test_a_stage_starts_once_its_inputs_have_succeeded(ledger: Ledger, stages: Stages) -> None:
    a, b = stages("a"), stages("b")
    c = stages("c", after=(a, b))
    command = Command(ledger, [c, a, b])
    outcome = command.run()
    assert outcome.exit_code == 0
    assert command.started == [(0.0, "a"), (0.0, "b"), (1.0, "c")]


def test_a_second_command_runs_nothing(ledger: Ledger, stages: Stages) -> None:
    specs = [stages("a"), stages("b")]
    Command(ledger, specs).run()
    again = Command(ledger, specs)
    assert again.run().exit_code == 0
    assert again.started == []


def test_the_lease_of_an_attempt_that_died_after_its_last_word_is_cleared_away(
    ledger: Ledger, stages: Stages
) -> None:
    a, b = stages("a"), stages("b")
    Command(ledger, [a]).run()
    leave_lease(ledger.folder(a).path, dead_process())
    command = Command(ledger, [a, b])
    # b's attempt dies in that moment while its harness looks on
    command.launcher.on_wait = lambda: leave_lease(ledger.folder(b).path, dead_process())
    assert command.run().exit_code == 0
    assert [ledger.folder(spec).lease() for spec in (a, b)] == [None, None]


def test_the_lease_of_a_process_that_lives_is_left_alone(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    Command(ledger, [a]).run()
    leave_lease(ledger.folder(a).path, ProcessId.current())
    Command(ledger, [a]).run()
    assert ledger.folder(a).lease() is not None


def test_the_longest_chain_starts_first(ledger: Ledger, stages: Stages) -> None:
    short = [stages(f"s{n}") for n in range(4)]
    long = [stages("l0")]
    for n in (1, 2):
        long.append(stages(f"l{n}", after=(long[-1],)))
    command = Command(ledger, [*short, *long])
    command.run()
    assert command.started[0] == (0.0, "l0")
    assert command.launcher.now == pytest.approx(4.0, abs=0.01)


def test_no_slot_idles_while_work_is_owed(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages(f"s{n}") for n in range(20)], slots=("a", "b", "c", "d"))
    command.run()
    assert command.launcher.most == 4
    assert command.launcher.now == pytest.approx(5.0, abs=0.01)


def test_attempts_side_by_side_have_different_slots(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages("a"), stages("b")], slots=("0", "1", "2"))
    command.run()
    assert [attempt.slots for attempt in command.launcher.attempts] == [("0",), ("1",)]


def test_max_parallel_bounds_the_attempts(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages(f"s{n}") for n in range(6)], slots=("a", "b", "c", "d"))
    command.run(max_parallel=2)
    assert command.launcher.most == 2


def test_a_stage_of_several_slots_is_not_overtaken_for_ever(ledger: Ledger, stages: Stages) -> None:
    first = stages("first")
    wide = stages("wide", slots=2, after=(first,))
    narrow = [stages(f"n{n}") for n in range(40)]
    seconds = {spec.id: 1.5 + 0.01 * number for number, spec in enumerate(narrow)} | {
        wide.id: 100.0,
        first.id: 1.0,
    }
    command = Command(ledger, [first, wide, *narrow], seconds=seconds.__getitem__)
    command.run()
    order = [name for _, name in command.started]
    assert order[0] == "first"
    assert 5 < order.index("wide") < 15


def test_a_stage_that_can_never_fit_is_refused_at_once(ledger: Ledger, stages: Stages) -> None:
    with pytest.raises(LaunchError, match="needs 3 slots, and the fake launcher has 2"):
        Command(ledger, [stages("wide", slots=3)]).run()


def test_a_circle_of_stages_is_refused(ledger: Ledger, stages: Stages) -> None:
    a, b = stages("a"), stages("b")
    specs = [dataclasses.replace(a, inputs={"x": b.id}), dataclasses.replace(b, inputs={"x": a.id})]
    with pytest.raises(SpecError, match="circle"):
        Command(ledger, specs).run()


def test_what_reads_a_failed_stage_is_blocked_and_the_rest_goes_on(ledger: Ledger, stages: Stages) -> None:
    a, other = stages("a"), stages("other")
    b = stages("b", after=(a,))
    c = stages("c", after=(b,))
    command = Command(ledger, [a, b, c, other], endings=script((a, [CONFIG])))
    outcome = command.run()
    assert ends(outcome) == {"a": "failed", "b": "blocked", "c": "blocked", "other": "succeeded"}
    assert outcome.exit_code == 1
    assert not ledger.folder(b).path.exists()
    assert ("blocked", "c") in command.told()


def test_an_input_from_outside_has_to_have_succeeded(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    b = stages("b", after=(a,))
    assert ends(Command(ledger, [b]).run()) == {"b": "blocked"}
    Command(ledger, [a]).run()
    assert ends(Command(ledger, [b]).run()) == {"b": "succeeded"}


def test_a_machine_fault_is_retried_after_growing_pauses(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, [INFRA, INFRA, "succeeded"])))
    policy = Policy(retries={"infra": Retry(times=3, wait=10.0)})
    assert command.run(policy=policy).exit_code == 0
    assert [round(at) for at, _ in command.started] == [0, 11, 32]
    assert command.told("retrying") == [("retrying", "a")] * 2
    history = ledger.read(a).attempts
    assert [(attempt.n, attempt.status) for attempt in history] == [
        (1, "failed"),
        (2, "failed"),
        (3, "succeeded"),
    ]


def test_retries_end(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, [INFRA])))
    assert ends(command.run(policy=Policy(retries={"infra": Retry(times=2)}))) == {"a": "failed"}
    assert len(command.started) == 3


def test_a_refused_setting_is_not_retried_until_the_command_is_issued_again(
    ledger: Ledger, stages: Stages
) -> None:
    a = stages("a")
    endings = script((a, [CONFIG, "succeeded"]))
    first = Command(ledger, [a], endings=endings)
    assert ends(first.run()) == {"a": "failed"}
    assert len(first.started) == 1
    assert ends(Command(ledger, [a], endings=endings).run()) == {"a": "succeeded"}


def test_an_attempt_that_vanished_is_written_down_as_killed_and_retried(
    ledger: Ledger, stages: Stages
) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, ["vanishes", "succeeded"])))
    assert command.run().exit_code == 0
    first, second = ledger.read(a).attempts
    assert first.failure is not None
    assert (first.failure.kind, second.status) == ("killed", "succeeded")


def test_the_same_failure_in_several_stages_pauses_the_rest(ledger: Ledger, stages: Stages) -> None:
    specs = [stages(f"s{n}") for n in range(10)]
    endings = script(
        *[(spec, [Failure.of("config", f"CUDA error at 0x{n:x}, pid {n}")]) for n, spec in enumerate(specs)]
    )
    command = Command(ledger, specs, endings=endings, slots=("a",))
    outcome = command.run(policy=Policy(pause_after_equal=3))
    assert len(command.started) == 3
    assert outcome.paused == "3 stages failed alike (config): CUDA error at 0x2, pid 2"
    assert list(ends(outcome).values()) == ["failed"] * 3 + ["pending"] * 7
    assert outcome.exit_code == 1


def test_different_failures_do_not_pause(ledger: Ledger, stages: Stages) -> None:
    specs = [stages(f"s{n}") for n in range(5)]
    words = ["disc", "moon", "sun", "tide", "rain"]
    endings = script(*[(spec, [Failure.of("config", word)]) for spec, word in zip(specs, words, strict=True)])
    outcome = Command(ledger, specs, endings=endings).run(policy=Policy(pause_after_equal=2))
    assert outcome.paused == ""
    assert set(ends(outcome).values()) == {"failed"}


def test_what_runs_when_the_sweep_pauses_is_seen_to_its_end(ledger: Ledger, stages: Stages) -> None:
    long, bad, never = stages("long"), stages("bad"), stages("never")
    command = Command(
        ledger,
        [long, bad, never],
        endings=script((bad, [CONFIG])),
        seconds=lambda stage_id: 50.0 if stage_id == long.id else 1.0,
    )
    outcome = command.run(policy=Policy(pause_after_equal=1))
    assert ends(outcome) == {"long": "succeeded", "bad": "failed", "never": "pending"}


def test_fail_fast_stops_the_others(ledger: Ledger, stages: Stages) -> None:
    long, bad = stages("long"), stages("bad")
    endings = script((long, ["runs"]), (bad, [CONFIG]))
    command = Command(ledger, [long, bad, stages("never")], endings=endings)
    outcome = command.run(fail_fast=True)
    assert ends(outcome) == {"long": "stopped", "bad": "failed", "never": "pending"}
    assert command.launcher.stopped == [(long.id, False)]
    assert outcome.exit_code == 1


def interrupting(command: Command, *at: float) -> Callable[[], None]:
    """Ctrl-C at these times."""
    times = list(at)

    def press() -> None:
        while times and command.launcher.now >= times[0]:
            times.pop(0)
            command.scheduler.request_stop()

    return press


def test_ctrl_c_stops_attempts_in_good_order_and_leaves_them_resumable(
    ledger: Ledger, stages: Stages
) -> None:
    a, b = stages("a"), stages("b")
    command = Command(ledger, [a, b], endings=script((a, ["runs", "succeeded"])), slots=("a",))
    command.launcher.on_wait = interrupting(command, 2.0)
    outcome = command.run()
    assert ends(outcome) == {"a": "stopped", "b": "pending"}
    assert (outcome.interrupted, outcome.exit_code) == (True, 130)
    assert command.launcher.stopped == [(a.id, False)]
    assert ledger.read(a).status == "stopped"
    assert Command(ledger, [a, b]).run().exit_code == 0


def test_ctrl_c_twice_kills_and_the_stage_counts_as_stopped(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, ["runs"])), deaf=True)
    command.launcher.on_wait = interrupting(command, 2.0, 3.0)
    assert command.run().exit_code == 130
    assert command.launcher.stopped == [(a.id, False), (a.id, True)]
    assert command.launcher.now < 10
    assert ledger.read(a).status == "stopped"


def test_an_attempt_that_does_not_heed_the_stop_is_killed_after_the_grace(
    ledger: Ledger, stages: Stages
) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, ["runs"])), deaf=True)
    command.launcher.on_wait = interrupting(command, 2.0)
    assert command.run(stop_grace=30.0).exit_code == 130
    assert command.launcher.stopped[-1] == (a.id, True)
    assert 31 < command.launcher.now < 36


def test_what_fails_after_a_stop_was_asked_for_has_failed_and_is_not_tried_again(
    ledger: Ledger, stages: Stages
) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, [INFRA])), seconds=lambda _: 5.0, deaf=True)
    command.launcher.on_wait = interrupting(command, 2.0)
    assert ends(command.run(policy=Policy(retries={"infra": Retry(times=1)}))) == {"a": "failed"}
    assert command.told("retrying") == []


def test_a_stop_while_waiting_for_a_retry_ends_at_once(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, [INFRA])))
    command.launcher.on_wait = interrupting(command, 3.0)
    outcome = command.run(policy=Policy(retries={"infra": Retry(times=1, wait=1000.0)}))
    assert outcome.exit_code == 130
    assert command.launcher.now < 10


def test_an_attempt_that_still_runs_is_adopted_and_not_started_again(ledger: Ledger, stages: Stages) -> None:
    a, b = stages("a"), stages("b")
    first = Command(ledger, [a, b], slots=("a",), endings=script((a, ["runs"])))

    class HarnessDied(BaseException):
        pass

    def die() -> None:
        raise HarnessDied

    first.launcher.on_wait = die
    with pytest.raises(HarnessDied):
        first.run()
    second = Command(ledger, [a, b])
    second.launcher = first.launcher
    first.launcher.on_wait = lambda: None
    first.launcher.attempts[0].ending = "succeeded"
    first.launcher.attempts[0].ends_at = 5.0
    assert second.run().exit_code == 0
    assert second.told("adopted") == [("adopted", "a")]
    # b waited, because the adopted attempt is on the only slot
    assert second.started == [(0.0, "a"), (5.0, "b")]


def test_files_that_are_seen_late_are_waited_for(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, ["vanishes"])), delay=30.0)
    written: list[float] = []

    def arrive() -> None:
        """What the attempt wrote on another machine becomes visible here after 20 seconds."""
        if command.launcher.now > 20.0 and not written:
            written.append(command.launcher.now)
            path = ledger.folder(a).path / "state.json"
            state = StageState.from_json(json.loads(path.read_text()))
            path.write_text(json.dumps(state.over("succeeded").to_json()))

    command.launcher.on_wait = arrive
    assert ends(command.run()) == {"a": "succeeded"}
    assert len(ledger.read(a).attempts) == 1


def leave_lease_elsewhere(ledger: Ledger, spec: StageSpec, heartbeat: float = 1.0) -> None:
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True, exist_ok=True)
    owner = dataclasses.replace(ProcessId.current(), host="elsewhere", boot="other")
    info = LeaseInfo(owner, "attempt", 1, {}, "t", 1.0, heartbeat)
    (folder.path / "lease").write_bytes(info.encode())


def test_a_stage_held_by_an_owner_that_cannot_be_seen_is_waited_for_and_given_up_but_never_taken(
    ledger: Ledger, stages: Stages
) -> None:
    a, b = stages("a"), stages("b")
    c = stages("c", after=(a,))
    leave_lease_elsewhere(ledger, a)
    command = Command(ledger, [a, b, c])
    outcome = command.run(held_patience=100.0)
    assert ends(outcome) == {"a": "held", "b": "succeeded", "c": "blocked"}
    assert command.told("waiting", "held") == [("waiting", "a"), ("held", "a")]
    assert command.launcher.now > 100
    assert "process" in next(e.message for e in command.events if e.what == "held")
    assert ledger.folder(a).lease() is not None


def test_a_heartbeat_from_elsewhere_keeps_the_patience(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    leave_lease_elsewhere(ledger, a)
    command = Command(ledger, [a])

    def live() -> None:
        if command.launcher.now < 500:
            leave_lease_elsewhere(ledger, a, heartbeat=1.0 + command.launcher.now // 50)
        else:
            (ledger.folder(a).path / "lease").unlink(missing_ok=True)

    command.launcher.on_wait = live
    assert ends(command.run(held_patience=100.0)) == {"a": "succeeded"}


def test_progress_is_told_when_it_changes_and_only_then(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a], seconds=lambda stage_id: 10.0)

    def step() -> None:
        folder = ledger.folder(a)
        if command.launcher.now < 10.0:
            state = dataclasses.replace(folder.state(), progress=Progress(int(command.launcher.now) // 4, 10))
            with take(folder.path, purpose="attempt") as lease:
                folder.write_state(state, lease)

    command.launcher.on_wait = step
    command.run(progress_interval=1.0)
    seen = [
        e.state.progress.step for e in command.events if e.what == "progress" and e.state and e.state.progress
    ]
    assert seen == [0, 1, 2]


def test_a_results_root_that_cannot_be_a_folder_is_refused_in_one_line(
    tmp_path: Path, stages: Stages
) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(LedgerError, match=r"results.*: (Not a directory|File exists)") as caught:
        Command(Ledger(tmp_path / "results"), [stages("a")]).run()
    assert "--results" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, r"No space left on device \(free some space and issue the same"),
        (errno.EIO, r"Input/output error \(.*`dmesg`"),
        (errno.EROFS, r"Read-only file system \(.*--results"),
    ],
)
def test_a_disk_that_cannot_be_written_ends_the_command_in_one_line_and_the_next_one_goes_on(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    a, b = stages("a"), stages("b", after=(stages("a"),))
    first = Command(ledger, [a, b], endings=script((a, ["vanishes", "succeeded"])))

    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    first.launcher.on_wait = lambda: monkeypatch.setattr(files, "_write_all", refuse)
    with pytest.raises(LedgerError, match=says) as caught:
        first.run()
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    second = Command(ledger, [a, b])
    second.launcher = first.launcher
    second.launcher.on_wait = lambda: None
    assert second.run().exit_code == 0
    assert [attempt.status for attempt in ledger.read(a).attempts] == ["failed", "succeeded"]


def test_a_stage_that_somebody_else_stopped_is_not_started_again_by_this_command(
    ledger: Ledger, stages: Stages
) -> None:
    a = stages("a")
    b = stages("b", after=(a,))
    command = Command(ledger, [a, b], endings=script((a, ["stopped"])))
    outcome = command.run()
    assert ends(outcome) == {"a": "stopped", "b": "pending"}
    assert len(command.started) == 1
    assert outcome.exit_code == 1


def test_an_observer_sees_the_states_that_the_ledger_has(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a])
    command.run()
    assert command.events[-1].state == ledger.read(a)


def test_ctrl_c_twice_in_one_breath_is_twice(ledger: Ledger, stages: Stages) -> None:
    a = stages("a")
    command = Command(ledger, [a], endings=script((a, ["runs"])), deaf=True)
    command.launcher.on_wait = interrupting(command, 2.0, 2.0)
    assert command.run().exit_code == 130
    assert command.launcher.stopped == [(a.id, False), (a.id, True)]


def test_a_slot_that_another_harness_is_on_is_passed_over(ledger: Ledger, stages: Stages) -> None:
    specs = [stages("a"), stages("b")]
    command = Command(ledger, specs, slots=("0", "1"), taken={"0": "sweep other"})
    assert command.run().exit_code == 0
    assert [attempt.slots for attempt in command.launcher.attempts] == [("1",), ("1",)]


def test_what_is_waited_for_is_told_once_and_starts_once_it_is_free(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages("a")], slots=("0", "cpu0"))
    command.launcher.taken = {"0": "sweep other", "cpu0": "sweep more"}

    def leave() -> None:
        if command.launcher.now > 50.0:
            command.launcher.taken = {}

    command.launcher.on_wait = leave
    assert command.run().exit_code == 0
    told = [(e.stage, e.message) for e in command.events if e.what == "waiting"]
    assert told == [("", "for GPU 0, held by sweep other, CPU slot 0, held by sweep more")]
    assert command.launcher.starts[0][0] == pytest.approx(51.0, abs=2.0)


def test_a_wide_stage_waits_for_the_slot_that_another_harness_is_on_and_a_narrow_one_does_not(
    ledger: Ledger, stages: Stages
) -> None:
    wide, narrow = stages("wide", slots=2), stages("narrow")
    command = Command(ledger, [wide, narrow], slots=("0", "1"), taken={"0": "sweep other"})

    def leave() -> None:
        if command.launcher.now > 20.0:
            command.launcher.taken = {}

    command.launcher.on_wait = leave
    assert command.run().exit_code == 0
    assert [name for _, name in command.started] == ["narrow", "wide"]


def test_a_harness_that_was_faster_costs_another_look_and_nothing_else(
    ledger: Ledger, stages: Stages
) -> None:
    command = Command(ledger, [stages("a")], slots=("0",))
    command.launcher.faster = ["0"]
    assert command.run().exit_code == 0
    assert command.started == [(pytest.approx(0.1, abs=0.05), "a")]
    assert len(ledger.read(stages("a")).attempts) == 1


def test_a_stop_while_waiting_for_a_slot_ends_at_once(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages("a")], slots=("0",), taken={"0": "sweep other"})
    command.launcher.on_wait = interrupting(command, 3.0)
    assert command.run().exit_code == 130
    assert command.launcher.now < 10


def urgent(stages: Stages, name: str, priority: int, **rest: Any) -> StageSpec:
    return stages(name, config={"resources": {"priority": priority}}, **rest)


def test_the_higher_priority_starts_first_however_short_its_chain(ledger: Ledger, stages: Stages) -> None:
    shared = stages("shared")
    usual = [shared]
    for n in range(3):
        usual.append(urgent(stages, f"usual{n}", 0, after=(usual[-1],)))
    first, late = urgent(stages, "first", 5, after=(shared,)), urgent(stages, "late", -5)
    command = Command(ledger, [late, *usual, first], slots=("a",))
    command.run()
    assert [name for _, name in command.started] == ["shared", "first", "usual0", "usual1", "usual2", "late"]


def test_a_sweep_goes_on_with_a_stage_that_another_sweeps_harness_has_stopped(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = stages("a"), stages("b", after=(stages("a"),))
    other = Command(ledger, [a], endings=script((a, ["runs", "succeeded"])))

    class Left(BaseException):
        pass

    def leave() -> None:
        raise Left

    other.launcher.on_wait = leave
    with pytest.raises(Left):
        other.run()
    mine = Command(ledger, [a, b])
    mine.launcher = other.launcher
    monkeypatch.setattr(Scheduler, "_is_foreign", lambda self, handle: True)

    def stop() -> None:
        mine.launcher.attempts[0].ending, mine.launcher.attempts[0].ends_at = "stopped", 5.0

    mine.launcher.on_wait = stop
    assert mine.run().exit_code == 0
    assert [attempt.status for attempt in ledger.read(a).attempts] == ["stopped", "succeeded"]
