"""The scheduler over a launcher that has a queue of its own, in simulated time."""

from __future__ import annotations

import pytest

from tests.harness.test_scheduler import Command, ends
from tests.support.stages import Stages
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import Seen
from toolrl_cli.harness.scheduling.cancelling import AGAIN
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.files import write_json
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.schemas import COMMAND
from toolrl_cli.store.state import Handle, StageState


def write(folder: StageFolder, state: StageState) -> None:
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(state, lease)


@pytest.mark.parametrize(("max_parallel", "most"), [(None, 5), (2, 2)])
def test_a_queue_is_given_all_that_is_ready(
    ledger: Ledger, stages: Stages, max_parallel: int | None, most: int
) -> None:
    command = Command(ledger, [stages(name, slots=4) for name in "abcde"], queues=True)
    outcome = command.run(max_parallel=max_parallel)
    assert outcome.exit_code == 0
    assert command.launcher.most == most


def test_all_attempts_are_asked_about_with_one_question(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages(f"s{n}") for n in range(20)], queues=True)
    waits: list[int] = []
    command.launcher.on_wait = lambda: waits.append(1)
    command.run()
    assert command.launcher.polls == len(waits)


def test_a_queue_that_is_full_is_asked_later_for_the_same_attempt(ledger: Ledger, stages: Stages) -> None:
    spec = stages("a")
    command = Command(ledger, [spec], queues=True, busy=3)
    assert command.run().exit_code == 0
    assert command.launcher.again == [False, True, True, True]
    assert command.launcher.starts == [(pytest.approx(30.0, abs=1), spec.id, 1)]
    assert [(e.what, e.message) for e in command.events if e.what == "waiting"] == [
        ("waiting", "fake: the queue is full")
    ]


def test_an_attempt_that_another_launcher_may_have_been_given_is_not_asked_for_again(
    ledger: Ledger, stages: Stages
) -> None:
    spec = stages("a")
    lost = ledger.folder(spec).attempt(1)
    lost.mkdir(parents=True)
    write_json(lost / COMMAND.name, COMMAND.stamped({"launcher": "another"}))
    command = Command(ledger, [spec], queues=True)
    assert command.run().exit_code == 0
    assert (command.launcher.again, [n for *_, n in command.launcher.starts]) == ([False], [2])


def test_what_the_launcher_does_not_know_has_not_ended(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages("a")], queues=True, seconds=lambda stage: 5.0)
    down = [Seen("unknown", told="nobody answers")] * 3
    known = command.launcher.seen
    command.launcher.seen = lambda handle: down.pop() if down else known(handle)  # type: ignore[method-assign]
    assert command.run().exit_code == 0
    assert [n for _, _, n in command.launcher.starts] == [1]


def test_what_the_launcher_says_of_attempts_is_told_once(ledger: Ledger, stages: Stages) -> None:
    command = Command(ledger, [stages("a"), stages("b")], queues=True, seconds=lambda stage: 5.0)
    down = [Seen("unknown", told="nobody answers")] * 6
    known = command.launcher.seen
    command.launcher.seen = lambda handle: down.pop() if down else known(handle)  # type: ignore[method-assign]
    command.run()
    assert [e.message for e in command.events if e.what == "waiting"] == ["nobody answers"]


def test_a_queued_attempt_that_the_launcher_does_not_know_of_yet_is_waited_for_without_end(
    ledger: Ledger, stages: Stages
) -> None:
    spec = stages("a")
    folder = ledger.folder(spec)
    folder.attempt(1).mkdir(parents=True)
    write(folder, StageState(spec.id, spec.kind).begun(1, {"kind": "fake", "number": 0, "slots": []}))
    command = Command(ledger, [spec], queues=True)

    def seen(handle: Handle) -> Seen:
        return Seen("unknown") if command.launcher.now < 60 else Seen("ended")

    command.launcher.seen = seen  # type: ignore[method-assign]
    command.run(held_patience=10.0)
    assert command.told("held") == []
    assert command.launcher.starts[0][0] > 60


