from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.report.builder import RunTree, Tree
from toolrl_cli.report.arms import Arm, collect_arms
from toolrl_cli.report.drawing import answers
from toolrl_cli.report.drawing.curves import CurveReader, panels_of, rl_stage
from toolrl_cli.report.drawing.panels import LENGTH, TOTAL, part_panel
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


def test_what_a_function_returned_beside_its_value_has_a_panel_behind_the_parts(tree: Tree) -> None:
    names = ("raw", "weight", "weighted", "style", "acc")
    row = {f"reward/judged/{name}/mean": 0.5 for name in names} | {"reward/total/mean": 0.5}
    tree.sweep().run("a").metrics({1: row | {"val-aux/own/judged/acc/mean@1": 0.5}})
    panels = panels_of(arms_of(tree), CurveReader())
    assert [panel.title for panel in panels] == [TOTAL.title, "Judged reward", "Judged: acc", "Judged: style"]


def test_a_validation_metric_that_not_all_answers_have_is_no_curve(tree: Tree) -> None:
    row = {"val-aux/own/judged/style/mean@1": 0.5, "val-aux/own/judged/style/mean@2": 0.7}
    run = tree.sweep().run("a")
    run.metrics({1: row | {"val-aux/own/total/mean@2": 1.0}, 2: {"val-aux/own/judged/style/mean@2": 0.7}})
    (arm,) = arms_of(tree)
    series = CurveReader().series(rl_stage(arm.runs[0]))
    assert series == {"val-reward/judged/style/mean": {2: 0.7}, "val-reward/total/mean": {1: 1.0}}


def test_the_validation_of_the_step_that_a_stopped_training_went_on_from_is_no_point(tree: Tree) -> None:
    rows = {step: {"val-aux/own/total/mean@1": 1.0, "reward/total/mean": 1.0} for step in (0, 5, 8, 10, 12)}
    tree.sweep().run("a").metrics(rows)
    stage = rl_stage(arms_of(tree)[0].runs[0])
    assert stage is not None
    planned = replace(stage.spec, config={"rl": {"validate_every": 5}}, total_steps=12)
    series = CurveReader().series(replace(stage, spec=planned))
    assert [*series["val-reward/total/mean"]] == [0, 5, 10, 12]
    assert [*series["reward/total/mean"]] == [*rows]


def test_of_a_part_without_weight_what_it_would_earn_is_drawn(tree: Tree) -> None:
    logged = {"exact": (0.0, 0.4), "format": (0.7, 1.0)}
    row = {f"reward/{part}/weighted/mean": weighted for part, (weighted, _) in logged.items()}
    row |= {f"reward/{part}/raw/mean": raw for part, (_, raw) in logged.items()}
    tree.sweep().run("a").metrics({1: row, 2: row})
    panels = {p.title: p.metrics for p in panels_of(arms_of(tree), CurveReader())}
    assert panels["Format reward"] == ("reward/format/weighted/mean",)
    assert panels["Exact reward"] == ("reward/exact/raw/mean",)


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
        "Validation reward",
        "Total reward",
        "Format reward",
        "Correctness reward",
        "Response length",
    ]
    run = tree.sweep().run("b", reward="length").learned(-1, 2, length=True)
    run.metrics({1: {"val-core/toolworld/acc/mean@1": 0.5, "reward/my_part/weighted/mean": 1.0}}, attempt=2)
    more = [p.title for p in panels_of(arms_of(tree), CurveReader())]
    assert {"My part reward", "Validation accuracy"} <= set(more)


def test_a_run_without_the_plugins_metrics_still_has_its_total(tree: Tree) -> None:
    tree.sweep().run("a").metrics({1: {"critic/score/mean": 0.5}})
    assert CurveReader().curve(arms_of(tree)[0], TOTAL) is not None


def answered(run: RunTree, step: int, *right: bool, attempt: int = 1) -> None:
    """Write a validation dump of answers, exact or not."""
    gold = '<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>'
    path = run.directory("rl") / f"attempts/{attempt}/validation/{step}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"output": gold if one else "no", "gts": gold, "uid": f"{k}_0_0"} for k, one in enumerate(right)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_exact_match_of_validation_answers_comes_first_for_it_is_common_to_all_rewards(tree: Tree) -> None:
    for arm, right in (("original", (True, False)), ("coarse", (True, True))):
        run = tree.sweep().run(arm, reward=arm).learned(-1, 2)
        answered(run, 0, False, False)
        answered(run, 25, *right)
    reader, arms = CurveReader(), arms_of(tree)
    first = panels_of(arms, reader)[0]
    assert first.title == "Exact match" and "2 validation answers" in first.notes[0]
    found = [reader.curve(arm, first) for arm in arms]
    assert [(c.steps, c.mean) for c in found if c] == [((0, 25), (0.0, 50.0)), ((0, 25), (0.0, 100.0))]


