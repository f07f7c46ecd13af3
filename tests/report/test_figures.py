from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.api import build_report
from toolrl_cli.report.drawing.bars import HATCHES
from toolrl_cli.report.drawing.figure_style import PALETTE, legend_columns
from toolrl_cli.report.drawing.figures import FigureSpec, shipped_figures


def figures_of(tree: Tree, folder: Path, names: list[str] | None = None, kind: str = "svg") -> dict[str, str]:
    written = build_report(tree.write(), ["demo"]).draw_figures(folder, names, (kind,))
    return {p.stem: p.read_text() for p in written}


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
    assert "<!-- Dynamic (n = 3)" in found["fig10"] and "Coarse" not in found["fig10"]
    assert "Two stage" not in found["fig10"]
    assert "Format reward" not in found["fig11"]


def test_starts_and_algorithms_under_comparison_become_their_figures(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("cold").learned(-1, 2)
    tree.sweep().run("warm", train=("sft", "rl")).learned(-1, 2)
    tree.sweep().run("ppo", algorithm="ppo").learned(-1, 2)
    found = figures_of(tree, tmp_path)
    assert set(found) == {"fig5", "fig6"}
    assert "SFT400 start (n = 1)" in found["fig5"] and "PPO (n = 1)" in found["fig6"]


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
    assert "GRPO Cold Start" in text and "PPO Cold Start" not in text


@pytest.mark.parametrize("models", [("m1", "m2"), ("qwen2.5-3b-instruct", "llama-3.2-3b-instruct")])
def test_names_below_bars_are_tilted_where_they_would_run_into_each_other(
    tree: Tree, tmp_path: Path, models: tuple[str, ...]
) -> None:
    for model in models:
        for train in ((), ("rl",)):
            run = tree.sweep().run(
                f"{model}{train}", train=train, model=model, benchmarks=("bfcl", "bamboogle")
            )
            run.done({"overall": 0.5}, "bfcl").done({"accuracy": 0.5}, "bamboogle")
    text = figures_of(tree, tmp_path, ["fig2_scores"])["fig2_scores"]
    assert ("rotate(-15)" in text) is (models[0] != "m1")


def test_two_arms_that_fit_one_line_are_left_out_and_not_averaged(tree: Tree, tmp_path: Path) -> None:
    tree.sweep().run("short", steps=25).learned(-1, 2)
    tree.sweep().run("long", steps=50).learned(-1, 2)
    tree.sweep().run("coarse", reward="coarse").learned(-1, 2)
    tree.sweep().run("inter", reward="intermediate").learned(-1, 2)
    text = figures_of(tree, tmp_path)["fig11"]
    assert "Coarse" in text and "Original" not in text


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


def test_bars_differ_in_colour_and_in_hatch() -> None:
    assert len(set(zip(PALETTE, HATCHES, strict=True))) == 8