def test_an_attempt_that_its_cluster_took_back_in_good_order_is_run_again(
    ledger: Ledger, stages: Stages
) -> None:
    spec = stages("a")
    command = Command(ledger, [spec], queues=True, endings={spec.id: ["stopped", "succeeded"]})
    taken = Failure.of("preempted", "a higher partition took the node")

    def seen(handle: Handle) -> Seen:
        attempt = command.launcher.attempts[handle["number"]]
        failure = taken if attempt.n == 1 else None
        return Seen("ended", 3, failure) if attempt.over else Seen("running")

    command.launcher.seen = seen  # type: ignore[method-assign]
    assert ends(command.run()) == {"a": "succeeded"}
    assert [n for _, _, n in command.launcher.starts] == [1, 2]


def test_an_attempt_that_ended_by_its_own_word_is_not_asked_about_for_longer(
    ledger: Ledger, stages: Stages
) -> None:
    a = stages("a")
    b = stages("b", after=(a,))
    command = Command(ledger, [a, b], queues=True)
    command.launcher.seen = lambda handle: Seen("running")  # type: ignore[method-assign]
    assert ends(command.run(progress_interval=0.5)) == {"a": "succeeded", "b": "succeeded"}


def test_a_job_that_its_cluster_starts_anew_is_followed_under_its_next_number(
    ledger: Ledger, stages: Stages
) -> None:
    spec = stages("a")
    command = Command(ledger, [spec], queues=True, endings={spec.id: ["runs"]})
    folder = ledger.folder(spec)

    def requeue() -> None:
        if command.launcher.now > 3 and folder.state().attempt == 1:
            handle = folder.state().launcher
            folder.attempt(2).mkdir()
            write(folder, folder.state().over("stopped").begun(2, handle))
        elif command.launcher.now > 6 and folder.state().status == "queued":
            write(folder, folder.state().running(folder.state().launcher or {}).over("succeeded"))

    command.launcher.on_wait = requeue
    assert ends(command.run()) == {"a": "succeeded"}
    assert [n for _, _, n in command.launcher.starts] == [1]


def test_what_a_queued_attempt_waits_for_is_told_once_and_that_nobody_answers_once_for_all(
    ledger: Ledger, stages: Stages
) -> None:
    command = Command(ledger, [stages("a"), stages("b")], queues=True, seconds=lambda stage: 20.0)
    known = command.launcher.seen

    def seen(handle: Handle) -> Seen:
        if command.launcher.now < 5:
            return Seen("queued", told=f"job {handle['number']} waits: JobHeldUser")
        return Seen("unknown", told="nobody answers") if command.launcher.now < 10 else known(handle)

    command.launcher.seen = seen  # type: ignore[method-assign]
    assert command.run().exit_code == 0
    told = [event.message for event in command.events if event.what == "waiting"]
    assert told == ["job 0 waits: JobHeldUser", "job 1 waits: JobHeldUser", "nobody answers"]


def test_who_could_not_be_told_to_stop_is_told_again(ledger: Ledger, stages: Stages) -> None:
    spec = stages("a")
    command = Command(ledger, [spec], queues=True, endings={spec.id: ["runs"]})
    cancel, tries = command.launcher.cancel, list[float]()

    def unheard(handle: Handle, *, kill: bool = False) -> None:
        tries.append(command.launcher.now)
        if len(tries) == 1:
            raise LaunchError("nobody answers")
        cancel(handle, kill=kill)

    def press() -> None:
        if command.launcher.now >= 2.0 and not tries:
            command.scheduler.request_stop()

    command.launcher.cancel, command.launcher.on_wait = unheard, press  # type: ignore[method-assign]
    assert ends(command.run(stop_grace=1000.0)) == {"a": "stopped"}
    assert tries[1] - tries[0] == pytest.approx(AGAIN, abs=2.0)
