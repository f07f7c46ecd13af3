from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.api import build_report
from toolrl_cli.report.drawing.figure_style import legend_columns, wrapped
from toolrl_cli.report.drawing.figures import FigureSpec, shipped_figures


def figures_of(tree: Tree, folder: Path, names: list[str] | None = None, kind: str = "svg") -> dict[str, str]:
    written = build_report(tree.write(), ["demo"]).draw_figures(folder, names, (kind,))
    return {p.stem: p.read_text() for p in written}


def said(svg: str) -> str:
    """The texts of a drawing, lines of one note put together."""
    return " ".join(re.findall(r"<!-- (.*?) -->", svg.replace("\n", " "), re.S))


def test_every_figure_of_the_paper_that_shows_results_is_declared() -> None:
    numbers = {"".join(c for c in name.split("_")[0] if c.isdigit()) for name in shipped_figures()}
    assert numbers == {"2", "5", "6", "7", "8", "9", "10", "11"}


def test_rewards_under_comparison_become_the_scale_and_granularity_figures(
    tree: Tree, tmp_path: Path
) -> None:
    for reward in ("original", "dynamic", "coarse"):
        for seed in (1, 2, 3):
            tree.sweep().run(reward, seed, reward=reward).learned(-1, 2)
    found = figures_of(tree, tmp_path)
    assert set(found) == {"fig10", "fig11"}
    assert "<!-- dynamic (n = 3)" in found["fig10"] and "<!-- coarse" not in found["fig10"]
    assert "two_stage" not in found["fig10"]
    assert "In no place of this figure: coarse." in said(found["fig10"])
    assert "Format reward" not in found["fig11"]


