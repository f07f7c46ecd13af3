"""Run what is owed of a stage graph over a launcher's slots.

One thread, one loop: start what is ready and fits, sleep until an attempt ends, take note, repeat. The loop
holds no truth of its own: whatever matters is in the ledger, so it may be killed at any point, and several
harnesses may work on the same stages at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext

from toolrl_cli.attempt.adjusting import next_change
from toolrl_cli.attempt.ending import clear_lease, settle
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import Launcher, LaunchLater, Seen, queue_name, slot_name
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.scheduling.alike import AlikeFailures
from toolrl_cli.harness.scheduling.board import Board
from toolrl_cli.harness.scheduling.cancelling import Cancelling
from toolrl_cli.harness.scheduling.events import Observer, Outcome
from toolrl_cli.harness.scheduling.interrupts import Interrupts
from toolrl_cli.harness.scheduling.nodes import Node, Watched
from toolrl_cli.harness.scheduling.priorities import expected_seconds
from toolrl_cli.harness.scheduling.queueing import Slots
from toolrl_cli.harness.scheduling.retries import Policy
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.starting import (
    TOGETHER,
    AttemptOptions,
    Busy,
    Done,
    Started,
    Wanted,
    start_attempts,
)
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.liveness import attempt_alive, harness_of
from toolrl_cli.store.state import Handle, StageState

RECHECK = 0.1  # seconds until another look at a stage that another process is starting or ending just now
LATER = 10.0  # seconds until a launcher that could not take an attempt is asked again
LOOK = 1.0  # the same for one whose owner is at work elsewhere


class Scheduler:
    """Runs a set of stages to their end; made for one `run`.

    Args:
        stages: the stages, in any order. An input that is not among them has to have succeeded.
        ledger: where they are.
        launcher: where attempts run.
        policy: what is done about failures.
        options: see `Options`.
        observe: told of everything that happens, from within the loop; it should be quick.
        seconds: how long a stage may take, to start long chains first.
        clock: what pauses and patience are measured with, seconds.

    Raises:
        SpecError: the stages depend on each other in a circle.
        LaunchError: a stage needs more slots than there are.
    """

    def __init__(
        self,
        stages: Sequence[StageSpec],
        ledger: Ledger,
        launcher: Launcher,
        *,
        policy: Policy | None = None,
        options: Options | None = None,
        observe: Observer = lambda event: None,
        seconds: Callable[[StageSpec], float] = expected_seconds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_slots(stages, launcher)
        self._launcher, self._pool = launcher, launcher.pool
        self._reach = Reach(launcher)
        self._policy = policy or Policy()
        self._options = options or Options()
        self._clock = clock
        self._me = ProcessId.current()
        self._attempt_options = AttemptOptions(
            self._options.functions, self._policy.hang_after, self._options.heartbeat
        )
        self._board = Board(stages, ledger, observe, seconds, clock)
        self._ready = self._board.ready
        self._slots = Slots(self._pool.slots if self._pool else None, self._options.max_parallel)
        self._running: dict[str, Node] = {}
        self._alike = AlikeFailures()
        self._interrupts = Interrupts()
        self._stops = 0
        self._cancelling = Cancelling(self._reach, clock, self._board.tell_once)
        self._closing = False
        self._paused = ""
        self._next_progress = 0.0

    def request_stop(self) -> None:
        """Ask attempts to stop in good order; the second time they are killed. Any thread may call it."""
        self._interrupts.request()

    def run(self) -> Outcome:
        """Work until nothing is left to do or to wait for.

        SIGINT and SIGTERM act as `request_stop` meanwhile.

        Raises:
            LedgerError, LaunchError: the ledger or the launcher fails. Attempts that run go on without the
                scheduler; the next one adopts them.
        """
        try:
            with self._interrupts.on_signals():
                self._begin()
                while self._going():
                    self._start_ready()
                    self._launcher.wait(self._handles(), self._interrupts.fd, self._timeout())
                    self._interrupts.clear()
                    self._heed_stops()
                    self._look()
        finally:
            self._interrupts.close()
        return Outcome(self._board.ends(), interrupted=self._stops > 0, paused=self._paused)

    # the beginning: what is done, what still runs, what is owed

    def _begin(self) -> None:
        nodes = self._board.nodes
        states = {stage_id: node.folder.state() for stage_id, node in nodes.items()}
        for stage_id, state in states.items():
            if state.status == "succeeded":
                nodes[stage_id].end = "succeeded"
                clear_lease(nodes[stage_id].folder, alive=self._reach.alive)
        for stage_id, node in nodes.items():
            node.owed_inputs = {i for i in node.owed_inputs if not self._board.has_succeeded(i)}
            missing = [i for i in node.owed_inputs if i not in nodes]
            if missing and node.end is None:
                self._board.block(node, f"its input {missing[0]} has not succeeded")
            elif node.end is None and not node.owed_inputs and not self._watch(node, states[stage_id]):
                self._board.push(node)

    def _going(self) -> bool:
        return bool(self._mine()) if self._closing else bool(self._running or len(self._ready))

    def _handles(self) -> list[Handle]:
        """Those that the launcher itself can wait for."""
        attempts = (node.attempt for node in self._running.values())
        return [a.handle for a in attempts if a and a.handle.get("kind") == self._launcher.kind]

    # starting

    def _start_ready(self) -> None:
        while not self._closing:
            if self._pool:
                self._slots.elsewhere = self._pool.elsewhere(self._slots.idle) if len(self._ready) else {}
            ready = self._next_ready()
            if not ready:
                self._tell_of_slots_elsewhere()
                return
            self._start(ready)

    def _next_ready(self) -> list[tuple[Node, tuple[str, ...]]]:
        """The next stage that fits, with its slots; as many as may start together where the launcher has a queue."""
        ready: list[tuple[Node, tuple[str, ...]]] = []
        while len(ready) < (1 if self._pool else TOGETHER):
            stage_id = self._ready.pop(self._slots.free, self._slots_of, self._clock())
            if stage_id is None:
                break
            node = self._board.nodes[stage_id]
            ready.append((node, self._slots.take(node.spec.slots)))
        return ready

    def _tell_of_slots_elsewhere(self) -> None:
        """Say what ready stages wait for, once for every answer."""
        elsewhere = self._slots.elsewhere if self._ready.waits else {}
        told = ", ".join(f"{slot_name(slot)}, held by {who}" for slot, who in sorted(elsewhere.items()))
        if told or self._pool:
            self._board.tell_once(f"for {told}" if told else "")

    def _slots_of(self, stage_id: str) -> int:
        return self._board.nodes[stage_id].spec.slots

    def _start(self, ready: list[tuple[Node, tuple[str, ...]]]) -> None:
        slots = ready[0][1]
        try:
            with self._pool.reserved(slots) if self._pool else nullcontext(True) as reserved:
                if not reserved:  # another harness took one of them between our two looks
                    self._put_back(ready, RECHECK)
                    return
                wanted = [Wanted(node.folder, node.spec, slots) for node, slots in ready]
                results = start_attempts(wanted, self._launcher, self._attempt_options, reach=self._reach)
        except BaseException:
            for _, slots in ready:
                self._slots.release(slots)
            raise
        for (node, slots), result in zip(ready, results, strict=True):
            if isinstance(result, LaunchLater):
                self._put_back([(node, slots)], LATER)
                self._board.tell_once(str(result))
            else:
                self._begun(node, slots, result)

    def _put_back(self, ready: list[tuple[Node, tuple[str, ...]]], seconds: float) -> None:
        for node, slots in ready:
            self._slots.release(slots)
            self._board.push(node, seconds)

    def _begun(self, node: Node, slots: tuple[str, ...], result: Started | Done | Busy) -> None:
        state = result.state
        if isinstance(result, Started) and state.launcher is not None:
            node.attempt = Watched(state.attempt, state.launcher, slots)
            self._running[node.spec.id] = node
            queued = "" if self._pool else f"given to {self._launcher.kind}: {queue_name(state.launcher)}"
            self._board.tell("started", node, state, queued)
            return
        self._slots.release(slots)
        if isinstance(result, Done):
            self._board.succeed(node, state)
        elif isinstance(result, Busy) and not self._watch(node, state):
            self._wait_for_owner(node, result)

    def _watch(self, node: Node, state: StageState) -> bool:
        """Follow an attempt that this scheduler has not started; False when there is none to be seen."""
        if not state.active or state.launcher is None:
            return False
        if attempt_alive(node.folder, state, alive=self._reach.alive) is not True:
            return False
        foreign = self._is_foreign(state.launcher)
        # what another launcher calls a slot is none of ours
        mine = state.launcher.get("kind") == self._launcher.kind
        slots = tuple(state.launcher.get("slots", ())) if mine else ()
        node.attempt = Watched(state.attempt, state.launcher, slots, foreign)
        self._slots.occupy(slots)
        self._running[node.spec.id] = node
        self._board.tell(
            "waiting" if foreign else "adopted", node, state, f"attempt {state.attempt} is running"
        )
        return True

    def _is_foreign(self, handle: Handle) -> bool:
        harness = harness_of(handle)
        return harness is not None and harness != self._me and harness.alive() is not False

    def _wait_for_owner(self, node: Node, busy: Busy) -> None:
        """Somebody has the stage: for a moment, or at a place that cannot be seen from here."""
        now = self._clock()
        if busy.alive:
            self._board.push(node, RECHECK)
            return
        owner = busy.lease.owner if busy.lease else None
        heartbeat = busy.lease.heartbeat if busy.lease else 0.0
        if node.sign_of_life is None:
            unseen = f"{owner or 'an attempt'} cannot be seen from here{self._way_out()}"
            self._board.tell("waiting", node, busy.state, unseen)
        if node.sign_of_life is None or node.sign_of_life[0] != heartbeat:
            node.sign_of_life = (heartbeat, now)
        asked = busy.state.launcher is not None and self._reach.answers(busy.state.launcher)
        if asked or now - node.sign_of_life[1] <= self._options.held_patience:
            self._board.push(node, LOOK)
            return
        silent = f"no sign of life from {owner or 'its attempt'}, which may still run{self._way_out()}"
        self._board.tell("held", node, busy.state, silent)
        self._board.give_up(node, "held", "is held")

    def _way_out(self) -> str:
        return f" (if it is gone: `{self._options.take_over}`)" if self._options.take_over else ""

    # looking at what runs

    def _timeout(self) -> float:
        now = self._clock()
        times = [self._next_progress, self._cancelling.kill_at]
        if not self._closing and (due := self._ready.due()) is not None:
            times.append(due)
        if not self._closing and self._slots.elsewhere and self._ready.waits:
            times.append(now + LOOK)
        if any(node.attempt and node.attempt.ended for node in self._running.values()):
            times.append(now + RECHECK)
        return max(0.0, min(times) - now)

    def _look(self) -> None:
        showing = self._clock() >= self._next_progress
        if showing:
            self._next_progress = self._clock() + max(
                self._options.progress_interval, self._launcher.interval
            )
        self._poll()
        for node in list(self._running.values()):
            attempt = node.attempt
            if attempt is None:
                continue
            if attempt.ended is not None:
                self._conclude(node, attempt, attempt.ended)
            elif showing:
                attempt.foreign = attempt.foreign and self._is_foreign(attempt.handle)
                self._read(node, attempt)

    def _poll(self) -> None:
        """Note which attempts have ended, by their launchers' word."""
        watched = [(n, n.attempt) for n in self._running.values() if n.attempt and n.attempt.ended is None]
        answers = self._reach.poll([attempt.handle for _, attempt in watched])
        for (node, attempt), seen in zip(watched, answers, strict=True):
            if seen.phase == "unknown":
                self._board.tell_once(seen.told)  # of all of them alike
            elif seen.told and seen.told not in attempt.told:
                attempt.told.add(seen.told)
                self._board.tell("waiting", node, None, seen.told)
            if seen.phase == "ended":
                attempt.ended, attempt.ended_at = seen, self._clock()

    def _read(self, node: Node, attempt: Watched) -> None:
        """See how far the attempt is; what it wrote of its end is earlier here than a queue's word."""
        state = node.folder.state()
        if state.active and state.launcher == attempt.handle:
            attempt.n = state.attempt  # a job that its cluster has started anew goes on under the next number
        if self._pool is None and state.status in ("succeeded", "failed") and state.attempt == attempt.n:
            self._conclude(node, attempt, Seen("ended"))
        elif node.shown is None or (state.status, state.progress) != (node.shown.status, node.shown.progress):
            self._board.tell("progress", node, state)

    def _conclude(self, node: Node, attempt: Watched, ended: Seen) -> None:
        """The attempt's process is gone: find out from the ledger how it went, or write it down."""
        state = node.folder.state()
        if state.active and state.attempt == attempt.n:
            if self._clock() < attempt.ended_at + self._launcher.delay:
                return  # what it wrote may not be visible here yet
            settled = settle(
                node.folder,
                attempt.n,
                returncode=ended.returncode,
                failure=ended.failure,
                asked_to_stop=attempt.asked_to_stop,
                alive=self._reach.alive,
            )
            if settled is None:
                return  # another harness is writing it down
            state = settled
        if not state.active:
            clear_lease(node.folder, alive=self._reach.alive)
        self._slots.release(attempt.slots)
        del self._running[node.spec.id]
        node.attempt = None
        if state.status == "succeeded":
            self._board.succeed(node, state)
        elif state.status == "failed" and state.failure is not None:
            self._fail(node, state, state.failure)
        elif state.status == "stopped" and ended.failure and not (self._closing or attempt.asked_to_stop):
            self._fail(node, state, ended.failure)  # the cluster took it back, and it stopped in good order
        elif state.status == "stopped" and (self._closing or not attempt.foreign):
            node.end = "stopped"
            self._board.tell("stopped", node, state)
        elif not self._watch(node, state):  # else another harness has gone on with it
            # a harness that stopped its own attempts has not stopped this one: the stage is owed here
            self._board.push(node, RECHECK)

    # how stages come out

    def _fail(self, node: Node, state: StageState, failure: Failure) -> None:
        self._board.tell("failed", node, state, failure.message)
        rule = self._policy.retry(failure.kind)
        earlier = node.retried[failure.kind]
        change = next_change(node.spec, state)
        hopeless = failure.kind == "oom" and change is None  # the same would happen again
        if earlier < rule.times and not self._closing and not hopeless:
            node.retried[failure.kind] += 1
            wait = rule.delay(earlier)
            self._board.push(node, wait)
            how = f"with {change}, " if change else ""
            self._board.tell(
                "retrying", node, state, f"{how}again in {wait:.0f} s ({earlier + 1} of {rule.times})"
            )
            return
        self._board.give_up(node, "failed", "failed")
        self._pause_if_alike(node, failure)
        if self._options.fail_fast and not self._closing:
            self._stop_all(f"stage {node.spec.id} failed")

    def _pause_if_alike(self, node: Node, failure: Failure) -> None:
        alike = self._alike.note(node.spec.id, failure)
        if alike >= self._policy.pause_after_equal and not self._closing:
            self._closing = True
            self._paused = f"{alike} stages failed alike ({failure.kind}): {failure.message}"
            self._board.tell_all("paused", self._paused)

    # stopping

    def _heed_stops(self) -> None:
        asked = self._interrupts.requests
        if asked > self._stops:
            if self._stops == 0:
                self._stop_all("stop requested")
            if asked > 1:
                self._cancelling.kill_now()
            self._stops = asked
        self._cancelling.go_on(self._mine)

    def _stop_all(self, why: str) -> None:
        self._closing = True
        self._board.tell_all("stopping", why)
        self._cancelling.ask(self._mine(), self._options.stop_grace)

    def _mine(self) -> list[Watched]:
        return [n.attempt for n in self._running.values() if n.attempt and not n.attempt.foreign]


def check_slots(stages: Iterable[StageSpec], launcher: Launcher) -> None:
    """Refuse stages that can never start.

    Raises:
        LaunchError: a stage needs more slots than there are.
    """
    pool = launcher.pool
    for spec in stages if pool else ():
        if pool and spec.slots > len(pool.slots):
            raise LaunchError(
                f"needs {spec.slots} slots, and the {launcher.kind} launcher has {len(pool.slots)}",
                f"stage {spec.id}",
                "give it fewer devices, or use a machine with more",
            )
