from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.builder import Tree
from toolrl_cli.report.api import build_report
from toolrl_cli.report.arms import Arm, collect_arms
from toolrl_cli.report.drawing import plots
from toolrl_cli.report.drawing.curves import CurveReader
from toolrl_cli.report.drawing.figure_style import DASHES, FORMATS, PALETTE
from toolrl_cli.report.drawing.plots import draw_curves, lines_of
from toolrl_cli.report.sources.saved_sweeps import read_sweep


def arms_of(tree: Tree) -> list[Arm]:
    return collect_arms([read_sweep(tree.write(), "demo")])


def learned(tree: Tree, models: tuple[str, ...] = ("tiny",)) -> list[Arm]:
    for model in models:
        for seed in (1, 2, 3):
            tree.sweep().run(f"{model}-original", seed, model=model).learned(-1, 2)
            tree.sweep().run(f"{model}-coarse", seed, model=model, reward="coarse").learned(
                -2, 1, steps=10 + seed
            )
    return arms_of(tree)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_results_give_the_same_figure_byte_for_byte(tree: Tree, kind: str) -> None:
    arms = learned(tree)
    first, second = tree.root / f"a.{kind}", tree.root / f"b.{kind}"
    assert draw_curves(lines_of(arms), CurveReader(), [first])
    assert draw_curves(lines_of(arms), CurveReader(), [second])
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 10_000


def test_the_figure_names_every_arm_panel_and_number_of_seeds(tree: Tree) -> None:
    path = tree.root / "curves.svg"
    assert draw_curves(lines_of(learned(tree)), CurveReader(), [path])
    text = path.read_text()
    for word in (
        "tiny-original",
        "tiny-coarse",
        "n = 3",
        "Format reward",
        "Response length",
        "faint where seeds",
    ):
        assert f"<!-- {word}" in text or word in text


def test_several_models_share_the_colours_of_their_settings(tree: Tree) -> None:
    path = tree.root / "curves.svg"
    assert draw_curves(lines_of(learned(tree, ("m1", "m2"))), CurveReader(), [path])
    text = path.read_text()
    assert "<!-- original (n = 3)" in text and "m1-original" not in text


def test_an_arm_without_a_curve_is_named_as_such(tree: Tree) -> None:
    learned(tree)
    tree.sweep().run("later", reward="length")
    path = tree.root / "curves.svg"
    assert draw_curves(lines_of(arms_of(tree)), CurveReader(), [path])
    assert "later (no curve yet)" in path.read_text()


def test_nothing_to_draw_leaves_no_file(tree: Tree) -> None:
    tree.sweep().run("raw", train=())
    tree.sweep().run("a")
    assert not draw_curves(lines_of(arms_of(tree)), CurveReader(), [tree.root / "curves.png"])
    assert not (tree.root / "curves.png").exists()


def test_one_step_of_one_seed_can_be_drawn(tree: Tree) -> None:
    tree.sweep().run("a").metrics({1: {"reward/total/mean": 1.0}})
    assert draw_curves(lines_of(arms_of(tree)), CurveReader(), [tree.root / "curves.png"])


def test_neighbouring_arms_differ_in_colour_and_in_dash() -> None:
    styles = [(PALETTE[i % len(PALETTE)], str(DASHES[i % len(DASHES)])) for i in range(40)]
    assert len(set(styles)) == 40


def test_drawing_leaves_matplotlibs_settings_alone(tree: Tree, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw_curves(lines_of(learned(tree)), CurveReader(), [tmp_path / "curves.png"])
    assert dict(mpl.rcParams) == before


def test_more_arms_than_can_be_told_apart_are_counted_and_not_drawn(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "MAX_LINES", 2)
    for arm in ("a", "b", "c"):
        tree.sweep().run(arm, reward=arm).learned(-1, 2)
    assert build_report(tree.write(), ["demo"]).draw(tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    assert "Not drawn: 1 of the arms" in text and "<!-- b (n = 1)" in text and "<!-- c (n" not in text
