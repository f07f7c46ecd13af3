"""The dress rehearsal of the paper's Tables 1 to 3, from the shipped sweep file to the printed tables, on a CPU.

The whole of it takes some ten minutes on two cores, so without TOOLRL_E2E=whole one of the seven settings stands for
all, GRPO's, with one item a category; SFT and PPO have tests of their own. With the released rows and questions where
a checkout of them lies beside the repository, else with small rows in their form; with BFCL where bfcl-eval is in
pytest's cache or can be had, else with ToolWorld's questions.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.test_own_models import make_model
from toolrl_cli.datasets import toolworld
from toolrl_cli.datasets.evaluators import EVALUATORS, bring
from toolrl_cli.datasets.released import released_folder
from toolrl_cli.datasets.verl_rows import rl_row, write_parquet
from toolrl_cli.errors import SpecError
from toolrl_cli.report.sources.saved_sweeps import read_sweep
from toolrl_cli.spec.sweeps.profiles.rehearsal import ITEMS
from toolrl_cli.spec.sweeps.reading.source import read_yaml
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.scores import SCORES

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared/data"
REAL = (SHARED / "toolrl").is_dir()
BENCHMARKS = ["api_bank", "bamboogle"] if REAL else ["toolworld"]
SWEEP = ROOT / "sweeps/table1_2_3.yaml"
ARMS = read_yaml(SWEEP).data["arms"]
LIMIT = ITEMS
if os.environ.get("TOOLRL_E2E") != "whole":
    ARMS = {name: ARMS[name] for name in ("grpo-cold",)}
    LIMIT = 1
SMALL = {
    # whole prompts have more tokens in a tokenizer of bytes, and answers of a random model never end
    "rl": ["max_prompt_length=2048", "max_response_length=16", "allow_cut_gold=true", "rollouts=2"],
    "sft": ["max_length=2048", "allow_cut_gold=true"],
    "evaluation": [
        *("max_prompt_length=16384", "max_response_length=16", "allow_cut_gold=true", f"limit={LIMIT}"),
        *("bamboogle.search=documents", "bamboogle.judge=null"),
    ],
}


def made_rows(folder: Path) -> Path:
    """Some of ToolWorld's rows in files named and shaped as those of the release."""
    folder.mkdir()
    rows = toolworld.generate("train", 0, 64)
    sft = [{"instruction": e.system, "input": e.user, "output": e.answer} for e in rows[:32]]
    (folder / "rlla_sft.json").write_text(json.dumps(sft), encoding="utf-8")
    for name, part in (("train", rows[:48]), ("test", rows[48:])):
        made = [
            rl_row(e.system, e.user, e.answer, data_source="rlla", index=i, extra={})
            for i, e in enumerate(part)
        ]
        write_parquet(made, folder / f"{name}.parquet")
    return folder


def toolrl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "toolrl_cli", *arguments, "--results", "results"],
        cwd=folder,
        env={**os.environ, "WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=1800,  # a hang; never a measure of speed
        check=False,
    )


@dataclass(frozen=True)
class Rehearsed:
    """Where it was, what the sweep said, its benchmarks, and why BFCL is not among them."""

    folder: Path
    said: subprocess.CompletedProcess[str]
    benchmarks: list[str]
    without_bfcl: str


def bfcl_fault(kept: Path, results: Path) -> str:
    """Why bfcl-eval is not below a results root; empty where it is."""
    try:
        shutil.copytree(bring(EVALUATORS["bfcl"], kept), released_folder("bfcl", results), symlinks=True)
    except SpecError as error:
        return f"bfcl-eval cannot be had here: {error.what}"
    return ""


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Rehearsed:
    folder = tmp_path_factory.mktemp("rehearsal")
    without = bfcl_fault(pytestconfig.rootpath / ".pytest_cache/evaluators/bfcl", folder / "results")
    benchmarks = [*([] if without else ["bfcl"]), *(BENCHMARKS if REAL or without else [])]
    (folder / "model").mkdir()
    make_model(folder / "model", "llama", positions=32_768)
    (folder / "documents").mkdir()
    (folder / "documents/a.txt").write_text("Citibank was founded in 1812.", encoding="utf-8")
    rows = SHARED / "toolrl" if REAL else made_rows(folder / "rows")
    for name in BENCHMARKS if REAL else ():
        source = released_copy(name, folder / f"{name}-copy")
        assert toolrl(folder, "data", "prepare", name, "--from", str(source)).returncode == 0
    sets = [
        *("models=[./model]", f"evaluate={json.dumps(benchmarks)}", f"data.path={rows}"),
        f"arms={json.dumps(ARMS)}",
        *(f"{block}.{value}" for block, values in SMALL.items() for value in values),
    ]
    said = toolrl(
        *(folder, "sweep", str(SWEEP), "--profile", "rehearsal", "--max-parallel", "2"),
        *(x for s in sets for x in ("--set", s)),
    )
    return Rehearsed(folder, said, benchmarks, without)


def released_copy(name: str, folder: Path) -> Path:
    """The released files of a benchmark under their released names."""
    folder.mkdir()
    names = {"bamboogle.json": "data.json"}
    for file in (SHARED / name).iterdir():
        (folder / names.get(file.name, file.name)).write_bytes(file.read_bytes())
    return folder


def test_every_setting_comes_to_a_row_and_the_tables_say_that_they_mean_nothing(rehearsed: Rehearsed) -> None:
    folder, said = rehearsed.folder, rehearsed.said
    assert said.returncode == 0, said.stderr[-4000:]
    sweep = read_sweep(folder / "results", "table1_2_3-rehearsal")
    assert tuple(run.arm.removeprefix("model-") for run in sweep.runs) == tuple(ARMS)
    for run in sweep.runs:
        assert [e.benchmark for e in run.evaluations] == rehearsed.benchmarks
        assert all(e.stage.status == "succeeded" and not e.problem for e in run.evaluations), run.id
    assert " ".join(said.stdout.split()).count("These numbers mean nothing.") == 3
    assert "there is no GPU here" in said.stderr + said.stdout


def test_bfcl_comes_to_its_columns(rehearsed: Rehearsed) -> None:
    if rehearsed.without_bfcl:
        pytest.skip(rehearsed.without_bfcl)
    for run in read_sweep(rehearsed.folder / "results", "table1_2_3-rehearsal").runs:
        (scored,) = (e for e in run.evaluations if e.benchmark == "bfcl")
        values = {name: scored.metrics[name].value for name in ("live", "non_live_ast", "irrelevance")}
        assert all(value is not None for value in values.values()), (run.id, scored.metrics)


def test_no_limit_was_shortened_and_no_stage_is_one_of_the_sweep_itself(rehearsed: Rehearsed) -> None:
    folder = rehearsed.folder
    specs = [f.spec() for f in Ledger(folder / "results").folders()]
    assert specs and all(spec.identity["rehearsal"] is True for spec in specs)
    assert {spec.total_steps for spec in specs if spec.kind in ("sft", "rl")} == {2}
    for spec in specs:
        if spec.kind == "evaluate":
            path = folder / "results/stages/evaluate" / spec.id / "output" / SCORES.name
            sampling = json.loads(path.read_text(encoding="utf-8"))["sampling"]
            assert (sampling["limit"], sampling["max_prompt_length"]) == (LIMIT, 16384)
