"""Many attempts that ask alike as one job array: one `sbatch`, and a task for each.

What a task is to run stands in `RESULTS/arrays/ID`, which is written before the array is submitted, and its number in
the attempt's folder, so that an array whose answer was lost is found. Slurm writes each task's log through a link there
into the attempt's folder. What waits for a task of an array is a job of its own: Slurm's `aftercorr` compares ten tasks
at a time, and of one that has ended minutes ago it asks how the whole array ended.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from toolrl_cli.harness.launcher import LaunchRequest
from toolrl_cli.harness.slurm.script import LOG, job_arguments
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.store.files import explained, make_folder, read_json, write_json
from toolrl_cli.store.ledger import StageFolder

FOLDER, TASKS, PLACE = "arrays", "tasks.json", "array.json"


@dataclass(frozen=True)
class Task:
    """One attempt of an array.

    Attributes:
        index: its number.
        request: the attempt.
    """

    index: int
    request: LaunchRequest


@dataclass(frozen=True)
class Place:
    """Where an attempt stands in an array that it may have been submitted in.

    Attributes:
        array: the array's id, its jobs' comment.
        name: their name.
        index: the attempt's number.
    """

    array: str
    name: str
    index: int

    @classmethod
    def of(cls, attempt_dir: Path) -> Place | None:
        """The last one; None where there is none."""
        found = read_json(attempt_dir / PLACE)
        return cls(str(found["array"]), str(found["name"]), int(found["index"])) if found else None


def grouped(
    requests: Iterable[LaunchRequest], asks: Callable[[LaunchRequest], object], most: int
) -> list[list[Task]]:
    """The attempts that may be one array each, in groups; a group of one may not.

    Args:
        requests: attempts that could all be submitted now.
        asks: what an attempt asks of the queue.
        most: numbers go from 0 to less than this.
    """
    groups: dict[object, list[Task]] = {}
    seen: Counter[object] = Counter()
    for request in requests:
        jobs = inputs(request)
        if any("_" in job for job in jobs):
            groups[request.id] = [Task(0, request)]
            continue
        key = (request.spec.kind, asks(request), jobs)
        group, index = divmod(seen[key], most)
        seen[key] += 1
        groups.setdefault((key, group), []).append(Task(index, request))
    return list(groups.values())


def inputs(request: LaunchRequest) -> tuple[str, ...]:
    """The jobs that an attempt waits for."""
    return tuple(sorted(str(handle["job"]) for handle in request.after))


def dependency(tasks: Sequence[Task]) -> str:
    """The value of `--dependency` for an array; empty for none."""
    jobs = inputs(tasks[0].request)
    return f"afterok:{':'.join(jobs)}" if jobs else ""


def numbers(tasks: Sequence[Task]) -> str:
    """The value of `--array`: `0-3,7`."""
    spans = []
    for _, group in groupby(enumerate(task.index for task in tasks), key=lambda pair: pair[1] - pair[0]):
        span = [index for _, index in group]
        spans.append(str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}")
    return ",".join(spans)


def written(tasks: Sequence[Task], settings: SlurmSettings) -> tuple[Path, Place]:
    """Write down what an array is; its folder, and the place of its first task.

    Raises:
        LedgerError: the file system refuses.
    """
    first = tasks[0].request
    called = f"{first.spec.id}+{len(tasks) - 1}"
    array, name = f"{called}.{secrets.token_hex(4)}", f"{first.spec.kind}:{called}"
    folder = StageFolder(first.stage_dir).results / FOLDER / array
    make_folder(folder)
    listed = {}
    for task in tasks:
        request = task.request
        place = {"array": array, "name": name, "index": task.index}
        write_json(request.attempt_dir / PLACE, place, durable=False)
        with explained(folder):
            log = os.path.relpath(request.attempt_dir.absolute() / LOG, folder.absolute())
            (folder / str(task.index)).symlink_to(log)
        listed[str(task.index)] = {"stage": request.spec.id, "argv": job_arguments(request, settings)}
    write_json(folder / TASKS, {"array": array, "tasks": listed})
    return folder, Place(array, name, tasks[0].index)
