"""The caption tells which checkpoints a table really shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.report.builder import Tree
from tests.support.configs import whole_config
from toolrl_cli.api import frames
from toolrl_cli.errors import SpecError
from toolrl_cli.report.api import build_report
from toolrl_cli.report.arms import collect_arms
from toolrl_cli.report.drawing.curves import CurveReader, panels_of
from toolrl_cli.report.drawing.panels import scores
from toolrl_cli.report.model import Table
from toolrl_cli.report.page_data.curves import curves_of
from toolrl_cli.report.sources.chosen_evaluation import Validation
from toolrl_cli.report.sources.results import Stage
from toolrl_cli.report.sources.saved_sweeps import read_sweep
from toolrl_cli.report.table_spec import TableSpec
from toolrl_cli.report.tables import build_table
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.files import write_json
from toolrl_cli.store.schemas import CHECKPOINT


def by_step(stage: Stage, metric: str) -> dict[int, float]:
    return {15: 1.0, 20: 2.0}


def table_of(tree: Tree, checkpoint: Any = "last", validation: Validation = by_step) -> Table:
    spec = TableSpec.model_validate(
        {
            "name": "x", "title": "X", "benchmark": "toolworld", "checkpoint": checkpoint,
            "columns": [{"name": "overall", "label": "Overall"}],
        }
    )  # fmt: skip
    root = tree.write()
    return build_table(spec, [read_sweep(root, "demo")], root, validation)


def caption(table: Table) -> list[str]:
    return [note for note in table.notes if note.startswith("Checkpoint")]


def with_exports(tree: Tree, arm: str, *checkpoints: int | str, **more: Any) -> None:
    run = tree.sweep().run(arm, checkpoints=checkpoints, **more)
    for position, checkpoint in enumerate(checkpoints):
        run.done({"overall": 0.1 * (position + 1)}, step=checkpoint)


@pytest.mark.parametrize(
    ("checkpoint", "told"),
    [
        ("last", "Checkpoint: the last of each run."),
        ("best", "Checkpoint: the best by validation of each run."),
        (20, "Checkpoint: step 20 of each run."),
    ],
)
def test_the_caption_names_the_rule_that_the_exports_followed(
    tree: Tree, checkpoint: int | str, told: str
) -> None:
    with_exports(tree, "a", checkpoint)
    with_exports(tree, "b", checkpoint, reward="coarse")
    assert caption(table_of(tree)) == [told]


def test_arms_whose_checkpoints_were_not_chosen_alike_are_named(tree: Tree) -> None:
    with_exports(tree, "a", "last")
    with_exports(tree, "b", "best", reward="coarse")
    assert caption(table_of(tree)) == [
        "Checkpoints are not chosen alike: the last of each run for a; the best by validation of each run for b."
    ]


def test_a_model_that_was_not_trained_has_no_checkpoint_to_speak_of(tree: Tree) -> None:
    tree.sweep().run("raw", train=()).done({"overall": 0.5})
    assert caption(table_of(tree)) == []
    with_exports(tree, "b", "best")
    assert caption(table_of(tree)) == ["Checkpoint: the best by validation of each run."]


@pytest.mark.parametrize(("rule", "mean"), [("last", 10.0), ("best", 20.0)])
def test_where_a_run_exported_both_the_tables_rule_chooses(tree: Tree, rule: str, mean: float) -> None:
    with_exports(tree, "a", "last", "best")
    table = table_of(tree, rule)
    assert table.rows[0].cells["overall"].mean == mean
    assert caption(table) == [
        f"Checkpoint: the {rule if rule == 'last' else 'best by validation'} of each run."
    ]


def test_a_table_of_one_step_shows_that_step_and_models_that_were_not_trained(tree: Tree) -> None:
    model = "qwen2.5-3b-instruct"
    tree.sweep().run("raw", train=(), model=model).done({"overall": 0.5})
    with_exports(tree, "b", 15, 20, model=model)
    rows = table_of(tree, {"step": 20}).rows
    assert {row.arm: row.cells["overall"].mean for row in rows} == {"raw": 50.0, "b": 20.0}


def test_steps_chosen_by_a_metric_are_told_by_the_metric(tree: Tree) -> None:
    with_exports(tree, "a", 15, 20)
    with_exports(tree, "b", 15, reward="coarse")
    assert caption(table_of(tree, {"best": "val"})) == [
        "Checkpoint: of each run, the best by val of those evaluated where it was measured."
    ]


@pytest.mark.parametrize(("at_20", "mean"), [(2.0, 20.0), (1.0, 10.0), (0.5, 10.0)])
def test_of_equally_good_checkpoints_the_earlier_one_is_shown(tree: Tree, at_20: float, mean: float) -> None:
    with_exports(tree, "a", 15, 20)
    (row,) = table_of(tree, {"best": "val"}, lambda stage, metric: {15: 1.0, 20: at_20}).rows
    assert row.cells["overall"].mean == mean


def test_a_metric_that_no_training_logged_chooses_no_checkpoint_and_is_named(tree: Tree) -> None:
    with_exports(tree, "a", 15, 20)
    with_exports(tree, "b", "last", reward="coarse")
    rewards = ({"val-reward/total/mean": value} for value in (2.0, 1.0))
    tree.sweep().runs[0].metrics(dict(zip((15, 20), rewards, strict=True)))
    reader = CurveReader()

    def shown(best: str) -> tuple[dict[str, float | None], Table]:
        table = table_of(tree, {"best": best}, reader.metric)
        return {row.arm: row.cells["overall"].mean for row in table.rows}, table

    assert shown("val-reward/total/mean")[0] == {"a": 10.0, "b": 10.0}
    means, table = shown("val-reward/totl/mean")
    assert means == {"a": None, "b": 10.0}  # of one checkpoint there is nothing to choose
    assert table.rows[0].cells["overall"].note == "none of the evaluated checkpoints has val-reward/totl/mean"
    assert table.problems == (
        "Checkpoints: no training logged 'val-reward/totl/mean' (did you mean 'val-reward/total/mean'?).",
    )


def test_the_step_of_the_best_checkpoint_is_what_its_export_says(tree: Tree) -> None:
    with_exports(tree, "a", "best")
    run = tree.sweep().runs[0]
    evaluation = read_sweep(tree.write(), "demo").runs[0].evaluations[0]
    assert (evaluation.origin.rule, evaluation.origin.step) == ("best", None)
    output = run.directory("export") / "output"
    write_json(output / CHECKPOINT.name, CHECKPOINT.stamped({"rule": "best", "step": 15}))
    evaluation = read_sweep(tree.write(), "demo").runs[0].evaluations[0]
    assert (evaluation.origin.rule, evaluation.origin.step) == ("best", 15)


def test_a_benchmark_without_a_runner_is_missing_with_that_reason_and_fails_nothing(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {name: f"{name} has no runner in this version of toolrl" for name in ("bfcl", "bamboogle")}
    monkeypatch.setattr("toolrl_cli.report.cells.why_not_run", told.get)
    benchmarks = ("bfcl", "api_bank", "bamboogle", "toolworld")
    run = tree.sweep().run("a", model="qwen2.5-3b-instruct", benchmarks=benchmarks)
    run.done({"overall": 0.5})
    built = build_report(tree.write(), ["demo"], ["T1", "T2", "T3", "toolworld"])
    notes = {t.name: {c.note for r in t.rows for c in r.cells.values()} for t in built.tables}
    for table, benchmark in (("T1", "bfcl"), ("T3", "bamboogle")):
        assert f"missing: {benchmark} has no runner in this version of toolrl" in notes[table]
    assert "not run yet" in notes["T2"]
    assert built.tables[3].rows[0].cells["overall"].mean == 50.0


def with_curve(tree: Tree, arm: str, final: float = 0.5, limit: int = 0, **more: Any) -> None:
    """A run whose start, step 10 and last step (20) are scored, under some limit of items."""
    run = tree.sweep().run(arm, checkpoints=["last"], steps=20, **more)
    rl = run.stage("rl")
    point = StageSpec(
        f"{arm}{run.seed}-step10",
        "export",
        {"checkpoint": "step", "step": 10},
        {"checkpoint": rl.id},
        whole_config("export"),
    )
    at_10, at_0 = (
        replace(run.stage("evaluate"), id=f"{arm}{run.seed}-eval-{name}", inputs=inputs)
        for name, inputs in (("10", {"model": point.id}), ("0", dict(rl.inputs)))
    )
    run.done({"overall": final}, sampling=f"limit {limit}")
    own = run.stages.pop()
    for stage, value in ((at_0, 0.1), (at_10, 0.3), (own, final)):
        run.stages += [point, stage] if stage is at_10 else [stage]
        run.done({"overall": value}, sampling=f"limit {limit}")


@pytest.mark.parametrize("model", ["tiny", "qwen2.5-3b-instruct"])
def test_points_of_a_curve_never_take_the_place_of_the_run_s_own_result(tree: Tree, model: str) -> None:
    with_curve(tree, "a", model=model)
    for rule, mean in (("last", 50.0), ("best", 50.0), ({"step": 10}, 30.0), ({"best": "m"}, 50.0)):
        (row,) = table_of(tree, rule).rows
        assert row.cells["overall"].mean == mean, rule


def test_a_curve_of_scores_begins_at_the_start_and_ends_with_the_result(tree: Tree) -> None:
    with_curve(tree, "a")
    with_exports(tree, "b", "last", reward="coarse")
    arms = collect_arms([read_sweep(tree.write(), "demo")])
    reader = CurveReader()
    panel = panels_of(arms, reader)[0]
    assert (panel.title, panel.unit) == ("toolworld score", "% of items")
    curve, other = (reader.curve(arm, panel) for arm in arms)
    assert curve is not None and (curve.steps, curve.mean) == ((0, 10, 20), (10.0, 30.0, 50.0))
    assert other is None


def test_curves_of_arms_scored_differently_say_so(tree: Tree) -> None:
    with_curve(tree, "a", limit=1)
    with_curve(tree, "b", limit=1, reward="coarse")
    root = tree.write()
    assert panels_of(collect_arms([read_sweep(root, "demo")]), CurveReader())[0].notes == ()
    with_curve(tree, "c", limit=9, reward="length")
    arms = collect_arms([read_sweep(tree.write(), "demo")])
    told = (
        "toolworld score: arms were scored differently (sampling: limit 1 / limit 9) and cannot be compared."
    )
    assert panels_of(arms, CurveReader())[0].notes == (told,)
    assert curves_of(arms, CurveReader())["panels"][0]["notes"] == (told,)


def test_seeds_scored_differently_have_no_curve_together_and_this_is_said(tree: Tree) -> None:
    with_curve(tree, "a", seed=1, limit=1)
    with_curve(tree, "a", seed=2, limit=9)
    tree.sweep().runs[0].learned(-1, 2)
    reader = CurveReader()
    (arm,) = collect_arms([read_sweep(tree.write(), "demo")])
    assert reader.curve(arm, scores("toolworld")) is None
    first = panels_of([arm], reader)[0]
    assert first.title == "Validation reward"
    told = "No toolworld score of a: its points were scored differently (sampling: limit 1 / limit 9)."
    assert told in first.notes


@pytest.mark.parametrize("order", [("demo", "two"), ("two", "demo")])
def test_a_training_that_two_sweeps_share_has_the_curves_that_each_scored(
    tree: Tree, order: tuple[str, str]
) -> None:
    with_curve(tree, "a")
    tree.sweep("two").run("a", steps=20)
    root, reader = tree.write(), CurveReader()
    arms = {arm.name: arm for arm in collect_arms([read_sweep(root, name) for name in order])}
    found = {name: reader.curve(arms[name], scores("toolworld")) for name in arms}
    assert found["a [two]"] is None
    curve = found["a [demo]"]
    assert curve is not None and curve.steps == (0, 10, 20)


def test_frames_have_a_curve_s_scores_with_their_steps(tree: Tree) -> None:
    with_curve(tree, "a")
    root = tree.write()
    scores = frames.results(root)
    assert sorted(zip(scores["step"], scores["point"], scores["value"], strict=True)) == [
        (0, True, 0.1), (10, True, 0.3), (20, False, 0.5),
    ]  # fmt: skip
    curve = frames.curves(root, metrics=["toolworld/overall"])
    assert list(zip(curve["kind"], curve["step"], curve["value"], strict=True)) == [
        ("evaluate", 0, 0.1), ("evaluate", 10, 0.3), ("evaluate", 20, 0.5),
    ]  # fmt: skip
    assert frames.curves(root, metrics="toolworld/overall").equals(curve)
    with pytest.raises(
        SpecError, match=r"no run has logged 'toolworld/overal'.*did you mean 'toolworld/overall'"
    ):
        frames.curves(root, metrics=["toolworld/overall", "toolworld/overal"])


def test_a_metric_that_a_run_may_log_yet_is_an_empty_frame(tree: Tree) -> None:
    run = tree.sweep().run("a").running("rl", 3).metrics({3: {"actor/loss": 1.0}})
    assert frames.curves(tree.write(), metrics=["val-reward/total/mean"]).empty
    run.done({"overall": 0.5})
    with pytest.raises(SpecError, match="no run has logged 'val-reward/total/mean'"):
        frames.curves(tree.write(), metrics=["val-reward/total/mean"])


def test_a_frame_of_curves_knows_what_the_report_calls_a_metric(tree: Tree) -> None:
    run = tree.sweep().run("a")
    assert frames.curves(tree.write(), metrics=["val-reward/total/mean"]).empty  # nothing is logged yet
    run.metrics({5: {"val-aux/toolworld/total/mean@1": 0.5, "actor/loss": 1.0}})
    frame = frames.curves(tree.root, "demo", "val-reward/total/mean")
    assert frame[["step", "metric", "value"]].values.tolist() == [[5, "val-reward/total/mean", 0.5]]
    assert set(frames.curves(tree.root)["metric"]) == {"val-aux/toolworld/total/mean@1", "actor/loss"}
