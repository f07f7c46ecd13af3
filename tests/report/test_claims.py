from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.errors import SpecError
from toolrl_cli.report.api import build_report
from toolrl_cli.report.comparisons.claims import ClaimSpec, load_claims
from toolrl_cli.report.comparisons.judging import ClaimResult
from toolrl_cli.report.page_data.opening import opens_on
from toolrl_cli.report.render import claims_text as rendered
from toolrl_cli.report.statistics.seeds import Sample, compare
from toolrl_cli.report.table_spec import load_table

MINE = """\
claims:
  - name: mine
    text: Dynamic beats original.
    order: [dynamic, original]
    measure: [T6/overall]
"""


def judge(tree: Tree, path: Path | None = None) -> dict[str, ClaimResult]:
    return {r.spec.name: r for r in build_report(tree.write(), ["demo"], []).claims(path)}


def t6(
    tree: Tree, gains: dict[str, float], seeds: int = 3, models: tuple[str, ...] = ("m",), apart: int = 0
) -> None:
    """Arms on T6; `apart` is how far the seeds of one arm are from those of the next."""
    for model in models:
        for place, (reward, gain) in enumerate(gains.items()):
            for seed in range(seeds):
                run = tree.sweep().run(
                    f"{model}-{reward}",
                    seed + place * apart,
                    model=model,
                    reward=reward,
                    benchmarks=("bfcl",),
                )
                run.done(bfcl_scores(0.4 + gain + 0.01 * (seed % 3 - 1)), "bfcl", protocol="bfcl_v3")


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(0.1, "supported"), (-0.1, "contradicted"), (0.005, "undecided"), (0.0, "undecided")],
)
def test_the_interval_of_the_difference_decides(tree: Tree, gain: float, verdict: str) -> None:
    t6(tree, {"dynamic": gain, "original": 0.0})
    result = judge(tree)["dynamic_over_static"]
    assert result.verdict == verdict
    assert result.on == "bfcl"
    comparison = result.steps[0].comparison
    assert comparison is not None and comparison.difference == pytest.approx(100 * gain, abs=1e-9)


def test_an_undecided_claim_says_how_many_seeds_would_decide_it(tree: Tree) -> None:
    t6(tree, {"dynamic": 0.01, "original": 0.0}, apart=10)
    result = judge(tree)["dynamic_over_static"]
    assert result.verdict == "undecided"
    assert result.needed == 17  # TTestIndPower().solve_power(effect_size=1, alpha=.05, power=.8) is 16.7
    t6(tree, {"dynamic": 0.01, "original": 0.0}, models=("m2", "m3", "m4"), apart=10)
    assert judge(tree)["dynamic_over_static"].verdict == "supported"


def on_two_benchmarks(
    tree: Tree, seeds: Sequence[int] = (1, 2, 3), api_bank: Sequence[int] = (1, 2, 3)
) -> None:
    """GRPO 2 points above GRPO from SFT; a seed that is good on one benchmark is as good on the other."""
    for arm, train, share in (("cold", ["rl"], 0.52), ("sft-start", ["sft", "rl"], 0.50)):
        for seed in seeds:
            run = tree.sweep().run(arm, seed, train, model="m", benchmarks=("bfcl", "api_bank"))
            run.done(bfcl_scores(share + 0.01 * (seed - 2)), "bfcl")
            if seed in api_bank:
                run.done({"overall": share + 0.01 * (seed - 2)}, "api_bank")


def test_what_a_seed_scores_on_two_benchmarks_is_one_piece_of_evidence(tree: Tree) -> None:
    on_two_benchmarks(tree)
    step = judge(tree)["cold_start_over_sft_start"].steps[0]
    both = compare(Sample((51.0, 52.0, 53.0)), Sample((49.0, 50.0, 51.0)))
    assert step.comparison is not None and both is not None
    assert (step.comparison.low, step.comparison.high) == pytest.approx((both.low, both.high))


def test_a_benchmark_with_too_few_seeds_is_left_out_and_said_so(tree: Tree) -> None:
    on_two_benchmarks(tree, api_bank=(1, 2))
    step = judge(tree)["cold_start_over_sft_start"].steps[0]
    assert step.comparison is not None
    assert step.left_out == ("m on T2/overall (2 of at least 3 seeds)",)
    assert "left out: m on T2/overall" in rendered.difference(step)


