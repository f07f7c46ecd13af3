from __future__ import annotations

import pytest

from tests.report.builder import Tree
from toolrl_cli.report.arms import Arm, collect_arms
from toolrl_cli.report.drawing.curves import LENGTH, TOTAL, CurveReader, panels_of, part_panel
from toolrl_cli.report.sources.saved_sweeps import read_sweep
from toolrl_cli.report.statistics.seeds import seed_mean


def arms_of(tree: Tree) -> list[Arm]:
    return collect_arms([read_sweep(tree.write(), "demo")])


def test_a_curve_is_the_mean_over_seeds_at_each_step(tree: Tree) -> None:
    for seed in (1, 2, 3):
        rows = {step: {"reward/total/mean": float(step * seed)} for step in (1, 2, 3)}
        tree.sweep().run("a", seed).metrics(rows)
    found = CurveReader().curve(arms_of(tree)[0], TOTAL)
    assert found is not None
    assert (found.steps, found.mean, found.seeds, found.runs) == ((1, 2, 3), (2.0, 4.0, 6.0), (3, 3, 3), 3)
    assert found.half_width[1] == pytest.approx(seed_mean([2.0, 4.0, 6.0]).half_width)


def test_where_a_seed_ends_early_the_curve_says_how_many_are_left(tree: Tree) -> None:
    for seed, steps in ((1, 4), (2, 2)):
        tree.sweep().run("a", seed).metrics({s: {"reward/total/mean": 1.0} for s in range(1, steps + 1)})
    found = CurveReader().curve(arms_of(tree)[0], TOTAL)
    assert found is not None
    assert (found.seeds, found.runs) == ((2, 2, 1, 1), 2)


def test_a_later_attempt_replaces_the_steps_it_trained_again(tree: Tree) -> None:
    run = tree.sweep().run("a")
    run.metrics({s: {"reward/total/mean": 0.0} for s in (1, 2, 3)}, attempt=1)
    run.metrics({s: {"reward/total/mean": 5.0} for s in (3, 4)}, attempt=2)
    found = CurveReader().curve(arms_of(tree)[0], TOTAL)
    assert found is not None and found.mean == (0.0, 0.0, 5.0, 5.0)


def test_values_that_are_not_finite_leave_a_gap(tree: Tree) -> None:
    rows = {
        1: {"reward/total/mean": 1.0},
        2: {"reward/total/mean": float("nan")},
        3: {"reward/total/mean": 2.0},
    }
    tree.sweep().run("a").metrics(rows)
    found = CurveReader().curve(arms_of(tree)[0], TOTAL)
    assert found is not None and found.steps == (1, 3)


def test_an_arm_that_logged_nothing_has_no_curve(tree: Tree) -> None:
    tree.sweep().run("raw", train=())
    tree.sweep().run("a").running("rl", 0)
    assert [CurveReader().curve(arm, LENGTH) for arm in arms_of(tree)] == [None, None]


def test_panels_follow_from_what_was_logged(tree: Tree) -> None:
    tree.sweep().run("a").learned(-1, 2)
    plain = [p.title for p in panels_of(arms_of(tree), CurveReader())]
    assert plain == [
        "Total reward",
        "Format reward",
        "Correctness reward",
        "Response length",
        "Validation reward",
    ]
    run = tree.sweep().run("b", reward="length").learned(-1, 2, length=True)
    run.metrics({1: {"val-core/toolworld/acc/mean@1": 0.5, "reward/my_part/weighted/mean": 1.0}}, attempt=2)
    more = [p.title for p in panels_of(arms_of(tree), CurveReader())]
    assert {"My part reward", "Validation accuracy"} <= set(more)


def test_a_run_without_the_plugins_metrics_still_has_its_total(tree: Tree) -> None:
    tree.sweep().run("a").metrics({1: {"critic/score/mean": 0.5}})
    assert CurveReader().curve(arms_of(tree)[0], TOTAL) is not None


def test_each_stage_is_read_once(tree: Tree) -> None:
    from toolrl_cli.store.metrics import merge_metrics

    tree.sweep().run("a").learned(-1, 2)
    seen = []

    def read(path):  # type: ignore[no-untyped-def]
        seen.append(path)
        return merge_metrics(path)

    reader = CurveReader(read)
    (arm,) = arms_of(tree)
    for panel in (*panels_of([arm], reader), part_panel("format", raw=True)):
        assert reader.curve(arm, panel) is not None
    assert len(seen) == 1
    assert reader.metric(arm.runs[0].training[0], "actor/entropy")[3] == 1.0
    assert reader.metric(arm.runs[0].training[0], "no/such") == {}
