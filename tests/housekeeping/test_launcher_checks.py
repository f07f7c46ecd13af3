"""The probe of `toolrl doctor --launcher`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_ray import TOKEN, FakeRay, fake_ray
from tests.support.fake_slurm import install
from tests.support.stages import ROOT
from toolrl_cli.attempt.environment import describe_environment
from toolrl_cli.errors import SpecError
from toolrl_cli.harness.ray import view
from toolrl_cli.harness.slurm import launcher as launcher_module
from toolrl_cli.housekeeping.health import launcher_checks
from toolrl_cli.housekeeping.health.launcher_checks import check_launcher
from toolrl_cli.planning.loading import launcher_sections
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.files import make_folder, write_json
from toolrl_cli.store.ledger import Ledger

GOOD: dict[str, Any] = {
    **{"host": "n1", "asked": "probe-1", "lock": "held", "link": "", "devices": None, "gpus": [], "hub": ""},
    **{"clock": 0.0, "scratch": {"folder": "/scratch", "free": 1 << 40}},
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "cluster"
    monkeypatch.setenv("PATH", str(install(folder)), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setattr(launcher_module, "FRESH", 0.05)
    return folder


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    with fake_ray() as cluster:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.address)
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        monkeypatch.setattr(view, "FRESH", 0.05)
        yield cluster


@pytest.mark.parametrize("chosen", ["local", "slurm", "ray"])
def test_a_probe_goes_where_attempts_would_run_and_leaves_nothing(
    slurm: Path, ray: FakeRay, tmp_path: Path, chosen: str
) -> None:
    found = {check.name: check for check in check_launcher(chosen, tmp_path / "results", device="cpu")}
    assert {found[name].standing for name in ("shared files", "locks", "clock", "versions there")} == {"ok"}
    assert found["probe"].found.startswith("ran on ")
    assert list((tmp_path / "results").iterdir()) == []


def test_a_probe_that_does_not_start_in_time_is_cancelled_and_told(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (slurm / "hold").touch()
    *_, last = check_launcher("slurm", tmp_path / "results", wait=0.2)
    assert last.standing == "error" and "waits in the queue" in last.found
    assert "scancel --state=PENDING 1" in (slurm / "calls").read_text()


def test_the_settings_of_a_sweep_are_those_that_its_trainings_would_have(slurm: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "mine.yaml"
    kinds = "kinds: {rl: {partition: big, gpu_type: a100}, export: {partition: small}}"
    sweep.write_text(
        f"name: mine\nbase: {{preset: tiny_grpo}}\nlaunchers: {{slurm: {{poll: 0.1, {kinds}}}}}\n"
    )
    sections = launcher_sections(sweep, tmp_path / "results")
    checks = check_launcher("slurm", tmp_path / "results", of_sweep=sections, kind="rl")
    assert {check.name: check.standing for check in checks}["probe"] == "ok"
    (call,) = [line for line in (slurm / "calls").read_text().splitlines() if line.startswith("sbatch")]
    assert "--partition=big" in call and "--gres=gpu:a100:1" in call
    sweep.write_text("name: mine\nbase: {preset: tiny_grpo}\nlaunchers: {slurm: {partion: big}}\n")
    with pytest.raises(SpecError, match="unknown key 'partion' of the slurm launcher"):
        launcher_sections(sweep, tmp_path / "results")


def test_a_node_without_this_python_is_told_by_its_own_words(slurm: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("python: /nowhere/python\ndelay: 0\npoll: 0.1\n")
    *_, last = check_launcher(f"slurm:{tmp_path / 'other.yaml'}", tmp_path / "results")
    assert last.standing == "error" and "/nowhere/python: No such file or directory" in last.found


@pytest.mark.parametrize(
    ("change", "name", "standing", "told"),
    [
        ({"asked": None}, "shared files", "error", "did not see a file from here"),
        ({"lock": "free"}, "locks", "warning", "not seen there"),
        ({"lock": "No locks available"}, "locks", "warning", "No locks available"),
        ({"link": "Operation not permitted"}, "links and renames", "error", "not permitted"),
        ({"clock": 400.0}, "clock", "warning", r"+400 s"),
    ],
)
def test_each_fault_of_the_shared_files_has_a_word(
    ledger: Ledger, change: dict[str, Any], name: str, standing: str, told: str
) -> None:
    spec = StageSpec("probe-1", "export", {}, {}, {})
    folder = ledger.folder(spec)
    make_folder(folder.attempt(1))
    found = {c.name: c for c in launcher_checks._files(folder, spec, {**GOOD, **change}, 0.1)}
    assert found[name].standing == standing and told in found[name].found and found[name].fix
    (late,) = [c for c in launcher_checks._files(folder, spec, GOOD, 9.0) if c.name == "shared files"]
    assert late.standing == "warning" and "`delay`" in late.fix


def test_another_environment_there_is_an_error_with_both_versions(ledger: Ledger) -> None:
    folder = ledger.folder(StageSpec("probe-1", "export", {}, {}, {}))
    make_folder(folder.attempt(1))
    theirs = describe_environment()
    theirs["versions"] = {**theirs["versions"], "verl": "0.1"}
    write_json(folder.attempt(1) / "environment.json", theirs)
    answer = {**GOOD, "python": [3, 8, 1], "executable": "/usr/bin/python3"}
    found = {check.name: check for check in launcher_checks._machine(folder, answer)}
    assert found["Python there"].standing == found["versions there"].standing == "error"
    assert "verl 0.1, here 0.9" in found["versions there"].found