def test_two_columns_of_one_table_both_count(tree: Tree, tmp_path: Path) -> None:
    for reward, overall, live in (("dynamic", 0.5, 0.9), ("original", 0.4, 0.6)):
        for seed in (1, 2, 3):
            run = tree.sweep().run(reward, seed, model="m", reward=reward, benchmarks=("bfcl",))
            run.done({"overall": overall + 0.001 * seed, "live": live}, "bfcl")
    path = tmp_path / "claims.yaml"
    path.write_text(MINE.replace("[T6/overall]", "[T6/overall, T6/live]"))
    result = judge(tree, path)["mine"]
    comparison = result.steps[0].comparison
    assert comparison is not None and comparison.difference == pytest.approx(20)
    assert "of 6" in result.printed_note  # 3 models, 2 columns


def test_seeds_that_lack_a_benchmark_do_not_count(tree: Tree) -> None:
    on_two_benchmarks(tree, (1, 2, 3, 4), api_bank=(2, 3, 4))
    step = judge(tree)["cold_start_over_sft_start"].steps[0]
    assert step.comparison is not None and (step.comparison.n, step.left_out) == (6, ())


def test_arms_scored_differently_decide_nothing(tree: Tree) -> None:
    for reward, protocol, share in (("dynamic", "bfcl_v4", 0.6), ("original", "bfcl_v3", 0.4)):
        for seed in (1, 2, 3):
            run = tree.sweep().run(reward, seed, model="m", reward=reward, benchmarks=("bfcl",))
            run.done(bfcl_scores(share + 0.01 * seed), "bfcl", protocol=protocol)
    result = judge(tree)["dynamic_over_static"]
    assert result.verdict == "undecided" and result.tested
    assert result.steps[0].why == "scored differently (protocol: bfcl_v3 / bfcl_v4)"


def test_one_seed_in_three_sweeps_is_one_seed(tree: Tree) -> None:
    for sweep in ("a", "b", "c"):
        for reward, share in (("dynamic", 0.6), ("original", 0.4)):
            run = tree.sweep(sweep).run(reward, model="m", reward=reward, benchmarks=("bfcl",))
            run.done(bfcl_scores(share), "bfcl")
    results = build_report(tree.write(), ["a", "b", "c"], []).claims()
    step = next(r for r in results if r.spec.name == "dynamic_over_static").steps[0]
    assert (step.verdict, step.why) == ("undecided", "1 of at least 3 seeds")


def test_never_are_fewer_seeds_asked_for_than_there_are(tree: Tree) -> None:
    # 10 seeds that hardly differ beside 3 that differ much: their pooled spread alone would ask for 3
    for reward, offsets in (("dynamic", [0.0001 * k for k in range(10)]), ("original", [-0.02, 0.0, 0.02])):
        for seed, offset in enumerate(offsets):
            run = tree.sweep().run(reward, seed, model="m", reward=reward, benchmarks=("bfcl",))
            run.done(bfcl_scores(0.4 + offset + 0.04 * (reward == "dynamic")), "bfcl")
    result = judge(tree)["dynamic_over_static"]
    assert result.verdict == "undecided" and result.needed == 4


def test_two_seeds_decide_nothing(tree: Tree) -> None:
    t6(tree, {"dynamic": 0.3, "original": 0.0}, seeds=2)
    result = judge(tree)["dynamic_over_static"]
    assert (result.verdict, result.steps[0].why) == ("undecided", "2 of at least 3 seeds")


def test_arms_that_were_not_run_leave_a_claim_undecided_and_are_named(tree: Tree) -> None:
    t6(tree, {"original": 0.0})
    result = judge(tree)["finer_over_coarser"]
    assert result.verdict == "undecided" and result.needed is None
    assert result.steps[0].why == "no results for finegrained"


def test_several_arms_that_fit_one_place_are_named_and_not_called_absent(tree: Tree) -> None:
    t6(tree, {"dynamic": 0.3, "original": 0.0})
    run = tree.sweep().run(
        "m-original-longer", 0, model="m", reward="original", steps=50, benchmarks=("bfcl",)
    )
    run.done(bfcl_scores(0.4), "bfcl", protocol="bfcl_v3")
    result = judge(tree)["dynamic_over_static"]
    assert result.verdict == "undecided" and result.tested
    assert result.steps[0].why == "original: 2 arms fit this row: m-original, m-original-longer"