def test_where_tags_are_special_tokens_answers_are_not_matched_and_the_report_says_why(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(tree.sweep().run("a").learned(-1, 2), 0, True)
    monkeypatch.setattr(answers, "lost_tags", lambda stage: ("<tool_call>",))
    reader = CurveReader()
    assert panels_of(arms_of(tree), reader)[0].title == "Validation reward"
    assert "<tool_call> for special" in next(iter(reader.answers.faults.values()))


def test_more_validations_than_there_is_room_for_are_thinned_evenly_and_said(tree: Tree) -> None:
    run = tree.sweep().run("a").learned(-1, 2)
    for step in range(0, 25, 5):
        answered(run, step, True)
    reader = CurveReader()
    size = (run.directory("rl") / "attempts/1/validation/0.jsonl").stat().st_size
    reader.answers.room = 3 * size
    panel = panels_of(arms_of(tree), reader)[0]
    assert "only some validations" in panel.notes[-1]
    found = reader.curve(arms_of(tree)[0], panel)
    assert found is not None and found.steps == (0, 10, 20)


def test_rewards_that_differ_share_an_axis_only_in_percent_of_their_own_range(tree: Tree) -> None:
    tree.sweep().run("a").metrics({25: {"reward/total/mean": 4.0, "reward/format/weighted/mean": 0.5}})
    tree.sweep().run("b", reward="equal_max").metrics(
        {25: {"reward/total/mean": 2.0, "reward/format/weighted/mean": 0.5}}
    )
    reader, arms = CurveReader(), arms_of(tree)
    total, form = panels_of(arms, reader)
    assert total.unit == "% of own range" and "−3 to 4 (original); −1 to 2 (equal_max)" in total.notes[-1]
    found = [reader.curve(arm, total) for arm in arms]
    assert [c.mean for c in found if c] == [(100.0,), (100.0,)]
    assert form.unit == "reward, 0 to 1" and not form.notes
    assert panels_of(arms[:1], reader)[0].unit == "reward, −3 to 4"


def test_a_schedule_is_scaled_by_the_range_of_each_step_and_both_ends_are_said(tree: Tree) -> None:
    rows = {step: {"reward/total/mean": 4.0} for step in (1, 25)}
    for reward in ("original", "dynamic"):
        tree.sweep().run(reward, reward=reward).metrics(rows)
    reader, arms = CurveReader(), arms_of(tree)
    (total,) = panels_of(arms, reader)
    assert "at first and" in total.notes[-1] and "at the end (dynamic)" in total.notes[-1]
    assert [c.mean for arm in arms if (c := reader.curve(arm, total))] == [(100.0, 100.0), (100.0, 100.0)]


def test_one_schedule_over_unlike_numbers_of_steps_is_scaled_and_said(tree: Tree) -> None:
    ramp = {"kind": "linear", "unit": "share", "until": 1, "from": 1, "to": 2}
    reward = {"components": {"format": {"kind": "format", "weight": ramp}}}
    for arm, steps in (("short", 25), ("long", 50)):
        tree.sweep().run(arm, reward=reward, steps=steps).metrics({25: {"reward/total/mean": 1.5}})
    reader, arms = CurveReader(), arms_of(tree)
    (total,) = panels_of(arms, reader)
    assert total.unit == "% of own range" and "unlike numbers of steps" in total.notes[0]
    assert [c.mean for arm in arms if (c := reader.curve(arm, total))] == [(75.0,), (100.0,)]
    assert panels_of(arms[:1], reader)[0].unit == "reward"


def test_a_reward_of_unknown_range_is_drawn_in_its_own_units_and_said_so(tree: Tree) -> None:
    for reward in ("original", "mine"):
        tree.sweep().run(reward, reward=reward).metrics({1: {"reward/total/mean": 9.0}})
    reader, arms = CurveReader(), arms_of(tree)
    (total,) = panels_of(arms, reader)
    assert total.unit == "reward, own units" and "the range of mine is unknown" in total.notes[-1]
    assert [c.mean for arm in arms if (c := reader.curve(arm, total))] == [(9.0,), (9.0,)]


def test_each_stage_is_read_once(tree: Tree) -> None:
    from toolrl_cli.store.progress.metrics import merge_metrics

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
