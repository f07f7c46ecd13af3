"""Rows over all models and benchmarks, against SciPy's own functions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from scipy import stats

from tests.report.builder import Tree, bfcl_scores
from toolrl_cli.report.api import build_report
from toolrl_cli.report.computed import Report
from toolrl_cli.report.render import aggregates_text as render
from toolrl_cli.report.statistics.aggregate import improvement, interquartile_mean, mean_over_tasks, profile

A = [[50.0, 52.0, 57.0], [30.0, 31.0, 38.0], [70.0, 71.0, 90.0]]
B = [[49.0, 52.0, 53.0], [29.0, 33.0, 34.0], [60.0, 71.0, 72.0]]


def test_the_interquartile_mean_is_scipys_trimmed_mean_and_lies_in_its_interval() -> None:
    found = interquartile_mean(A)
    assert found.value == pytest.approx(stats.trim_mean([v for task in A for v in task], 0.25))
    assert found.low < found.value < found.high
    assert mean_over_tasks(A).value == pytest.approx(sum(sum(t) / 3 for t in A) / 3)


def test_the_chance_of_improvement_is_the_mean_of_mann_whitneys_statistics() -> None:
    known = [stats.mannwhitneyu(a, b).statistic / 9 for a, b in zip(A, B, strict=True)]
    assert improvement(A, B).value == pytest.approx(sum(known) / 3)
    assert improvement(A, A).value == pytest.approx(0.5)


def test_the_bootstrap_is_stratified_and_close_to_scipys() -> None:
    known = stats.bootstrap(
        [*A], lambda *tasks, axis: sum(t.mean(axis=axis) for t in tasks) / 3, method="percentile", rng=0,
        vectorized=True, n_resamples=4000,
    ).confidence_interval  # fmt: skip
    found = mean_over_tasks(A)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.4)
    assert mean_over_tasks([[5.0], [7.0]]).low == 6.0  # a raw model's one value


def test_a_profile_falls_from_all_to_none() -> None:
    shares = [point.value for point in profile(A, [0.0, 50.0, 60.0, 100.0])]
    assert shares == pytest.approx([1.0, 5 / 9, 3 / 9, 0.0])


@pytest.fixture
def report(tree: Tree) -> Report:
    for model in ("m1", "m2"):
        for reward, gain in (("original", 0.0), ("dynamic", 0.1), ("equal_max", 0.02)):
            for seed in (1, 2, 3):
                if (model, reward) != ("m2", "equal_max"):
                    name = f"{model}-{reward}"
                    run = tree.sweep().run(name, seed, model=model, reward=reward, benchmarks=("bfcl",))
                    run.done(bfcl_scores(0.4 + gain + 0.01 * seed), "bfcl")
    for seed in (1, 2, 3):
        run = tree.sweep().run("m3-original", seed, model="m3", benchmarks=("bfcl",))
        run.done(bfcl_scores(0.4), "bfcl")
        other = tree.sweep().run("m3-dynamic", seed, model="m3", reward="dynamic", benchmarks=("bfcl",))
        other.done(bfcl_scores(0.5), "bfcl", protocol="other")
    return build_report(tree.write(), ["demo"], ["T6"])


def test_rows_are_aggregated_over_the_tasks_that_they_share_and_the_rest_is_named(report: Report) -> None:
    (found,) = report.aggregates()
    assert [task.name for task in found.tasks] == ["m1 on T6/overall", "m2 on T6/overall"]
    assert [(row.label, row.runs) for row in found.rows] == [("Original", 6), ("Dynamic", 6)]
    dynamic = found.rows[1]
    assert dynamic.mean.value == pytest.approx(52.0) and dynamic.improvement is not None
    assert dynamic.improvement.value == 1.0 and found.rows[0].improvement is None
    assert found.left_out == (
        "m3 on T6/overall (scored differently: protocol: bfcl / other)",
        "Equal max (no three seeds on m2 on T6/overall)",
    )


def test_every_format_has_the_same_aggregates(report: Report, tmp_path: Path) -> None:
    found = report.aggregates()
    rows = json.loads(render.render(found, "json"))["aggregates"][0]["rows"]
    lines = list(csv.DictReader(io.StringIO(render.render(found, "csv"))))
    for row, line in zip(rows, lines, strict=True):
        assert all(line[key] == ("" if row[key] is None else str(row[key])) for key in render.FIELDS[1:])
        assert len(row["profile"]) == 21
        for kind in ("markdown", "latex"):
            assert f"{row['iqm']:.1f}" in render.render(found, kind)
    written = {path.name for path in report.write_report(tmp_path, figures=())}
    assert {"aggregate.json", "aggregate.md", "aggregate.tex", "aggregate.csv"} <= written