@pytest.mark.parametrize(
    ("coarse", "verdict"), [(-0.3, "supported"), (0.3, "contradicted"), (-0.2, "undecided")]
)
def test_a_longer_order_holds_if_every_step_does(tree: Tree, coarse: float, verdict: str) -> None:
    gains = {"original": 0.0, "finegrained": -0.1, "intermediate": -0.2, "coarse": coarse}
    t6(tree, gains)
    assert judge(tree)["finer_over_coarser"].verdict == verdict


def test_a_harmless_difference_supports_that_a_reward_does_not_help(tree: Tree) -> None:
    t6(tree, {"original": 0.02, "length": 0.0})
    assert judge(tree)["length_reward_does_not_help"].verdict == "supported"


def test_a_claim_is_judged_only_on_the_benchmark_that_it_speaks_of(tree: Tree) -> None:
    for reward, share in {"original": 0.6, "equal_max": 0.3}.items():
        for seed in (1, 2, 3):
            tree.sweep().run(reward, seed, reward=reward).done(toolworld_scores(share + 0.01 * seed))
    for seed in (1, 2, 3):
        tree.sweep().run("raw", seed, train=()).done(toolworld_scores(0.3))
    found = judge(tree)
    assert {(r.verdict, r.on, r.tested) for r in found.values()} == {("undecided", "", False)}


def test_a_raw_model_needs_no_seeds(tree: Tree) -> None:
    for seed in (1, 2, 3):
        run = tree.sweep().run("grpo", seed, model="m", benchmarks=("bfcl",))
        run.done(bfcl_scores(0.37 + 0.002 * seed), "bfcl")
        raw = tree.sweep().run("raw", seed, train=(), model="m", benchmarks=("bfcl",))
        raw.done(bfcl_scores(0.20), "bfcl")
    assert judge(tree)["plus_17_over_raw"].verdict == "supported"


@pytest.mark.parametrize(
    ("name", "verdict", "note"),
    [
        ("cold_start_over_sft_start", "supported", "holds in 12 of 12"),
        ("dynamic_over_static", "undecided", "holds in 2 of 3, not for Qwen2.5-1.5B-Instruct on bfcl"),
        ("gradual_over_abrupt", "supported", "holds in 3 of 3"),
        ("finer_over_coarser", "undecided", "holds in 8 of 9"),
        ("length_reward_does_not_help", "supported", "holds in 3 of 3"),
        ("plus_17_over_raw", "supported", "mean +17.09 over 12 comparisons"),
        ("plus_15_over_sft", "supported", "1 left out as impossible"),
    ],
)
def test_the_papers_own_tables_are_judged_beside_the_results(
    tree: Tree, name: str, verdict: str, note: str
) -> None:
    tree.sweep().run("x").done(toolworld_scores(0.5))
    result = judge(tree)[name]
    assert result.printed == verdict
    assert note in result.printed_note


