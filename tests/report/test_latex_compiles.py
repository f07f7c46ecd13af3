"""Every table goes through a real LaTeX (Debian: texlive-latex-base and texlive-latex-recommended)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.report.api import build_report
from toolrl_cli.report.render import latex

PDFLATEX = shutil.which("pdflatex")


@pytest.mark.e2e
@pytest.mark.skipif(PDFLATEX is None, reason="there is no pdflatex here")
@pytest.mark.parametrize("options", ["", "twocolumn"])
def test_the_latex_of_every_table_compiles_and_fits_the_page(
    tree: Tree, tmp_path: Path, options: str
) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("a_b%&#{}~^", seed).done(toolworld_scores(0.5))
        tree.sweep().run("a_long-name " + "of_many-words-" * 8, seed, reward="x").done(toolworld_scores(0.4))
        for reward in ("original", "two_stage"):
            run = tree.sweep().run(
                f"x-{reward}", seed, model="qwen2.5-3b-instruct", reward=reward, benchmarks=("bfcl",)
            )
            run.done(bfcl_scores(0.4 + 0.01 * seed), "bfcl", protocol="bfcl_v3")
    tree.sweep().run("failed", reward="coarse").failed("rl", "oom", "100 % of $HOME_DIR\\tmp")
    ours = build_report(tree.write(), ["demo"], ["toolworld", "T6"], against="paper").tables
    printed = build_report(tree.root, published_only=True).tables
    (tmp_path / "tables.tex").write_text(latex.document([*ours, *printed], options), encoding="utf-8")
    command = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout and "too large for page" not in done.stdout
    assert (tmp_path / "tables.pdf").stat().st_size > 20_000
