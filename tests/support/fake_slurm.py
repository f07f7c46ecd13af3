"""Stands in for a Slurm cluster in fast tests: its programs on the PATH, jobs as processes.

`python -S fake_slurm.py PROGRAM …`; the folder `$FAKE_SLURM` is the cluster. A file `down` there makes every program
fail as without a controller, `full` has `sbatch` refuse, `hold` keeps jobs from starting, and `calls` lists the calls.
Its words are those that Slurm 22.05 was seen to print; tests/e2e has the real one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(os.environ.get("FAKE_SLURM", "."))
WAITS, RUNS = "PENDING", "RUNNING"
LONGEST_WAIT = 60.0
"""Seconds that a job waits for its turn: those of tests that hold them for ever would outlive the tests."""


def install(folder: Path) -> Path:
    """Make the programs; the folder for the PATH. `$FAKE_SLURM` has to name `folder`."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in ("sbatch", "squeue", "scontrol", "scancel", "sacct"):
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -S {Path(__file__).resolve()} {name} "$@"\n')
        path.chmod(0o755)
    return programs


@contextlib.contextmanager
def cluster() -> Iterator[dict[str, dict]]:  # type: ignore[type-arg]
    with (ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = ROOT / "jobs.json"
        jobs = json.loads(path.read_text()) if path.exists() else {}
        yield jobs
        path.write_text(json.dumps(jobs))


def fail(words: str) -> int:
    print(words, file=sys.stderr)
    return 1


def start(number: str) -> None:
    subprocess.Popen(
        [sys.executable, "-S", __file__, "run", number],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def sbatch(options: dict[str, str]) -> int:
    if (ROOT / "full").exists():
        return fail(
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: policy"
        )
    if options.get("partition") == "nowhere":
        return fail("sbatch: error: Batch job submission failed: Invalid partition name specified")
    if "test-only" in options:
        print("sbatch: Job 1 to start at 2026-01-01T00:00:00 using 1 processors", file=sys.stderr)
        return 0
    with cluster() as jobs:
        asked = len(indices(options.get("array", "0")))
        if len(jobs) + asked > int(os.environ.get("FAKE_SLURM_MOST", "1000000")):
            return fail(
                "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: policy"
            )
        number = str(1 + max((int(job.partition("_")[0]) for job in jobs), default=0))
        tasks = (
            [f"{number}_{index}" for index in indices(options["array"])] if "array" in options else [number]
        )
        script = sys.stdin.read()
        for task in tasks:
            output = options["output"].replace("%a", task.partition("_")[2])
            jobs[task] = {
                "options": {**options, "output": output},
                "state": WAITS,
                "status": 0,
                "script": script,
                "restarts": 0,
            }
    for task in tasks:
        start(task)
    print(number)
    if (ROOT / "lost").exists():  # it was submitted, and nobody hears of it
        return fail("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    return 0


def indices(spans: str) -> list[int]:
    """`0-2,7` as numbers."""
    found = []
    for span in spans.split(","):
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def waits_for(options: dict[str, str]) -> Iterator[str]:
    for wish in filter(None, options.get("dependency", "").split(",")):
        yield from wish.split(":")[1:]


def run(number: str) -> None:
    def due(jobs: dict[str, dict]) -> bool:  # type: ignore[type-arg]
        states = [jobs[other]["state"] for other in waits_for(jobs[number]["options"])]
        if any(state not in (WAITS, RUNS, "COMPLETED") for state in states):
            jobs[number]["state"] = "CANCELLED"
        return not (ROOT / "hold").exists() and all(state == "COMPLETED" for state in states)

    end = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < end:
        with cluster() as jobs:
            job = jobs[number]
            if job["state"] == WAITS and due(jobs):
                environment = {
                    **os.environ,
                    "SLURM_JOB_ID": number,
                    "SLURM_RESTART_COUNT": str(job["restarts"]),
                }
                array, _, index = number.partition("_")
                if index:
                    environment |= {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": index}
                    environment["SLURM_JOB_ID"] = str(1000 + int(index))
                if not job["restarts"]:
                    del environment["SLURM_RESTART_COUNT"]
                with Path(job["options"]["output"]).open("ab") as log:
                    child = subprocess.Popen(
                        ["bash", "-c", job["script"]],
                        env=environment,
                        cwd=job["options"]["chdir"],
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                job.update(state=RUNS, pid=child.pid)
                break
            if job["state"] != WAITS:
                return
        time.sleep(0.02)
    else:
        return
    status = os.waitpid(child.pid, 0)[1]
    with cluster() as jobs:
        job = jobs[number]
        if job["state"] == RUNS:
            job.update(state="FAILED" if status else "COMPLETED", status=status)
        again = job["state"] == WAITS
    if again:
        start(number)


def squeue(options: dict[str, str], names: list[str]) -> int:
    with cluster() as jobs:
        for number, job in jobs.items():
            if "name" in options and job["options"]["job-name"] not in options["name"].split(","):
                continue
            values = {
                **{"JobID": number, "JobArrayID": number, "State": job["state"]},
                **{"exit_code": str(job["status"]), "Reason": "None"},
                **{"Comment": job["options"]["comment"], "TimeLeft": "0:50"},
                **{"Name": job["options"].get("job-name", ""), "NodeList": "n1"},
            }
            print("|".join(values[name] for name in names))
    return 0


def scancel(options: dict[str, str], number: str) -> int:
    with cluster() as jobs:
        job = jobs[number]
        if options.get("state") == WAITS:
            if job["state"] == WAITS:
                job["state"] = "CANCELLED"
        elif job["state"] == RUNS:
            name = options.get("signal", "TERM")
            if name == "KILL":
                os.killpg(job["pid"], signal.SIGKILL)
                job.update(state="CANCELLED", status=9)
            else:
                os.kill(job["pid"], getattr(signal, f"SIG{name}"))
    return 0


def scontrol(words: list[str]) -> int:
    if words[:2] == ["show", "config"]:
        print("ClusterName             = fake\nMaxArraySize            = 1001")
        return 0
    if words[0] in ("hold", "update"):
        return 0
    with cluster() as jobs:
        job = jobs[words[1]]
        job.update(state=WAITS, restarts=job["restarts"] + 1)
        os.kill(job["pid"], signal.SIGTERM)
    return 0


def main(program: str, arguments: list[str]) -> int:
    if program == "run":
        run(arguments[0])
        return 0
    with (ROOT / "calls").open("a") as calls:
        calls.write(f"{program} {' '.join(arguments)}\n")
    if (ROOT / "down").exists():
        return fail(f"{program}: error: Unable to contact slurm controller (connect failure)")
    words = [word for word in arguments if not word.startswith("-")]
    options = dict(word[2:].partition("=")[::2] for word in arguments if word.startswith("--"))
    if program == "sbatch":
        return sbatch(options)
    if program == "squeue":
        return squeue(options, [name.partition(":")[0] for name in words[-1].split(",")])
    if program == "scancel":
        return scancel(options, words[0])
    if program == "scontrol":
        return scontrol(words)
    return fail("Slurm accounting storage is disabled")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
