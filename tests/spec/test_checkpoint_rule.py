"""`checkpoint: best` changes what is exported after RL, and nothing before."""

from __future__ import annotations

from collections.abc import Callable

from tests.spec.conftest import FixedFacts
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import Run

Resolve = Callable[..., list[Run]]
SWEEP = """
name: s
base: {preset: tiny_grpo, train: [sft, rl]}
evaluate: [toolworld]
"""


def chain(resolve: Resolve, facts: FixedFacts, *sets: str) -> list[StageSpec]:
    (run,) = resolve(SWEEP, *sets)
    return run_stages(run.spec, facts)


def test_without_a_word_the_last_checkpoint_is_exported_under_the_same_id(
    resolve: Resolve, facts: FixedFacts
) -> None:
    plain = chain(resolve, facts)
    assert [s.id for s in chain(resolve, facts, "checkpoint=last")] == [s.id for s in plain]
    exports = [s.identity for s in plain if s.kind == "export"]
    assert exports == [{"checkpoint": "last", "format": "huggingface", "dtype": "fp32"}] * 3


def test_an_export_in_bf16_keeps_the_identity_that_it_had_before_fp32_was_told_apart(
    resolve: Resolve, facts: FixedFacts
) -> None:
    exports = [s for s in chain(resolve, facts, "precision=bf16") if s.kind == "export"]
    assert [s.identity for s in exports] == [{"checkpoint": "last", "format": "huggingface"}] * 3
    assert {s.config["dtype"] for s in exports} == {"bf16"}


def test_the_best_changes_the_export_after_rl_and_what_reads_it_alone(
    resolve: Resolve, facts: FixedFacts
) -> None:
    plain, best = chain(resolve, facts), chain(resolve, facts, "checkpoint=best")
    changed = [b.kind for a, b in zip(plain, best, strict=True) if a.id != b.id]
    assert changed == ["export", "evaluate"]
    assert best[-2].config["checkpoint"] == "best"


def test_of_the_best_it_is_identity_which_steps_there_are_to_choose_from(
    resolve: Resolve, facts: FixedFacts
) -> None:
    best = chain(resolve, facts, "checkpoint=best")
    other = chain(resolve, facts, "checkpoint=best", "rl.save_every=1")
    assert best[-2].id != other[-2].id
    assert [s.id for s in best[:-2]] == [s.id for s in other[:-2]]
