"""A trial of this machine: a whole small experiment, with its training killed on the way, and what it measures."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from toolrl_cli.api.plans import SweepPlan, plan
from toolrl_cli.api.running import Outcome, run
from toolrl_cli.errors import StageError
from toolrl_cli.harness.scheduling.events import Event
from toolrl_cli.planning.plan import PlannedStage
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.training.device import choose_device

NAME = "trial"
STEPS, EVERY = 6, 2
"""Steps of RL, and between two checkpoints; after the first of these the training is killed."""
PROMPTS, ROLLOUTS = 4, 8
LEAST_CORRELATION = 0.99
"""Of the log-probabilities of rollout and trainer; less means that another policy is sampled than is trained."""
LOOK = 0.1  # seconds between two looks for the first checkpoint
STEP_TIME = "timing_s/step"
PEAK_MEMORY = "actor/perf/max_memory_allocated_gb"
TRACKER = "latest_checkpointed_iteration.txt"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """What a trial measured.

    Attributes:
        device: `cpu` or `cuda`.
        precision: of the training.
        seconds: of the whole.
        stages: kind of stage → seconds of its attempts together.
        resumed_from: step of RL after which the training was killed.
        step_seconds: median over the steps of RL.
        tokens_per_second: median tokens that a step of RL handles, prompts and responses, by its time.
        generated_per_second: median tokens a second while responses are generated.
        peak_memory: bytes that the trainer had at most, on a GPU of that; None where verl does not tell.
        probability_difference: largest mean over a step of the difference between the probabilities that rollout and
            trainer give the sampled tokens.
        correlation: least over the steps of the correlation of those.
        score: share of ToolWorld's items that the trained model has right; next to none, after so few steps.
    """

    device: str
    precision: str
    seconds: float
    stages: Mapping[str, float]
    resumed_from: int
    step_seconds: float
    tokens_per_second: float
    generated_per_second: float
    peak_memory: int | None
    probability_difference: float
    correlation: float
    score: float

    def to_json(self) -> dict[str, Any]:
        """The value of `trial` in `doctor --json`."""
        return asdict(self)


def trial(tell: Tell = lambda line: None) -> Trial:
    """Train, checkpoint, kill, resume, export and evaluate on this machine; about two minutes.

    All of it is in a temporary results root, which is removed, unless a part fails.

    Args:
        tell: is told what is being done, a line at a time.

    Raises:
        StageError: a part failed; says which, why, and where its log is. The folder is kept.
        SpecError, LaunchError, LedgerError: as `api.run`.
    """
    root = Path(tempfile.mkdtemp(prefix="toolrl-trial-"))
    device = choose_device("auto")
    try:
        found = _trial(root, device, "bf16" if device == "cuda" else "fp32", tell)
    except StageError:
        raise
    except BaseException:  # interrupted, or nothing was started: no log to look at
        shutil.rmtree(root, ignore_errors=True)
        raise
    shutil.rmtree(root, ignore_errors=True)
    return found


def sweep(device: str, precision: str) -> dict[str, Any]:
    """The sweep that is run: the tiny model, one arm."""
    rl = {
        **{"steps": STEPS, "save_every": EVERY, "validate_every": STEPS},
        **{"prompts": PROMPTS, "rollouts": ROLLOUTS, "mini_batch": PROMPTS},
    }
    return {
        "name": NAME,
        "base": {
            "preset": "tiny_grpo",
            "model": {"pretrain": {"steps": 10}},
            "data": {"kind": "toolworld", "base": 640, "sft": 16, "train": 64, "val": 4, "benchmark": 16},
            "precision": precision,
            "rl": rl,
            "resources.device": device,
        },
        "arms": {NAME: {}},
        "evaluate": ["toolworld"],
        "tables": ["toolworld"],
    }


def _trial(root: Path, device: str, precision: str, tell: Tell) -> Trial:
    planned = plan(sweep(device, precision), results=root)
    stages = {i: stage.spec.kind for i, stage in planned.stages.items()}

    def observe(event: Event) -> None:
        if event.what in ("started", "retrying", "waiting"):
            tell(f"{stages.get(event.stage, 'slots')}: {event.message or event.what}")

    (rl,) = (Ledger(root).folder(s.spec) for s in planned.stages.values() if s.spec.kind == "rl")
    with _killed_after_its_first_checkpoint(rl) as killed:
        outcome = run(planned, wandb="disabled", observe=observe)
    _check(outcome, planned, root)
    if not killed:
        raise StageError("the training ended before it could be killed", str(rl.path))
    return _measured(planned, root, rl, killed[0], device, precision)


@contextlib.contextmanager
def _killed_after_its_first_checkpoint(rl: StageFolder) -> Iterator[list[int]]:
    """Meanwhile, kill the stage's attempt without warning once it has a checkpoint, and has told of its step."""
    done, killed = threading.Event(), list[int]()

    def watch() -> None:
        while not killed and not done.wait(LOOK):
            with contextlib.suppress(FileNotFoundError, ValueError):
                step = int((rl.path / "checkpoints" / TRACKER).read_text(encoding="utf-8"))
                if not any(
                    row["step"] >= step and STEP_TIME in row["data"] for row in merge_metrics(rl.path)
                ):
                    continue
                process = ProcessId.from_json(dict(rl.state().launcher or {}))
                if process.alive():
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(step)

    thread = threading.Thread(target=watch, name="toolrl-trial", daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def _check(outcome: Outcome, planned: SweepPlan, root: Path) -> None:
    if outcome.interrupted:
        raise KeyboardInterrupt
    for stage_id, failure in outcome.failures.items():
        spec = planned.stages[stage_id].spec
        log = Ledger(root).folder(spec).attempts()[-1] / "log.txt"
        raise StageError(f"{spec.kind} failed: {failure.kind}: {failure.message}", str(log), failure.hint)
    if not outcome.ok:
        ends = ", ".join(f"{planned.stages[i].spec.kind} {end}" for i, end in outcome.ends.items())
        raise StageError(f"did not come to its end: {ends}", str(root))


def _measured(
    planned: SweepPlan, root: Path, rl: StageFolder, killed_after: int, device: str, precision: str
) -> Trial:
    ledger = Ledger(root)
    rows = [row["data"] for row in merge_metrics(rl.path) if row["step"] > 0]
    steps = [row["step"] for row in merge_metrics(rl.path) if row["step"] > 0]
    where = str(rl.path / "attempts")
    if steps != list(range(1, STEPS + 1)):
        raise StageError(f"resuming has lost or doubled steps: {steps}", where)

    def column(name: str) -> list[float]:
        values = [row[name] for row in rows if row.get(name) is not None]
        if len(values) != len(rows) or not all(map(math.isfinite, values)):
            raise StageError(f"{name} is not a number in every step", where)
        return [float(value) for value in values]

    seconds, tokens = column(STEP_TIME), column("perf/total_num_tokens")
    made = [PROMPTS * ROLLOUTS * length for length in column("response_length/mean")]
    memory = [row[PEAK_MEMORY] for row in rows if row.get(PEAK_MEMORY) is not None]
    correlation = min(column("training/rollout_actor_probs_pearson_corr"))
    difference = max(column("training/rollout_probs_diff_mean"))
    if correlation < LEAST_CORRELATION:
        what = f"rollout and trainer do not agree: their probabilities correlate by {correlation:.3f}"
        raise StageError(what, where, f"{difference:.2g} is the mean difference; another policy is sampled")
    took: dict[str, float] = {}
    for stage in planned.stages.values():
        took[stage.spec.kind] = took.get(stage.spec.kind, 0.0) + _took(ledger, stage)
    return Trial(
        device=device,
        precision=precision,
        seconds=sum(took.values()),
        stages=took,
        resumed_from=killed_after,
        step_seconds=median(seconds),
        tokens_per_second=median(n / s for n, s in zip(tokens, seconds, strict=True)),
        generated_per_second=median(n / s for n, s in zip(made, column("timing_s/gen"), strict=True)),
        peak_memory=int(max(memory) * (1 << 30)) if memory else None,
        probability_difference=difference,
        correlation=correlation,
        score=_score(planned, root),
    )


def _took(ledger: Ledger, stage: PlannedStage) -> float:
    attempts = ledger.read(stage.spec).attempts
    return sum(a.ended - a.started for a in attempts if a.started is not None and a.ended is not None)


def _score(planned: SweepPlan, root: Path) -> float:
    from toolrl_cli.api.frames import results

    frame = results(root, [planned.name]).query("column == 'overall'")
    if frame.empty or frame["value"].isna().any():
        raise StageError("the evaluation has no score", str(root / "stages" / "evaluate"))
    return float(frame["value"].iloc[0])