def test_a_users_claims_are_read_from_a_file(tree: Tree, tmp_path: Path) -> None:
    t6(tree, {"dynamic": 0.1, "original": 0.0})
    path = tmp_path / "claims.yaml"
    path.write_text(MINE)
    assert judge(tree, path)["mine"].verdict == "supported"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("text:", "txt:", "unknown key 'txt'.*did you mean 'text'"),
        ("T6/overall", "T6/ovrall", "no column 'ovrall'.*did you mean 'overall'"),
        ("T6/overall", "T66/overall", "unknown table 'T66'"),
        ("T6/overall", "T6", "'T6' is not TABLE/COLUMN"),
        ("dynamic,", "dynmic,", "no row 'dynmic'.*did you mean 'dynamic'"),
        ("[dynamic, original]", "[dynamic]", "order"),
        ("T6/overall", "T3/avg_tool_calls", "no value of T3/avg_tool_calls is better"),
        ("text:", "about: 3\n    text:", "`about` and `within` go together"),
        (
            "text:",
            "about: 3\n    within: 1\n    margin: 2\n    text:",
            "`margin` has no meaning beside `about`",
        ),
        ("text:", "margin: 200\n    text:", "no result of T6/overall can decide it.*claim is contradicted"),
        ("text:", "about: 300\n    within: 1\n    text:", "no result.*is contradicted .*-100 to 100 points"),
        ("text:", "about: 0\n    within: 150\n    text:", "no result.*is supported"),
        ("text:", "margin: true\n    text:", "margin: true"),
        ("[dynamic, original]", "[dynamic, dynamic]", "two rows of `order` are named 'dynamic'"),
        ("[T6/overall]", "[T6/overall, T6/overall]", "two measures are named 'T6/overall'"),
        (
            "claims:",
            "claims:\n  - {name: mine, text: t, order: [a, b], measure: [T6/live]}",
            "two claims are named",
        ),
    ],
)
def test_a_faulty_file_of_claims_is_refused_in_one_line(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(MINE.replace(old, new))
    with pytest.raises(SpecError, match=told) as caught:
        load_claims(path)
    assert "\n" not in str(caught.value)


def test_arms_are_the_rows_of_a_table_that_declares_none(tree: Tree, tmp_path: Path) -> None:
    for arm, share in (("mine", 0.6), ("theirs", 0.5)):
        for seed in (1, 2, 3):
            run = tree.sweep().run(arm, seed, benchmarks=("toolworld",))
            run.done(toolworld_scores(share + 0.01 * seed), "toolworld")
    path = tmp_path / "claims.yaml"
    path.write_text(MINE.replace("dynamic, original", "mine, theirs").replace("T6", "toolworld"))
    (result,) = judge(tree, path).values()
    assert result.verdict == "supported"
    path.write_text(path.read_text().replace("mine, theirs", "mine, their"))
    with pytest.raises(SpecError, match=r"no row 'their'.*did you mean 'theirs'"):
        judge(tree, path)


def test_a_claim_names_a_table_of_the_report_or_one_beside_its_file(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reward, share in (("original", 0.6), ("coarse", 0.4)):
        for seed in (1, 2, 3):
            tree.sweep().run(reward, seed, reward=reward).done(toolworld_scores(share + 0.01 * seed))
    results = tree.write()
    (tmp_path / "elsewhere").mkdir()
    columns = "title: t\nbenchmark: toolworld\ncolumns: [{name: overall, label: O}]\nrows:\n"
    for folder, rewards in (
        (tmp_path, ("original", "coarse")),
        (tmp_path / "elsewhere", ("coarse", "original")),
    ):
        rows = "".join(
            f"  - {{name: {n}, label: {n}, where: {{reward: {r}}}}}\n"
            for n, r in zip("xy", rewards, strict=True)
        )
        (folder / "t.yaml").write_text(f"name: mine\n{columns}{rows}")
    path = tmp_path / "claims.yaml"
    monkeypatch.chdir(tmp_path / "elsewhere")  # where a file of that name has the rows the other way round
    report = build_report(results, ["demo"], [str(tmp_path / "t.yaml")])
    for table in ("t.yaml", "mine"):
        path.write_text(MINE.replace("dynamic, original", "x, y").replace("T6", table))
        assert report.claims(path)[0].verdict == "supported", table
    path.write_text(MINE.replace("dynamic, original", "x, y").replace("T6", "mien"))
    with pytest.raises(SpecError, match=r"claims\.yaml:2.*unknown table 'mien' \(did you mean 'mine'"):
        report.claims(path)
    path.write_text(MINE.replace("dynamic, original", "x, y").replace("T6", "none.yaml"))
    with pytest.raises(SpecError, match=r"claims\.yaml:2.*none\.yaml: no such file"):
        report.claims(path)


def test_a_row_is_found_by_its_name_whatever_another_is_labelled(tree: Tree, tmp_path: Path) -> None:
    for reward, share in (("original", 0.6), ("coarse", 0.4)):
        for seed in (1, 2, 3):
            tree.sweep().run(reward, seed, reward=reward).done(toolworld_scores(share + 0.01 * seed))
    table, path = tmp_path / "table.yaml", tmp_path / "claims.yaml"
    table.write_text(
        "name: mine\ntitle: t\nbenchmark: toolworld\nbaseline: x\ncolumns: [{name: overall, label: O}]\nrows:\n"
        "  - {name: x, label: y, where: {reward: original}}\n  - {name: y, label: x, where: {reward: coarse}}\n"
    )
    path.write_text(MINE.replace("dynamic, original", "x, y").replace("T6", str(table)))
    report = build_report(tree.write(), ["demo"], [str(table)])
    assert report.claims(path)[0].verdict == "supported"
    for first, second in (("x", "y"), ("*", "y")):
        (pair,) = report.pairs(first, second)
        assert (pair.a, pair.b, pair.columns[0].a) == ("y", "x", 62.0)
    assert opens_on(report.tables[0], report.specs[0]) == (0, 1)
    (line,) = [note for note in report.tables[0].notes if note.startswith("*")]
    assert "differs from y" in line


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(15, 19, "supported"), (1, 5, "contradicted"), (25, 30, "contradicted"), (10, 18, "undecided")],
)
def test_a_claim_about_a_size_holds_only_within_its_tolerance(low: float, high: float, verdict: str) -> None:
    claim = ClaimSpec(name="c", text="", order=["a", "b"], measure=["T1/overall"], about=17, within=3)
    assert claim.judge(low, high) == verdict


