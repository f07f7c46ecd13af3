"""Another distribution adds a benchmark, a launcher, a kind of training and a reward component: one object each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULE = """
from toolrl_cli.harness.launcher import LauncherKind
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component
from toolrl_cli.spec.evaluations.benchmarks import Benchmark, Item, Verdict
from toolrl_cli.spec.stage_config import ModelConfig
from toolrl_cli.spec.stage_kind import StageKind


class Greeting(Benchmark):
    name, protocol, categories = "greeting", "says-hello", ("politeness",)

    def items(self, data, folder=None):
        return [Item(str(n), "politeness", [{"role": "user", "content": f"Greet {n}."}]) for n in range(4)]

    def judge(self, item, reply):
        return Verdict("" if "hello" in reply.output else "no greeting")


class Counted(LocalLauncher):
    def submit(self, request):
        print("STARTED", request.stage_dir.name, flush=True)
        return super().submit(request)


COUNTED = LauncherKind("counted", lambda plan: Counted(["cpu0"]))


class NoiseConfig(ModelConfig):
    scale: float = 0.1


def make_noise(maker, run, model):
    scale = run.stages.get("noise", {}).get("scale", 0.1)
    inputs, start = maker.start(run, model)
    config = NoiseConfig(model=run.model, precision=run.precision, scale=scale)
    return [maker.stage("noise", f"noise-{run.model.name}", {**start, "scale": scale}, inputs, config)]


def run_noise(ctx):
    model = ctx.stage_dir / "output" / "model"
    model.mkdir(parents=True, exist_ok=True)
    (model / "noise.txt").write_text(str(ctx.spec.settings(NoiseConfig).scale))


NOISE = StageKind("noise", 9, "extension:run_noise", "extension:NoiseConfig", make="extension:make_noise")


class Shout(Component):
    kind = "shout"

    def raw(self, reading, fidelity, low, high):
        return high


SHOUT = ComponentKind("shout", lambda name, raw, where, base: Shout(name))
"""
POINTS = """
[toolrl.benchmarks]
greeting = extension:Greeting
[toolrl.launchers]
counted = extension:COUNTED
[toolrl.stages]
noise = extension:NOISE
[toolrl.rewards]
shout = extension:SHOUT
"""
SWEEP = """
name: extended
base: {preset: tiny_grpo, reward: {components: {format: {}, loud: {kind: shout, weight: 0.5}}}}
arms:
  raw: {train: []}
  noisy: {train: [noise], stages.noise.scale: 0.5}
evaluate: [greeting]
tables: [greeting.yaml]
"""
TABLE = """
name: greeting
title: Greetings
benchmark: greeting
columns: [{name: politeness, label: Politeness}, {name: overall, label: Overall}]
"""
# What stands in for the trainer and the model; toolrl calls it by the options that its own tests use.
DOUBLES = """
import contextlib
import functools

import httpx

import toolrl_cli.benchmarks.evaluation as real
from tests.commands.stage_functions import export, train
from toolrl_cli.benchmarks.asking.client import Client, Target


