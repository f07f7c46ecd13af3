"""The tiny model that comes with the package: what it is, and how it was made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.fingerprints import LocalFacts
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.training.models.folder_check import check_model_folder
from toolrl_cli.training.models.model_folder import folder_of

ROOT = Path(__file__).resolve().parents[2]


def test_its_files_are_those_that_were_recorded_and_nothing_else() -> None:
    folder = folder_of("toolrl:tiny_base")
    assert folder is not None
    check_model_folder(folder)
    made = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    assert {name: digest for name, digest in files.items() if name != "made.json"} == made["sha256"]


def test_the_shipped_sweep_makes_it_from_the_settings_that_were_recorded() -> None:
    folder = folder_of("toolrl:tiny_base")
    assert folder is not None
    made = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    (run,) = resolve_sweep(read_sweep(ROOT / made["by"].split()[-1])).runs
    trained, exported, _ = run_stages(run.spec, LocalFacts())
    assert json.loads(json.dumps(trained.identity)) == made["identity"]
    assert exported.config["dtype"] == "fp32"


def test_a_sweep_that_names_it_trains_no_base_and_says_the_same_on_every_machine(tmp_path: Path) -> None:
    sweep = tmp_path / "a.yaml"
    sweep.write_text("name: a\nbase: {preset: tiny_grpo, model: tiny_base}\nevaluate: [toolworld]\n")
    (run,) = resolve_sweep(read_sweep(sweep)).runs
    rl, *_ = run_stages(run.spec, LocalFacts())
    assert rl.kind == "rl" and rl.id == "grpo-tiny-original-s1-14a084d025"


def test_another_name_is_refused_with_the_one_there_is() -> None:
    for path in ("toolrl:tiny", "toolrl:../models/tiny_base", "toolrl:"):
        with pytest.raises(SpecError, match=r"no such model comes with toolrl.*toolrl:tiny_base"):
            folder_of(path)