def test_arms_of_one_name_in_two_sources_are_called_as_their_rows(tree: Tree, tmp_path: Path) -> None:
    for sweep, steps, share in (("one", 25, 0.6), ("two", 50, 0.5)):
        for arm in ("a", "b"):
            for seed in (1, 2, 3):
                run = tree.sweep(sweep).run(arm, seed, reward=arm, steps=steps)
                run.done(toolworld_scores(share + 0.01 * seed + 0.2 * (arm == "b")))
    tree.sweep("two").run("c", reward="length").done(toolworld_scores(0.1))
    path, root = tmp_path / "claims.yaml", tree.write()

    def judged(order: str) -> ClaimResult:
        path.write_text(MINE.replace("dynamic, original", order).replace("T6", "toolworld"))
        (result,) = build_report(root, ["one", "two"], []).claims(path)
        return result

    assert judged('"b [one]", "a [one]"').verdict == "supported"
    assert judged('"a [two]", "b [one]"').verdict == "contradicted"
    assert judged('"b [one]", c').steps[0].why == "1 of at least 3 seeds"
    with pytest.raises(
        SpecError, match=r"'a' fits 2 rows of table toolworld.*one of 'a \[one\]', 'a \[two\]'"
    ):
        judged('"b [one]", a')


def test_an_arm_of_two_names_is_judged_under_either(tree: Tree, tmp_path: Path) -> None:
    for sweep, arm in (("one", "first"), ("two", "second")):
        for seed in (1, 2, 3):
            run = tree.sweep(sweep).run(arm, seed, reward="coarse", label="coarse")
            run.done(toolworld_scores(0.6 + 0.01 * seed))
            tree.sweep(sweep).run("worse", seed, label="worse").done(toolworld_scores(0.3 + 0.01 * seed))
    path, root = tmp_path / "claims.yaml", tree.write()
    for name in ("first", "second"):
        path.write_text(MINE.replace("dynamic, original", f"{name}, worse").replace("T6", "toolworld"))
        (result,) = build_report(root, ["one", "two"], []).claims(path)
        assert result.verdict == "supported", name
    path.write_text(path.read_text().replace("second, worse", "second, first"))
    with pytest.raises(SpecError, match="of 'second', 'first' some are names of one row of table toolworld"):
        build_report(root, ["one", "two"], []).claims(path)


LATENCY = """\
name: lat
title: Latency
benchmark: my
columns: [{name: latency, label: Latency, unit: count, direction: DIRECTION}]
"""