def evaluate(ctx):
    noise = ctx.inputs["model"] / "output/model/noise.txt"
    answer = "hello" if noise.exists() else "go away"
    body = {"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
    real.endpoint_of = lambda ctx: contextlib.nullcontext(Target("http://double/v1", "m"))
    real.Client = functools.partial(Client, transport=transport)
    real.run(ctx)
"""


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """A folder for `sys.path` with a module and the metadata that pip would write."""
    site = tmp_path / "site"
    info = site / "extension-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "extension.py").write_text(MODULE)
    (site / "doubles.py").write_text(DOUBLES)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extension\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    return site


def toolrl(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import functools, sys; from toolrl_cli.api import running; "
        "from toolrl_cli.commands.views.exit_status import run_guarded; from toolrl_cli.app import app; "
        "doubles = {'sft': 'doubles:train', 'rl': 'doubles:train', 'export': 'doubles:export', "
        "'evaluate': 'doubles:evaluate'}; "
        "running.Options = functools.partial(running.Options, functions=doubles); "
        "sys.exit(run_guarded(app, sys.argv[1:]))"
    )
    path = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {
        **os.environ,
        "PYTHONPATH": path,
        "TOOLRL_RESULTS": str(folder / "results"),
        "WANDB_MODE": "disabled",
    }
    argv = [sys.executable, "-c", code, *arguments]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_each_added_object_runs_to_a_table(distribution: Path, tmp_path: Path) -> None:
    (tmp_path / "extended.yaml").write_text(SWEEP)
    (tmp_path / "greeting.yaml").write_text(TABLE)
    done = toolrl(distribution, tmp_path, "sweep", "extended.yaml", "--launcher", "counted")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("STARTED noise-") == 1
    answer = toolrl(distribution, tmp_path, "report", "extended", "--json")
    (table,) = json.loads(answer.stdout)["tables"]
    cells = {row["arm"]: row["cells"] for row in table["rows"]}
    assert {arm: cells[arm]["politeness"]["mean"] for arm in cells} == {"raw": 0.0, "noisy": 100.0}
    again = toolrl(distribution, tmp_path, "sweep", "extended.yaml", "--launcher", "counted")
    assert "STARTED" not in again.stdout and again.returncode == 0


def test_an_added_component_is_scored_and_named_in_the_reward(distribution: Path, tmp_path: Path) -> None:
    (tmp_path / "loud.yaml").write_text("components: {loud: {kind: shout, weight: 0.5, range: [0, 2]}}\n")
    (tmp_path / "turn.txt").write_text("<think> a </think>\n<response> b </response>")
    found = toolrl(
        distribution, tmp_path, "reward", "explain", "turn.txt", "turn.txt", "--reward", "loud.yaml", "--json"
    )
    assert found.returncode == 0, found.stderr
    assert '"loud"' in found.stdout and "1.0" in found.stdout


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        ("", ["plan", "extended.yaml"], "unknown benchmark 'greeting'"),
        (
            POINTS.replace("extension:Greeting", "extension:Nothing"),
            ["plan", "extended.yaml"],
            "cannot be loaded",
        ),
        (POINTS.replace("greeting =", "toolworld ="), ["plan", "extended.yaml"], "is toolrl's own"),
        (POINTS, ["sweep", "extended.yaml", "--launcher", "countd"], "did you mean 'counted'?"),
    ],
)
def test_what_is_not_there_or_cannot_be_loaded_is_one_line(
    distribution: Path, tmp_path: Path, change: str, arguments: list[str], told: str
) -> None:
    (distribution / "extension-1.0.dist-info" / "entry_points.txt").write_text(change)
    (tmp_path / "extended.yaml").write_text(SWEEP.replace("tables: [greeting.yaml]\n", ""))
    answer = toolrl(distribution, tmp_path, *arguments)
    assert answer.returncode == 2
    lines = [line for line in answer.stderr.splitlines() if not line.startswith("counting the tokens")]
    assert sum(told in line for line in lines) == 1
    assert all(line.startswith("error: ") for line in lines)  # one for each thing that is not there


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("stages.noise.scal=0.5", "unknown key 'scal' of 'noise': did you mean 'scale'?"),
        ("stages.nois.scale=0.5", "'nois' is no kind of training: did you mean 'noise'?"),
        ("stages.rl.steps=5", "settings of 'rl' stand under `rl`"),
    ],
)
def test_a_setting_that_no_kind_reads_is_refused(
    distribution: Path, tmp_path: Path, setting: str, told: str
) -> None:
    (tmp_path / "extended.yaml").write_text(SWEEP.replace("tables: [greeting.yaml]\n", ""))
    answer = toolrl(distribution, tmp_path, "plan", "extended.yaml", "--set", setting)
    assert answer.returncode == 2
    assert told in answer.stderr and answer.stderr.strip().count("\n") == 0
