"""All faults of a sweep file are told at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.loading import load
from toolrl_cli.spec.sweeps.reading.every_fault import without
from toolrl_cli.spec.sweeps.reading.source import parse_yaml


def told(folder: Path, text: str, *sets: str) -> list[str]:
    """The lines that a sweep is refused with, without the folder."""
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        load(folder / "s.yaml", folder / "results", sets)
    return [line.replace(f"{folder}/", "") for line in str(error.value).splitlines()]


def places(lines: list[str]) -> list[str]:
    return [re.sub(r": (\w|').* .*$", "", line) for line in lines]


def test_an_unknown_setting_and_an_unknown_key_are_told_together_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    text = "name: s\nbase:\n  preset: tiny_grpo\n  rl.stesp: 5\nseed: [1]\narms:\n  a: {reward: coarze}\n"
    lines = told(tmp_path, text, "rl.lrr=3")
    assert [line.partition(": ")[0] for line in lines] == ["--set rl.lrr", "s.yaml:4", "s.yaml:5", "s.yaml:7"]
    for line, part in zip(lines, ("'lrr'", "'steps'", "seeds:", "'coarse'"), strict=True):
        assert part in line


def test_faults_of_every_kind_are_told_each_with_its_line(tmp_path: Path) -> None:
    text = (
        "name: s\nbase: {preset: tiny_grpo, rl: {steps: -1,\n  lr: fast}}\naxes:\n  reward:\n    - original\n"
        "    - nothing\n    - noone\nevaluate: [toolwrld]\ntables: [T66]\nseeds: 3\n"
    )
    lines = told(tmp_path, text)
    assert [line.split(":")[1] for line in lines] == ["2", "3", "7", "8", "9", "10", "11"]


def test_several_faults_of_one_list_are_each_placed_where_they_stand(tmp_path: Path) -> None:
    text = "evaluate: [toolword, toolworld, ./nope.py, {command: python x, name: m}]\naxes: {reward: [coarse, a, b]}\n"
    lines = told(tmp_path, f"name: s\nbase: {{preset: tiny_grpo}}\n{text}")
    assert [line.split(": ")[1] for line in lines] == [
        *(f"evaluate[{n}]" for n in (0, 2, 3)),
        *(f"axes.reward[{n}]" for n in (1, 2)),
    ]


def test_nothing_is_told_that_is_wrong_only_because_something_was_left_out(tmp_path: Path) -> None:
    assert (
        len(told(tmp_path, "name: s\nbase:\n  model: tinny\n  data: {kind: toolworld}\n  reward: original\n"))
        == 1
    )
    assert len(told(tmp_path, "name: s\nbase: {preset: tiny_grpo}\narms: {a: {reward: x}, b: {}}\n")) == 1
    assert len(told(tmp_path, "name: s\nbase: {preset: tiny_grop, rl.steps: 5}\n")) == 1
    part = "{name: w, components: {brief: {kind: python, path: none.py, function: f}}}"
    lines = told(
        tmp_path, f"name: s\nbase: {{preset: tiny_grpo, rl.stpes: 3}}\narms: {{a: {{reward: {part}}}}}\n"
    )
    assert len(lines) == 2 and "'stpes'" in lines[0] and "cannot read" in lines[1]


def test_lines_stay_those_of_the_file_where_an_item_is_left_out() -> None:
    source = parse_yaml("a:\n  - x\n  - y: {z: 1}\n  - w\nb: 1\n", "s")
    left = without(source, ("a", 0))
    assert left.data == {"a": [{"y": {"z": 1}}, "w"], "b": 1}
    assert left.where(("a", 0, "y", "z")) == "s:3: a[0].y.z" and left.where(("a", 1)) == "s:4: a[1]"
    assert without(source, ("a", 1, "y", "z")).data["a"] == ["x", {"y": {}}, "w"]
