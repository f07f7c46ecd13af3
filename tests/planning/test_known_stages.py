"""A renamed copy of a model trains nothing anew: stages keep the id that they were first given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from toolrl_cli.planning.fingerprints import LocalFacts
from toolrl_cli.planning.layout import make_plan
from toolrl_cli.planning.plan import Plan
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.store.ledger import Ledger

SWEEP = "name: s\nbase: {preset: tiny_grpo, train: [sft, rl]}\nmodels: [%s]\nevaluate: [toolworld]\n"
Planned = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    for name in ("first", "copy"):
        write_model(tmp_path / name)

    def plan(*models: str) -> Plan:
        (tmp_path / "s.yaml").write_text(SWEEP % ", ".join(models))
        runs = resolve_sweep(read_sweep(tmp_path / "s.yaml")).runs
        return make_plan("s", runs, LocalFacts(), ledger)

    return plan


def note(ledger: Ledger, plan: Plan) -> list[str]:
    """Write down what the stages are, as starting them does."""
    for stage in plan.stages.values():
        ledger.folder(stage.spec).path.mkdir(parents=True, exist_ok=True)
        ledger.folder(stage.spec).write_spec(stage.spec)
    return list(plan.stages)


def test_a_copy_under_another_name_is_the_stages_that_are_there(planned: Planned, ledger: Ledger) -> None:
    before = note(ledger, planned("./first"))
    assert len(before) == 5 and "first-sft-s1" in before[0]
    again = planned("./copy")
    assert list(again.stages) == before
    assert str(again.stages[before[0]].spec.config["model"]["path"]).endswith("/copy")
    assert list(planned("./first").stages) == before


def test_two_names_of_one_model_in_one_sweep_are_one_chain(planned: Planned, ledger: Ledger) -> None:
    plan = planned("./first", "./copy")
    assert len(plan.runs) == 2 and len(plan.stages) == 5
    assert list(plan.stages) == list(planned("./first").stages)


def test_results_that_two_names_have_already_stay_two(planned: Planned, ledger: Ledger) -> None:
    first = note(ledger, planned("./first"))
    head = first[0]
    twin = ledger.at("sft", head.replace("first", "copy"))
    shutil.copytree(ledger.at("sft", head).path, twin.path)
    assert next(iter(planned("./copy").stages)) == twin.id
    assert next(iter(planned("./first").stages)) == head


def test_another_stage_whose_hash_is_equal_by_chance_is_not_taken(planned: Planned, ledger: Ledger) -> None:
    head = note(ledger, planned("./first"))[0]
    spec = ledger.at("sft", head).path / "spec.json"
    spec.write_text(spec.read_text().replace('"seed": 1', '"seed": 2'))
    assert next(iter(planned("./copy").stages)) == head.replace("first", "copy")


def test_a_model_with_another_end_token_is_another_chain(
    planned: Planned, ledger: Ledger, tmp_path: Path
) -> None:
    before = note(ledger, planned("./first"))
    (tmp_path / "copy" / "generation_config.json").write_text('{"eos_token_id": 5}')
    assert not set(planned("./copy").stages) & set(before)
