"""From result trees to computed tables: complete, half done, failed, torn, mixed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.report.model import Cell, Table
from toolrl_cli.report.sources.results import Stage
from toolrl_cli.report.sources.saved_sweeps import read_sweep
from toolrl_cli.report.statistics.seeds import seed_mean
from toolrl_cli.report.table_spec import SPECS, TableSpec, load_table
from toolrl_cli.report.tables import build_table


def no_validation(stage: Stage, metric: str) -> Mapping[int, float]:
    raise AssertionError("no metric is needed")


def table_of(root: Path, spec: TableSpec | str = "toolworld", *sweeps: str, validation: Any = None) -> Table:
    loaded = load_table(spec) if isinstance(spec, str) else spec
    read = [read_sweep(root, name) for name in sweeps or ("demo",)]
    return build_table(loaded, read, root, validation or no_validation)


def cells(table: Table, column: str = "overall") -> dict[str, Cell]:
    return {row.arm: row.cells[column] for row in table.rows}


def spec_with(**changes: Any) -> TableSpec:
    base = {
        "name": "mine",
        "title": "Mine",
        "benchmark": "toolworld",
        "columns": [{"name": "overall", "label": "Overall"}],
        "precision": 1,
    }
    return TableSpec.model_validate({**base, **changes})


@pytest.mark.parametrize("seeds", range(1, 11))
def test_a_cell_is_the_mean_over_seeds_with_an_interval_from_three_on(tree: Tree, seeds: int) -> None:
    shares = [0.4 + 0.01 * s for s in range(seeds)]
    for seed, share in enumerate(shares):
        tree.sweep().run("grpo", seed).done({"overall": share})
    cell = cells(table_of(tree.write(), spec_with(precision=4)))["grpo"]
    known = seed_mean([100 * s for s in shares])
    assert (cell.n, cell.planned) == (seeds, seeds)
    assert cell.mean == round(known.mean, 4)
    assert cell.ci == (None if seeds < 3 else round(known.half_width or 0, 4))
    assert cell.values == pytest.approx([100 * s for s in shares])


def test_arms_stand_in_the_order_of_the_sweep_with_every_column(tree: Tree) -> None:
    for arm in ("raw", "sft", "grpo"):
        train = {"raw": (), "sft": ("sft",), "grpo": ("rl",)}[arm]
        tree.sweep().run(arm, train=train).done(toolworld_scores(0.5))
    table = table_of(tree.write())
    assert [row.arm for row in table.rows] == ["raw", "sft", "grpo"]
    assert [h.name for h in table.columns] == [
        "seen_tools",
        "unseen_tools",
        "parallel",
        "irrelevance",
        "overall",
    ]
    assert cells(table, "seen_tools")["raw"].mean == 56.0


def test_a_raw_models_one_evaluation_is_not_counted_once_a_seed(tree: Tree) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("raw", seed, train=()).done(toolworld_scores(0.3))
    cell = cells(table_of(tree.write()))["raw"]
    assert (cell.n, cell.planned, cell.ci) == (1, 1, None)
    assert cell.note == "3 seeds share one evaluation: nothing in it depends on the seed"
    assert cell.sources[0].runs == ("raw-seed1", "raw-seed2", "raw-seed3")


@pytest.mark.parametrize(
    ("status", "state", "note"),
    [
        ("pending", "–", "not run yet"),
        ("queued", "queued", ""),
        ("running", "running", ""),
        ("stopped", "stopped", ""),
        ("failed", "failed: unknown", ""),
    ],
)
def test_an_arm_without_scores_shows_its_state(tree: Tree, status: str, state: str, note: str) -> None:
    run = tree.sweep().run("grpo")
    if status != "pending":
        run.state("rl", status)
    cell = cells(table_of(tree.write()))["grpo"]
    assert cell.mean is None
    assert cell.state.startswith(state)
    assert cell.note == note


def test_a_running_arm_shows_its_step_and_a_failed_one_its_class(tree: Tree) -> None:
    tree.sweep().run("a").running("rl", 12)
    tree.sweep().run("b", reward="coarse").failed("rl", "oom", "CUDA out of memory\nmore")
    tree.sweep().run("c", reward="length").state("evaluate", "running")
    found = cells(table_of(tree.write()))
    assert found["a"].state == "running 12/25"
    assert found["b"].state == "failed: oom"
    assert found["b"].note == "failed: oom (CUDA out of memory)"
    assert found["c"].state == "running evaluate"


def test_a_half_done_arm_has_the_mean_of_what_there_is_and_says_what_is_missing(tree: Tree) -> None:
    for seed in (1, 2, 3, 4):
        run = tree.sweep().run("grpo", seed)
        if seed < 3:
            run.done({"overall": 0.5})
        elif seed == 3:
            run.failed("rl", "diverged")
        else:
            run.running("rl", 5)
    cell = cells(table_of(tree.write(), spec_with()))["grpo"]
    assert (cell.mean, cell.n, cell.planned, cell.ci) == (50.0, 2, 4, None)
    assert cell.note == "2 of 4: 1 failed: diverged, 1 running 5/25"


def test_of_several_states_the_gravest_stands_in_the_cell(tree: Tree) -> None:
    tree.sweep().run("grpo", 1).running("rl", 5)
    tree.sweep().run("grpo", 2).failed("rl", "oom")
    tree.sweep().run("grpo", 3)
    cell = cells(table_of(tree.write()))["grpo"]
    assert cell.state == "failed: oom"
    assert cell.note == "0 of 3: 1 running 5/25, 1 failed: oom, 1 not run yet"


def test_torn_scores_mark_the_cell_and_nothing_else(tree: Tree) -> None:
    run = tree.sweep().run("a").done(toolworld_scores(0.5))
    tree.sweep().run("b", reward="coarse").done(toolworld_scores(0.4))
    (run.directory("evaluate") / "output" / "scores.json").write_text('{"metrics": {"over')
    found = cells(table_of(tree.write()))
    assert found["a"].state == "unreadable"
    assert "scores.json is not valid JSON" in found["a"].note
    assert found["b"].mean == 40.0


def test_a_share_outside_zero_to_one_is_unreadable(tree: Tree) -> None:
    tree.sweep().run("a").done({"overall": 55.0})
    cell = cells(table_of(tree.write(), spec_with()))["a"]
    assert (cell.mean, cell.state) == (None, "unreadable")


def test_a_column_the_benchmark_could_not_give_is_not_available(tree: Tree) -> None:
    tree.sweep().run("a").done({"overall": None})
    tree.sweep().run("b", reward="coarse").done({"other": 0.3})
    found = cells(table_of(tree.write(), spec_with()))
    assert (found["a"].state, found["a"].note) == ("n/a", "n/a: needs live web APIs")
    assert found["b"].note == "scores.json has no 'overall'"


def test_an_arm_that_was_not_asked_says_so(tree: Tree) -> None:
    tree.sweep().run("a", benchmarks=("bfcl",)).done(bfcl_scores(0.4), "bfcl")
    assert cells(table_of(tree.write()))["a"].note == "not evaluated on toolworld"


def test_seeds_scored_under_different_protocols_are_not_averaged(tree: Tree) -> None:
    tree.sweep().run("a", 1).done({"overall": 0.5}, protocol="v1")
    tree.sweep().run("a", 2).done({"overall": 0.6}, protocol="v2")
    cell = cells(table_of(tree.write(), spec_with()))["a"]
    assert (cell.mean, cell.state) == (None, "mixed")
    assert cell.note == "seeds scored differently (protocol: v1 / v2)"
    assert len(cell.sources) == 2


def test_the_items_error_is_known_only_where_every_seed_has_counts(tree: Tree) -> None:
    tree.sweep().run("a", 1).done({"overall": (5, 10)})
    assert cells(table_of(tree.write(), spec_with()))["a"].sampling is not None
    tree.sweep().run("a", 2).done({"overall": 0.6})
    cell = cells(table_of(tree.write(), spec_with()))["a"]
    assert (cell.n, cell.sampling) == (2, None)


def test_a_seed_without_a_value_parts_no_others_by_how_it_was_scored(tree: Tree) -> None:
    tree.sweep().run("a", 1).done({"overall": 0.5}, protocol="v1")
    tree.sweep().run("a", 2).done({"overall": None}, protocol="v2")
    cell = cells(table_of(tree.write(), spec_with()))["a"]
    assert (cell.mean, cell.n, cell.planned) == (50.0, 1, 2)


def test_rows_scored_differently_are_shown_and_not_compared(tree: Tree) -> None:
    tree.sweep().run("a").done({"overall": 0.5}, data_fingerprint="one")
    tree.sweep().run("b", reward="coarse").done({"overall": 0.6}, data_fingerprint="two")
    table = table_of(tree.write(), spec_with())
    assert [c.mean for c in cells(table).values()] == [50.0, 60.0]
    assert not any(c.best for c in cells(table).values())
    assert table.problems == (
        "Overall: rows were scored differently (data_fingerprint: one / two) and are not compared.",
    )


def test_columns_scored_alike_differently_share_a_line_and_no_seeds_are_blamed(tree: Tree) -> None:
    for arm, protocol in (("base", "one"), ("other", "two")):
        for seed in (1, 2, 3):
            tree.sweep().run(arm, seed, reward=arm).done(
                {"x": 0.5, "y": 0.4 + 0.01 * seed}, protocol=protocol
            )
    columns = [{"name": n, "label": n.upper()} for n in "xy"]
    table = table_of(tree.write(), spec_with(columns=columns, baseline="base"))
    assert table.problems == (
        "X, Y: rows were scored differently (protocol: one / two) and are not compared.",
    )
    assert any("nowhere have it and another row, scored alike, 3 seeds each" in n for n in table.notes)


def test_what_a_column_lacks_is_told_apart_from_what_the_evaluation_waits_for(tree: Tree) -> None:
    for seed in (1, 2, 3):
        run = tree.sweep().run("a", seed)
        if seed < 3:
            run.done({"x": 0.5, "y": None})
        else:
            run.failed("rl", "oom")
    columns = [{"name": n, "label": n.upper()} for n in "xy"]
    found = table_of(tree.write(), spec_with(columns=columns)).rows[0].cells
    assert found["x"].notes == ("2 of 3: 1 failed: oom",)
    assert found["y"].notes == ("2 of 3: 1 failed: oom", "n/a: needs live web APIs")
    assert found["y"].state == "failed: oom"


def test_without_any_spread_nothing_is_said_of_what_could_be_missed(tree: Tree) -> None:
    for arm, share in {"a": 0.5, "b": 0.6}.items():
        for seed in (1, 2, 3):
            tree.sweep().run(arm, seed, reward=arm).done({"overall": share})
    table = table_of(tree.write(), spec_with(primary="overall"))
    assert not any("missed more often" in note for note in table.notes)


@pytest.mark.parametrize("arms", [("a", "b"), ("b", "a")])
def test_of_equally_common_numbers_of_seeds_the_smallest_says_what_can_be_found(
    tree: Tree, arms: tuple[str, str]
) -> None:
    for arm in arms:
        for seed in range(3 if arm == "a" else 5):
            tree.sweep().run(arm, seed, reward=arm).done({"overall": 0.5 + 0.01 * seed})
    table = table_of(tree.write(), spec_with(primary="overall"))
    assert any(note.startswith("With 3 seeds an arm, true differences") for note in table.notes)


def test_the_highest_mean_is_best_and_the_next_second_whatever_their_spread(tree: Tree) -> None:
    arms = {"far": (0.2, 0.01), "near": (0.59, 0.001), "top": (0.60, 0.01), "noisy": (0.5, 0.29)}
    for arm, (share, spread) in arms.items():
        for seed in (-1, 0, 1):
            tree.sweep().run(arm, seed, reward=arm).done({"overall": share + spread * seed})
    table = table_of(tree.write(), spec_with())
    assert {a for a, c in cells(table).items() if c.best} == {"top"}
    assert {a for a, c in cells(table).items() if c.second} == {"near"}


@pytest.mark.parametrize(("seeds", "lost"), [(1, 0), (2, 0), (4, 1)])
def test_few_seeds_or_a_lost_one_earn_no_mark(tree: Tree, seeds: int, lost: int) -> None:
    for arm, share in (("a", 0.6), ("b", 0.5), ("c", 0.4)):
        for seed in range(seeds if arm == "a" else 3):
            run = tree.sweep().run(arm, seed, reward=arm)
            if arm == "a" and seed < lost:
                run.failed("rl", "oom")
            else:
                run.done({"overall": share})
    found = cells(table_of(tree.write(), spec_with()))
    assert [(c.best, c.second) for c in found.values()] == [(False, False), (True, False), (False, True)]


def best_of_three(tree: Tree, shares: Mapping[str, float], **changes: Any) -> dict[str, Cell]:
    for arm, share in shares.items():
        for seed in (1, 2, 3):
            tree.sweep().run(arm, seed, reward=arm).done({"overall": share})
    return cells(table_of(tree.write(), spec_with(**changes)))


def test_all_that_equal_the_second_as_printed_are_second(tree: Tree) -> None:
    found = best_of_three(tree, {"top": 0.6, "x": 0.5, "y": 0.50004, "z": 0.4})
    assert {a for a, c in found.items() if c.second} == {"x", "y"}


def test_where_lower_is_better_the_lowest_is_best(tree: Tree) -> None:
    found = best_of_three(tree, {"a": 0.5, "b": 0.4}, direction="lower")
    assert found["b"].best and not found["a"].best


def test_a_column_without_direction_and_a_lone_row_have_no_best(tree: Tree) -> None:
    tree.sweep().run("a").done({"overall": 0.5})
    assert not cells(table_of(tree.write(), spec_with()))["a"].best
    tree.sweep().run("b", reward="coarse").done({"overall": 0.4})
    assert not cells(table_of(tree.write(), spec_with(direction="none")))["a"].best


def test_where_all_are_equal_none_is_best(tree: Tree) -> None:
    for seeds, arm in ((3, "a"), (7, "b"), (9, "c")):
        for seed in range(seeds):
            tree.sweep().run(arm, seed, reward=arm).done({"overall": (16, 18)})
    assert not any(c.best or c.second for c in cells(table_of(tree.write(), spec_with())).values())


def test_a_count_is_not_turned_into_a_percentage(tree: Tree) -> None:
    tree.sweep().run("a").done({"calls": 1.63})
    column = {"name": "calls", "label": "Calls", "unit": "count", "direction": "none", "precision": 2}
    assert cells(table_of(tree.write(), spec_with(columns=[column])), "calls")["a"].mean == 1.63


def stars(tree: Tree, gap: float, seeds: int, **changes: Any) -> Table:
    for arm, share in {"base": 0.4, "other": 0.4 + gap}.items():
        for seed in range(seeds):
            right = round(1000 * share) + 10 * (seed % 3)
            run = tree.sweep().run(arm, seed, reward=arm).done({"overall": (right, 1000)})
            run.items({"": {f"i{k}": k < right for k in range(1000)}})
    return table_of(tree.write(), spec_with(baseline="base", **changes))


ROWS = [{"name": n, "label": n, "where": {"reward": n}} for n in ("base", "other")]


@pytest.mark.parametrize("rows", ["arms", ROWS])
@pytest.mark.parametrize("test", ["seeds", "items"])
def test_a_clear_difference_from_the_baseline_is_starred_and_named_in_the_notes(
    tree: Tree, rows: Any, test: str
) -> None:
    table = stars(tree, 0.3, 3, rows=rows, test=test)
    assert [c.star for c in cells(table).values()] == [False, True]
    told = next(n for n in table.notes if n.startswith("*"))
    assert "differs from base" in told
    assert "Holm's correction over the 1 comparisons" in told


def test_no_star_without_a_difference_and_none_with_two_seeds(tree: Tree) -> None:
    assert not any(c.star for c in cells(stars(tree, 0.001, 3)).values())


@pytest.mark.parametrize("test", ["seeds", "items"])
def test_two_seeds_earn_no_star_however_large_the_difference(tree: Tree, test: str) -> None:
    table = stars(tree, 0.4, 2, test=test)
    assert not any(c.star for c in cells(table).values())
    assert any(note.startswith("No test against base") for note in table.notes)


def test_a_model_that_no_seed_changes_is_tested_as_it_is(tree: Tree) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("grpo", seed).done({"overall": 0.6 + 0.01 * seed})
        tree.sweep().run("raw", seed, train=()).done({"overall": 0.3})
    table = table_of(tree.write(), spec_with(baseline="grpo"))
    found = cells(table)
    assert (found["raw"].n, found["raw"].star, found["grpo"].best, found["raw"].best) == (
        1,
        True,
        True,
        False,
    )
    assert not any("fewer than 3 seeds" in note for note in table.notes)


def test_correction_over_the_table_takes_a_star_that_one_test_would_give(tree: Tree) -> None:
    rewards = {"base": 0.400, "x": 0.426, **{f"same{k}": 0.401 for k in range(20)}}
    for arm, share in rewards.items():
        for seed, offset in enumerate((-0.01, 0.0, 0.01)):
            tree.sweep().run(arm, seed, reward=arm).done({"overall": share + offset})
    root = tree.write()
    many = cells(table_of(root, spec_with(baseline="base")))
    few = cells(table_of(root, spec_with(baseline="base", filter={"arm": ["base", "x"]})))
    assert few["x"].star and not many["x"].star


def grouped(tree: Tree) -> Table:
    for model in ("m1", "m2"):
        for reward in ("original", "coarse"):
            share = 0.5 if (model, reward) == ("m2", "coarse") else 0.4
            for seed in (1, 2, 3):
                run = tree.sweep().run(f"{model}-{reward}", seed, model=model, reward=reward)
                run.done({"overall": share})
    rows = [{"name": n, "label": n.title(), "where": {"reward": n}} for n in ("original", "coarse", "length")]
    return table_of(tree.write(), spec_with(rows=rows, group_by="model"))


def test_groups_hold_every_declared_row_and_have_their_own_best(tree: Tree) -> None:
    table = grouped(tree)
    found = cells(table)
    assert table.groups == ["m1", "m2"]
    assert list(found) == [f"{m} / {r}" for m in ("m1", "m2") for r in ("Original", "Coarse", "Length")]
    assert found["m1 / Length"].note == "not in these sweeps"
    assert {a for a, c in found.items() if c.best} == {"m2 / Coarse"}


def test_where_a_row_is_empty_scored_arms_that_fit_none_are_named(tree: Tree) -> None:
    spec = spec_with(
        rows=[{"name": n, "label": n.title(), "where": {"reward": n}} for n in ("original", "coarse")],
        filter={"train": "rl"},
    )
    tree.sweep().run("a").done({"overall": 0.5})
    tree.sweep().run("b", reward="coarse_2").done({"overall": 0.5})
    tree.sweep().run("c", train=("sft",)).done({"overall": 0.5})
    tree.sweep().run("waits", reward="coarse_3")
    assert table_of(tree.write(), spec).problems == (
        "Row 'coarse' fits no arm: none has reward coarse (did you mean 'coarse_3'?).",
        "In no row, though scored on toolworld: b, c.",
    )
    tree.sweep().run("d", reward="coarse").done({"overall": 0.5})
    assert table_of(tree.write(), spec).problems == ()


UNMET = [
    ({"filter": {"model": "tiny-base-x"}}, "The filter fits no arm: none has model tiny-base-x ("),
    ({"group_by": "evaluation.temprature"}, "group_by fits no arm: evaluation.temprature: unknown key 'temprature'"),
    ({"rows": [{"name": "a", "label": "A", "where": {"evaluation.temprature": 0.7}}]},
     "Row 'a' fits no arm: evaluation.temprature: unknown key 'temprature' (did you mean 'temperature'?)"),
    ({"rows": [{"name": "a", "label": "A", "where": {"arm": "nosuch"}}]}, "Row 'a' fits no arm: none has arm nosuch ("),
    ({"columns": [{"name": "overal", "label": "O"}]},
     "Column 'overal': no scores of toolworld have 'overal' (did you mean 'overall'?)."),
    ({"columns": [{"name": "overall", "label": "O", "categories": ["paralel"]}]},
     "Column 'overall': toolworld has no category 'paralel' (did you mean 'parallel'?)."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), UNMET, ids=[told for _, told in UNMET])
def test_what_a_table_asks_for_and_nothing_has_is_named(
    tree: Tree, changes: dict[str, Any], told: str
) -> None:
    tree.sweep().run("a").done({"overall": 0.5})
    assert table_of(tree.write(), spec_with(**changes)).problems[0].startswith(told)
    assert (
        table_of(tree.write(), spec_with(group_by="data.limit.train")).problems == ()
    )  # a setting that none sets


def test_a_copy_of_a_shipped_table_is_one_s_own_though_it_keeps_the_name(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("a").done({"overall": 0.5})
    path, shipped = tmp_path / "toolworld.yaml", (SPECS / "toolworld.yaml").read_text()
    path.write_text(shipped)
    assert table_of(tree.write(), str(path)).problems == ()
    path.write_text(shipped + "filter: {reward: orignal}\n")
    told = "The filter fits no arm: none has reward orignal (did you mean 'original'?)."
    assert told in table_of(tree.write(), str(path)).problems
    path.write_text(shipped.replace("name: parallel", "name: overal"))
    told = "Column 'overal': no scores of toolworld have 'overal' (did you mean 'overall'?)."
    assert told in table_of(tree.write(), str(path)).problems


def test_two_arms_that_fit_one_row_are_not_averaged(tree: Tree) -> None:
    tree.sweep().run("a", algorithm="grpo").done({"overall": 0.5})
    tree.sweep().run("b", algorithm="ppo").done({"overall": 0.6})
    rows = [{"name": "original", "label": "Original", "where": {"reward": "original"}}]
    cell = cells(table_of(tree.write(), spec_with(rows=rows)))["Original"]
    assert (cell.mean, cell.state) == (None, "ambiguous")
    assert cell.note == "2 arms fit this row: a, b"


def test_the_filter_keeps_only_arms_that_meet_it(tree: Tree) -> None:
    tree.sweep().run("a", algorithm="grpo").done({"overall": 0.5})
    tree.sweep().run("b", algorithm="ppo").done({"overall": 0.6})
    assert list(cells(table_of(tree.write(), spec_with(filter={"algorithm": "ppo"})))) == ["b"]


def test_two_sweeps_fill_one_table(tree: Tree) -> None:
    tree.sweep("one").run("a", 1).done({"overall": 0.5})
    tree.sweep("two").run("a", 2).done({"overall": 0.6})
    assert cells(table_of(tree.write(), spec_with(), "one", "two"))["a"].n == 2


def test_a_run_that_two_sweeps_share_counts_once(tree: Tree) -> None:
    tree.sweep("one").run("a", 1).done({"overall": 0.5})
    tree.sweep("two").run("a", 1)
    cell = cells(table_of(tree.write(), spec_with(), "one", "two"))["a"]
    assert (cell.n, cell.note, cell.sources[0].runs) == (1, "", ("a-seed1",))


def checkpoints(tree: Tree) -> Path:
    run = tree.sweep().run("a", checkpoints=(15, 90, 60))
    for step, share in ((15, 0.3), (60, 0.5), (90, 0.4)):
        run.done({"overall": share}, step=step)
    return tree.write()


@pytest.mark.parametrize(
    ("rule", "mean"),
    [
        ("last", 40.0),
        ({"step": 60}, 50.0),
        ({"step": 61}, None),
        ({"best": "val"}, 50.0),
        ({"best": "val", "direction": "lower"}, 30.0),
        ({"best": "no such metric"}, None),
    ],
)
def test_the_checkpoint_rule_chooses_the_evaluation(tree: Tree, rule: Any, mean: float | None) -> None:
    curve = {"val": {15: 0.1, 60: 0.9, 90: 0.9}}
    table = table_of(
        checkpoints(tree), spec_with(checkpoint=rule), validation=lambda stage, metric: curve.get(metric, {})
    )
    cell = cells(table)["a"]
    assert cell.mean == mean
    if mean is None:
        told = {61: "the checkpoint of step 61 was not evaluated"}
        assert cell.note == told.get(rule.get("step"), "none of the evaluated checkpoints has no such metric")


def test_notes_keep_the_benchmarks_own_error_apart_from_the_seeds(tree: Tree) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("a", seed).done(toolworld_scores(0.5 + 0.02 * seed))
        tree.sweep().run("b", seed, reward="coarse").done(toolworld_scores(0.3 + 0.02 * seed))
    table = table_of(tree.write())
    cell = cells(table)["a"]
    assert cell.sampling == pytest.approx(6.8, abs=0.1)
    assert cell.ci is not None and cell.ci != cell.sampling
    assert any(n.startswith("Not in ±: the benchmark's own sampling error") for n in table.notes)
    assert any("missed more often than 1 time in 5" in n for n in table.notes)


def test_the_error_of_each_column_is_told_where_two_have_one_label(tree: Tree) -> None:
    tree.sweep().run("a").done({"x": (30, 50), "y": (300, 500)})
    columns = [{"name": n, "label": "Acc"} for n in "xy"]
    notes = table_of(tree.write(), spec_with(columns=columns)).notes
    assert any("at most Acc ±13.1, Acc ±4.3;" in note for note in notes), notes


def test_every_value_keeps_where_it_comes_from(tree: Tree) -> None:
    run = tree.sweep().run("a", 7).done(toolworld_scores(0.5)).items({"parallel": {"i": True}})
    root = tree.write()
    (source,) = cells(table_of(root))["a"].sources
    assert (source.runs, source.seeds, source.step) == (("a-seed7",), (7,), 25)
    assert source.stage == run.stage("evaluate").id
    assert source.trained == run.stage("rl").id
    assert (root / source.items).is_file()


@pytest.mark.parametrize(("value", "whole"), [(0.6, True), (0.6004, True), (0.8, False), (0.62, False)])
def test_a_share_that_is_not_its_counts_is_unreadable(tree: Tree, value: float, whole: bool) -> None:
    run = tree.sweep().run("a").done({"overall": (30, 50)})
    path = run.directory("evaluate") / "output" / "scores.json"
    scores = json.loads(path.read_text())
    scores["metrics"]["overall"]["value"] = value
    path.write_text(json.dumps(scores))
    cell = cells(table_of(tree.write(), spec_with()))["a"]
    assert (cell.state == "unreadable") is not whole
    assert whole or f"{value} is not 30 of 50" in cell.note


def by_seed(tree: Tree, **changes: Any) -> dict[str, tuple[float | None, int]]:
    """Row → mean and n; the seeds 1, 2, 3 of a have 10, 20, 30 %, and b's have 40, 50, 60."""
    for place in range(6):
        run = tree.sweep().run("ab"[place // 3], place % 3 + 1, reward=["original", "coarse"][place // 3])
        run.done({"overall": (place + 1) / 10})
    table = table_of(tree.write(), spec_with(**changes))
    assert table.problems == ()
    return {name: (cell.mean, cell.n) for name, cell in cells(table).items()}


def test_a_filter_of_seeds_shows_those_seeds_alone(tree: Tree) -> None:
    assert by_seed(tree, filter={"seed": 2}) == {"a": (20.0, 1), "b": (50.0, 1)}
    assert by_seed(Tree(tree.root), filter={"seed": [1, 3], "arm": "b"}) == {"b": (50.0, 2)}


def test_rows_may_be_seeds_of_one_arm(tree: Tree) -> None:
    rows = [{"name": f"a{seed}", "label": f"A{seed}", "where": {"arm": "a", "seed": seed}} for seed in (1, 3)]
    assert by_seed(tree, rows=rows, filter={"arm": "a"}) == {"A1": (10.0, 1), "A3": (30.0, 1)}


def test_a_table_by_seed_has_a_block_for_each(tree: Tree) -> None:
    assert by_seed(tree, group_by="seed", filter={"seed": [1, 2]}) == {
        "1 / a": (10.0, 1), "1 / b": (40.0, 1), "2 / a": (20.0, 1), "2 / b": (50.0, 1)
    }  # fmt: skip


def test_a_seed_that_no_run_has_is_named_with_those_that_there_are(tree: Tree) -> None:
    for seed in (1, 2):
        tree.sweep().run("a", seed).done({"overall": 0.5})
    table = table_of(tree.write(), spec_with(filter={"seed": 7}))
    assert table.rows == ()
    assert table.problems == ("The filter fits no arm: none has seed 7 (valid values: 1, 2).",)
