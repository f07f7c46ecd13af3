"""Every format is read back, cell by cell, and says what JSON says."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.report.builder import Tree, bfcl_scores
from tests.report.test_page import data_of
from toolrl_cli.report.api import build_report
from toolrl_cli.report.computed import Report

Cells = dict[tuple[str, str], dict[str, Any]]
"""(arm, column label) → mean, ci, n, published, derived and difference, each where the format shows it."""

LINES = ("published", "derived", "difference")


@pytest.fixture(params=["alone", "beside the paper"])
def report(tree: Tree, request: pytest.FixtureRequest) -> Report:
    """T6 on two models: complete, half done, failed, running and missing arms."""
    for model in ("qwen2.5-1.5b-instruct", "qwen2.5-3b-instruct"):
        for reward in ("original", "equal_max", "two_stage"):
            for seed in (1, 2, 3, 4):
                run = tree.sweep().run(
                    f"{model}-{reward}", seed, model=model, reward=reward, benchmarks=("bfcl",)
                )
                if reward == "two_stage" and model.endswith("3b-instruct"):
                    run.failed("rl", "oom") if seed > 1 else run.running("rl", 12)
                elif reward != "equal_max" or seed < 3:
                    share = 0.41 + 0.013 * seed - 0.11 * (reward == "two_stage")
                    run.done(bfcl_scores(share), "bfcl", protocol="bfcl_v3")
    against = "paper" if request.param == "beside the paper" else None
    return build_report(tree.write(), ["demo"], ["T6"], against=against)


def expected(report: Report) -> Cells:
    """The numbers of JSON."""
    (table,) = json.loads(report.render("json"))["tables"]
    labels = {h.name: h.label for h in report.tables[0].columns}
    cells: Cells = {}
    for row in table["rows"]:
        for name, cell in row["cells"].items():
            numbers = {key: cell[key] for key in ("mean", "ci", "published")}
            numbers["n"] = cell["n"] if cell["mean"] is not None else None
            numbers |= {key: cell[f"published_{key}"] for key in ("derived", "difference")}
            cells[row["arm"], labels[name]] = numbers
    return cells


def own(text: str) -> dict[str, Any]:
    """`45.21* ± 3.61 (2/5)`, with whatever marks the best, as numbers."""
    found = re.fullmatch(r"(-?\d+\.\d+)\*?(?: ± (\d+\.\d+))?(?: \((\d+)(?:/\d+)?\))?", text.strip())
    if not found:
        assert not re.search(r"\d\.\d", text), text
        return {"mean": None, "ci": None, "n": None}
    mean, ci, n = found.groups()
    return {"mean": float(mean), "ci": float(ci) if ci else None, "n": int(n)}


def gathered(report: Report, lines: Iterator[tuple[str, list[str]]]) -> Cells:
    """Lines of a format, (first field, other fields), as cells."""
    labels = [h.label for h in report.tables[0].columns]
    groups = report.tables[0].groups
    cells: Cells = {}
    group = arm = ""
    for first, others in lines:
        if first in groups:
            group = first
        elif first.split(" ")[0] in LINES:
            for label, text in zip(labels, others, strict=True):
                number = re.fullmatch(r"([-+]?\d+\.\d+)!?(?: ± \d+\.\d+)?", text)
                cells[arm, label][first.split(" ")[0]] = float(number[1]) if number else None
        else:
            arm = f"{group} / {first}"
            for label, text in zip(labels, others, strict=True):
                cells[arm, label] = {**own(text), **dict.fromkeys(LINES)}
    return cells


def from_markdown(text: str) -> Iterator[tuple[str, list[str]]]:
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    for row in rows:
        plain = re.sub(r"(?<!\\)(\*\*|_)|&nbsp;|\\(?=[*_])", "", row)
        first, *others = [field.strip() for field in plain.strip("|").split("|")]
        yield first, others


def from_latex(text: str) -> Iterator[tuple[str, list[str]]]:
    # a long table goes on in another float
    body = "".join(re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.S))
    for line in body.splitlines():
        group = re.search(r"\\textit\{(.*)\}\}", line)
        if group:
            yield group[1], []
        elif " & " in line:
            plain = (
                line.removesuffix(r" \\").replace(r"$\pm$", "±").replace("$-$", "-").replace(r"\quad ", "")
            )
            plain = re.sub(r"\\(?:textbf|underline|scriptsize|tiny)\b", "", plain)
            first, *others = [field.strip() for field in re.sub(r"[{}]", "", plain).split(" & ")]
            yield first, [re.sub(" +", " ", o) for o in others]
        elif line.strip() not in ("", r"\addlinespace"):
            raise AssertionError(line)


def from_terminal(text: str) -> Iterator[tuple[str, list[str]]]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("──"))
    width = len(lines[start])
    edges = [0, *(m.end() for m in re.finditer(r"\S(?: ?\S)*", lines[start - 1]))]
    for line in lines[start + 1 :]:
        if not line.startswith((" ", "qwen", "Qwen")):
            return
        padded = line.ljust(width)
        label = next(
            e for e in range(len(padded)) if e > 30 or (padded[e : e + 2] == "  " and padded[:e].strip())
        )
        fields = [padded[a:b] for a, b in zip([label, *edges[1:-1]], edges[1:], strict=True)]
        yield padded[:label].strip(), [f.strip().lstrip("▸") for f in fields]


def from_csv(report: Report) -> Cells:
    labels = {h.name: h.label for h in report.tables[0].columns}
    cells: Cells = {}
    for row in csv.DictReader(io.StringIO(report.render("csv"))):
        numbers = {key: float(row[key]) if row[key] else None for key in ("mean", "ci", "published")}
        cells[row["arm"], labels[row["column"]]] = {**numbers, "n": int(row["n"]) if row["mean"] else None}
    return cells


def from_page(report: Report) -> Cells:
    (table,) = data_of(report.render("html"))["tables"]
    cells: Cells = {}
    for row in table["rows"]:
        for column, cell in zip(table["columns"], row["cells"], strict=True):
            subs = dict.fromkeys(LINES)
            for sub in cell["sub"]:
                key, value = sub.split(" ")[:2]
                subs[key] = float(value) if value != "n/c" else None
            cells[row["arm"], column["label"]] = {**own(f"{cell['main']} {cell['spread']}"), **subs}
    return cells


def read_back(report: Report, kind: str) -> Cells:
    if kind == "csv":
        return from_csv(report)
    if kind == "html":
        return from_page(report)
    reader = {"markdown": from_markdown, "latex": from_latex, "terminal": from_terminal}[kind]
    return gathered(report, reader(report.render(kind, width=300)))


@pytest.mark.parametrize("kind", ["markdown", "latex", "terminal", "csv", "html"])
def test_a_format_read_back_holds_exactly_the_numbers_of_json(report: Report, kind: str) -> None:
    known, found = expected(report), read_back(report, kind)
    assert sum(cell["mean"] is not None for cell in known.values()) == 30
    assert found.keys() == known.keys()
    for place, cell in found.items():
        assert cell == {key: known[place][key] for key in cell}, place
