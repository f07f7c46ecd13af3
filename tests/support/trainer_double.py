"""Stands in for verl's trainer: the same files in the same order, and faults at a step of choice.

It shares no code with what reads those files. As verl does, it opens `VERL_FILE_LOGGER_PATH` for writing anew,
goes on from `latest_checkpointed_iteration.txt`, and writes nothing atomically.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--save-every", type=int, default=1)
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--fault", default="")
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--micro-batch", type=int, default=1)
    parser.add_argument("--fits", type=int, default=1, help="largest micro-batch that memory has room for")
    options = parser.parse_args()
    done = resume_from(options.checkpoints)
    with Path(os.environ["VERL_FILE_LOGGER_PATH"]).open("wb", buffering=0) as log:
        for step in range(done + 1, options.steps + 1):
            time.sleep(options.step_seconds)
            if options.micro_batch > options.fits:
                fail("oom", options.checkpoints, log.fileno())
            loss: float | None = 1.0 / step
            if options.fault == "nan" and step >= options.at:
                loss = None
            elif step == options.at:
                fail(options.fault, options.checkpoints, log.fileno())
            row = {"step": step, "data": {"actor/pg_loss": loss, "reward/total/mean": 0.1 * step}}
            log.write(json.dumps(row).encode() + b"\n")
            print(f"step:{step} - actor/pg_loss:{loss}", flush=True)
            if step % options.save_every == 0 or step == options.steps:
                save(options.checkpoints, step)


def resume_from(checkpoints: Path) -> int:
    tracker = checkpoints / "latest_checkpointed_iteration.txt"
    if not tracker.exists():
        return 0
    step = int(tracker.read_text())
    for name in ("model", "optim", "extra_state"):
        with zipfile.ZipFile(
            checkpoints / f"global_step_{step}/actor/{name}_world_size_1_rank_0.pt"
        ) as shard:
            shard.read("archive/data.pkl")
    return step


def save(checkpoints: Path, step: int) -> None:
    actor = checkpoints / f"global_step_{step}" / "actor"
    (actor / "huggingface").mkdir(parents=True, exist_ok=True)
    for name in ("model", "optim", "extra_state"):
        archive(actor / f"{name}_world_size_1_rank_0.pt")
    (actor / "huggingface" / "config.json").write_text('{"architectures": ["Double"]}')
    (actor / "fsdp_config.json").write_text('{"FSDP_version": 2, "world_size": 1}')
    archive(actor.parent / "data.pt")
    (checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}.")


def fail(fault: str, checkpoints: Path, log: int) -> None:
    if fault == "crash":
        raise RuntimeError("the double was told to crash")
    if fault == "oom":
        sys.exit(f'Traceback (most recent call last):\n  File "double.py", line 1, in step\n{OOM}')
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        time.sleep(1000)
    if fault == "ignore-sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
    if fault == "disk-full":
        raise OSError(28, "No space left on device", str(checkpoints))
    if fault == "orphan":
        subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(1000)"], start_new_session=True
        )
    if (
        fault == "tear"
    ):  # the newest checkpoint loses its end, the metrics their last line, and the power is off
        newest = max(checkpoints.glob("global_step_*"), key=lambda path: int(path.name.rpartition("_")[2]))
        shard = newest / "actor" / "optim_world_size_1_rank_0.pt"
        shard.write_bytes(shard.read_bytes()[:-30])
        (checkpoints / "latest_checkpointed_iteration.txt").write_text("")
        os.write(log, b'{"step": 4, "da')
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