def of_latency(tmp_path: Path, told: str, direction: str = "lower") -> ClaimResult:
    """A claim on a's latency of 512, 515, 518 and b's of 130, 135, 128; both at 0.5 on ToolWorld."""
    rows = [("a", 512), ("a", 515), ("a", 518), ("b", 130), ("b", 135), ("b", 128)]
    lines = [f"{arm},{seed},{arm},0.5,{latency}\n" for seed, (arm, latency) in enumerate(rows)]
    runs, table, claims = (tmp_path / name for name in ("runs.csv", "lat.yaml", "claims.yaml"))
    runs.write_text("arm,seed,reward,toolworld/overall,my/latency\n" + "".join(lines))
    table.write_text(LATENCY.replace("DIRECTION", direction))
    claims.write_text(f"claims:\n  - {{name: c, text: t, {told}}}\n".replace("LAT", f"{table}/latency"))
    (result,) = build_report(tmp_path, imports=[runs], claims_file=claims).claims()
    return result


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ("order: [b, a]", "supported"),
        ("order: [a, b]", "contradicted"),
        ("order: [b, a], margin: 300", "supported"),
        ("order: [b, a], about: 384, within: 20", "supported"),
        ("order: [a, b], about: 384, within: 20", "contradicted"),
    ],
)
def test_better_is_what_the_column_s_direction_says(tmp_path: Path, told: str, verdict: str) -> None:
    result = of_latency(tmp_path, f"{told}, measure: [LAT]")
    assert result.verdict == verdict
    shown = "a - b: +384.00" if "[b, a]" in told else "b - a: -384.00"
    assert shown in rendered.difference(result.steps[0])
    higher = of_latency(tmp_path, f"{told}, measure: [LAT]", "higher")
    assert higher.verdict == {"supported": "contradicted", "contradicted": "supported"}[verdict]


def test_an_interval_of_counts_is_not_cut_to_what_shares_can_be(tmp_path: Path) -> None:
    result = of_latency(tmp_path, "order: [b, a], margin: 380, measure: [LAT]")
    comparison = result.steps[0].comparison
    assert comparison is not None and comparison.low < 380 < comparison.difference < comparison.high < 400
    assert result.verdict == "undecided"


@pytest.mark.parametrize(
    ("measure", "direction", "told"),
    [
        (
            "[LAT, toolworld/overall]",
            "higher",
            r"number of latency, higher is better\) and toolworld/overall",
        ),
        ("[toolworld/overall, LAT]", "lower", r"toolworld/overall \(percent, higher is better\) and .*lat"),
    ],
)
def test_effects_of_several_kinds_are_refused_and_never_averaged(
    tmp_path: Path, measure: str, direction: str, told: str
) -> None:
    with pytest.raises(SpecError, match=f"{told}.*make a claim of each"):
        of_latency(tmp_path, f"order: [b, a], measure: {measure}", direction)


def test_printed_numbers_are_judged_by_their_column_s_direction(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("x").done(toolworld_scores(0.5))
    spec, path = load_table("T6"), tmp_path / "claims.yaml"
    table = tmp_path / "t6.yaml"
    path.write_text(MINE.replace("T6", str(table)).replace("dynamic, original", "original, equal_max"))
    told = {}
    for direction in ("higher", "lower"):
        plain = spec.model_dump(mode="json", exclude_none=True) | {"direction": direction}
        table.write_text(json.dumps(plain))
        told[direction] = judge(tree, path)["mine"].printed
    assert told == {"higher": "supported", "lower": "contradicted"}


def test_every_format_says_the_same_verdicts(tree: Tree) -> None:
    t6(tree, {"dynamic": 0.1, "original": 0.0, "two_stage": 0.095})
    results = list(judge(tree).values())
    plain = json.loads(rendered.render_json(results))
    text = io.StringIO()
    rendered.show(results, Console(file=text, width=200))
    markdown = rendered.render_markdown(results)
    for claim in plain["claims"]:
        assert f"{claim['verdict']:12} {claim['text']}" in text.getvalue()
        assert f"| {claim['text']} | **{claim['verdict']}**" in markdown
    assert "dynamic - original: +10.00 [" in text.getvalue()
    assert "seeds an arm would decide it" in text.getvalue()


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0, 0, "contradicted"), (-1, 0, "contradicted"), (0, 1, "undecided"), (0.1, 1, "supported")],
)
def test_a_claim_that_one_is_better_holds_of_no_equal_ones(low: float, high: float, verdict: str) -> None:
    claim = ClaimSpec(name="c", text="", order=["a", "b"], measure=["T1/overall"])
    assert claim.judge(low, high) == verdict
