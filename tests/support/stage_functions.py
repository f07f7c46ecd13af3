"""What the stages of these tests do; attempts are told of them with `--function`."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

from tests.support.configs import for_double
from toolrl_cli.errors import StageError
from toolrl_cli.processes.child import run_child
from toolrl_cli.processes.nodes import Nodes
from toolrl_cli.spec.stage import StageContext
from toolrl_cli.store import files
from toolrl_cli.training.checkpointing.checkpoints import prepare_resume
from toolrl_cli.training.checkpointing.last_save import WITHIN
from toolrl_cli.training.nodes.own_ray import own_ray
from toolrl_cli.training.nodes.spread import run_over_nodes
from toolrl_cli.training.trainer import Trainer

DOUBLE = Path(__file__).with_name("trainer_double.py")


def train(ctx: StageContext) -> None:
    """Run the trainer's double; `config` may name a fault and the attempts that meet it."""
    config = for_double(ctx.spec.config)
    checkpoints = ctx.stage_dir / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    print(prepare_resume(checkpoints), flush=True)
    argv = [
        sys.executable,
        "-S",
        str(DOUBLE),
        "--checkpoints",
        str(checkpoints),
        "--steps",
        str(ctx.spec.total_steps or config["steps"]),
    ]
    argv += ["--step-seconds", str(config.get("step_seconds", 0.0))]
    if int(ctx.attempt_dir.name) in config.get("fault_in", ()):
        argv += ["--fault", config["fault"], "--at", str(config["at"])]
    if "fits" in config:
        argv += ["--micro-batch", str(config["rl"]["micro_batch"]), "--fits", str(config["fits"])]
    env = {**os.environ, "VERL_FILE_LOGGER_PATH": str(ctx.attempt_dir / "metrics.jsonl")}
    run_child(argv, env=env, stop_requested=ctx.stop_requested, grace=config.get("grace", 5.0))


def run_ray(ctx: StageContext) -> None:
    """Run a Ray driver for `config["seconds"]`."""
    argv = [sys.executable, "-m", "tests.support.ray_program", str(ctx.attempt_dir / "up")]
    run_child([*argv, str(for_double(ctx.spec.config)["seconds"])], stop_requested=ctx.stop_requested)


def run_over_ray(ctx: StageContext) -> None:
    """Run a Ray driver on all nodes of the attempt for `config["seconds"]`."""
    nodes = Nodes.given()
    options = {
        "up": ctx.attempt_dir / "up",
        "nodes": nodes.count,
        "seconds": for_double(ctx.spec.config)["seconds"],
    }
    trainer = Trainer("tests.support.nodes_program", options, "cuda", 1, torchrun=False, name="the driver")
    env = {**os.environ, **own_ray()}
    run_over_nodes(trainer, nodes, env=env, cwd=ctx.attempt_dir, stop_requested=ctx.stop_requested)


def finish(ctx: StageContext) -> None:
    """Do the least a stage can do, and read what its inputs left."""
    for folder in ctx.inputs.values():
        assert (folder / "state.json").exists()
    (ctx.stage_dir / "output").mkdir(exist_ok=True)


def sleep(ctx: StageContext) -> None:
    """Run until it is asked to stop."""
    while not ctx.stop_requested():
        time.sleep(0.01)


def tell_time_to_save(ctx: StageContext) -> None:
    """Run until it is asked to stop, and write down how long it is given to save."""
    (ctx.attempt_dir / "up").touch()
    sleep(ctx)
    (ctx.attempt_dir / "within").write_text(os.environ.get(WITHIN, "none"))
    raise InterruptedError("asked to stop")


def interrupt_when_stopped(ctx: StageContext) -> None:
    """Run until it is asked to stop, and say so as evaluations and exports do."""
    sleep(ctx)
    raise InterruptedError("asked to stop")


def raise_when_stopped(ctx: StageContext) -> None:
    """Run until it is asked to stop, and fail of something else then."""
    print("at work", flush=True)
    sleep(ctx)
    raise ValueError("no good")


def sleep_deaf(ctx: StageContext) -> None:
    """Run without ever looking whether it is asked to stop."""
    time.sleep(1000)


def raise_value_error(ctx: StageContext) -> None:
    raise ValueError("no good")


def raise_reward(ctx: StageContext) -> None:
    raise StageError("reward 'x' raised", failure_class="reward")


def fill_disk(ctx: StageContext) -> None:
    """No file may grow any more, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def fail_writes(ctx: StageContext) -> None:
    """The attempt's own files can no longer be written, for the reason in `config["errno"]`."""
    code = for_double(ctx.spec.config)["errno"]

    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    files._write_all = refuse