def test_starts_and_algorithms_under_comparison_become_their_figures(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("cold").learned(-1, 2)
    tree.sweep().run("warm", train=("sft", "rl")).learned(-1, 2)
    tree.sweep().run("ppo", algorithm="ppo").learned(-1, 2)
    found = figures_of(tree, tmp_path)
    assert set(found) == {"fig5", "fig6"}
    assert "<!-- warm (n = 1)" in found["fig5"] and "<!-- ppo (n = 1)" in found["fig6"]


def test_models_under_comparison_are_the_lines_of_figures_2_8_and_9(tree: Tree, tmp_path: Path) -> None:
    for model in ("m1", "m2"):
        for reward in ("original", "length", "length_dynamic"):
            run = tree.sweep().run(f"{model}-{reward}", model=model, reward=reward)
            run.learned(-1, 2, length=reward != "original")
    found = figures_of(tree, tmp_path, ["fig2_rewards", "fig8", "fig9"])
    assert set(found) == {"fig2_rewards", "fig8", "fig9"}
    assert all("m1 (n = 1)" in text and "m2 (n = 1)" in text for text in found.values())
    assert "Length reward" in found["fig8"] and "Response length" in found["fig9"]


def test_scores_become_bars_with_intervals_for_the_benchmarks_that_ran(tree: Tree, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("raw", seed, train=()).done(toolworld_scores(0.3))
        tree.sweep().run("cold", seed).done(toolworld_scores(0.5 + 0.01 * seed))
        tree.sweep().run("ppo", seed, algorithm="ppo").failed("rl", "oom")
    found = figures_of(tree, tmp_path)
    assert set(found) == {"fig2_scores"}
    text = found["fig2_scores"]
    assert "<!-- ToolWorld" in text and "<!-- BFCL" not in text
    assert "<!-- cold" in text and "<!-- ppo" not in text and "ppo (failed: oom)" in said(text)
    assert "95 % t interval over seeds" in said(text) and "(3)" in text


def test_bars_of_too_few_seeds_are_pale_and_no_bar_or_number_leaves_its_axis(
    tree: Tree, tmp_path: Path
) -> None:
    for arm, train in (("raw", ()), ("cold", ("rl",))):
        tree.sweep().run(arm, train=train).done({"overall": (200, 200)})
    tree.sweep().run("mine", reward="coarse").done({"overall": (100, 200)})
    text = figures_of(tree, tmp_path, ["fig2_scores"])["fig2_scores"]
    assert "pale: no interval (fewer than 3 seeds" in said(text) and "100.0 (1)" in text
    assert "In no place of this figure: mine." in said(text)


def test_names_of_arms_and_not_the_papers_stand_in_a_figure_where_models_share_them(
    tree: Tree, tmp_path: Path
) -> None:
    for model in ("m1", "m2"):
        tree.sweep().run(f"{model}-mine", model=model, train=("sft",)).done(toolworld_scores(0.3))
        tree.sweep().run(f"{model}-{model}only", model=model).done(toolworld_scores(0.3))
    text = figures_of(tree, tmp_path, ["fig2_scores"])["fig2_scores"]
    assert "<!-- mine" in text and "GRPO cold start" in text and "SFT400" not in text


def test_two_arms_that_fit_one_line_are_left_out_and_not_averaged(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("short", steps=25).learned(-1, 2)
    tree.sweep().run("long", steps=50).learned(-1, 2)
    tree.sweep().run("coarse", reward="coarse").learned(-1, 2)
    tree.sweep().run("inter", reward="intermediate").learned(-1, 2)
    text = figures_of(tree, tmp_path)["fig11"]
    assert "<!-- coarse (n" in text and "<!-- short" not in text and "<!-- long" not in text
    assert "Not drawn, since they fit one place and are not averaged: short, long." in said(text)


def test_one_line_alone_is_no_figure(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("cold").learned(-1, 2)
    assert figures_of(tree, tmp_path) == {}
    assert list(tmp_path.glob("*.svg")) == []


def test_per_category_scores_become_figure_7(tree: Tree, tmp_path: Path) -> None:
    for arm, train, split in (("cold", ("rl",), "sft"), ("sft", ("sft",), "train")):
        scores = {**bfcl_scores(0.4), "simple_python": 0.7, "simple_java": 0.5, "live_irrelevance": 0.8}
        tree.sweep().run(arm, train=train, split=split, benchmarks=("bfcl",)).done(scores, "bfcl")
    text = figures_of(tree, tmp_path, ["fig7"])["fig7"]
    assert all(f"<!-- {word}" in text for word in ("Python", "Java", "Live irrelevance"))
    assert "<!-- JavaScript" not in text


def test_bars_give_the_same_bytes_for_the_same_results(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("raw", train=()).done(toolworld_scores(0.3))
    tree.sweep().run("cold").done(toolworld_scores(0.5))
    first = figures_of(tree, tmp_path / "a")
    assert figures_of(tree, tmp_path / "b") == first != {}


def test_an_unknown_figure_is_refused_with_the_nearest_name(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("cold")
    with pytest.raises(SpecError, match=r"unknown figure 'fig12'.*did you mean"):
        figures_of(tree, tmp_path, ["fig12"])


def test_a_folder_that_cannot_be_made_is_one_clear_fault(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("cold")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be written"):
        figures_of(tree, tmp_path / "file")


@pytest.mark.parametrize("given", [{"kind": "curves"}, {"kind": "bars"}])
def test_a_figure_without_content_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="needs"):
        FigureSpec.model_validate({"name": "x", "title": "X", **given})


def test_long_names_get_fewer_legend_columns() -> None:
    assert legend_columns(["a", "b"], 5.0) == 2
    assert legend_columns(["qwen2.5-1.5b-instruct (n = 3)"] * 3, 5.3) == 2
    assert legend_columns(["x" * 200], 5.0) == 1


def test_long_names_are_broken_into_lines_and_nothing_of_them_is_lost() -> None:
    name = "qwen2.5-1.5b-instruct-" + "x" * 90
    lines = wrapped(name, 1.7).split("\n")
    assert len(lines) > 3 and "".join(lines) == name and max(map(len, lines)) <= 28
