"""Benchmarks that are known, and those that can be run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS, why_blocked
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import Run

TEXT = "name: s\nbase: {preset: tiny_grpo, train: []}\nevaluate: [toolworld, bfcl, api_bank, bamboogle]\n"


def test_the_protocol_named_is_the_one_that_scores_carry() -> None:
    scores, _ = score(BENCHMARKS.get("toolworld"), (), ())
    assert scores["protocol"] == "exact-match" == BENCHMARKS.get("toolworld").protocol


def test_the_paper_s_benchmarks_are_planned_and_those_without_a_runner_blocked(
    resolve: Callable[..., list[Run]], facts: FixedFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "bamboogle has no runner in this version of toolrl"
    monkeypatch.setattr(BENCHMARKS.get("bamboogle"), "why_not_run", why)
    (run,) = resolve(TEXT)
    stages = {s.identity.get("benchmark"): s for s in run_stages(run.spec, facts)}
    assert {why_blocked(stages[name]) for name in ("toolworld", "api_bank", "bfcl")} == {None}
    assert why_blocked(stages["bamboogle"]) == why
    assert all(why_blocked(s) is None for s in run_stages(run.spec, facts) if s.kind != "evaluate")


@pytest.mark.parametrize("name", ["bfcl", "api_bank", "bamboogle"])
def test_a_stage_without_a_runner_names_its_protocol_and_claims_no_data(
    resolve: Callable[..., list[Run]], facts: FixedFacts, name: str
) -> None:
    (run,) = resolve(TEXT)
    (stage,) = [s for s in run_stages(run.spec, facts) if s.identity.get("benchmark") == name]
    assert stage.identity["protocol"] == BENCHMARKS.get(name).protocol
    assert "data" not in stage.identity and "data" not in stage.config


def test_the_protocol_of_bamboogle_is_the_evaluation_s_and_of_no_other_benchmark_s(
    resolve: Callable[..., list[Run]], facts: FixedFacts
) -> None:
    plain, judged = (
        {s.identity.get("benchmark"): s for s in run_stages(resolve(TEXT, *sets)[0].spec, facts)}
        for sets in ((), ("evaluation.bamboogle.judge.model=gpt-4o",))
    )
    assert plain["bamboogle"].identity["protocol"] == "bamboogle, Serper, matching words"
    assert judged["bamboogle"].identity["protocol"] == "bamboogle"
    assert {name for name in plain if plain[name].id != judged[name].id} == {"bamboogle"}
