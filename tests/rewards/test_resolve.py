"""`get_reward`: names, mappings, YAML files, and what it says of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rewards.turns import GOLD
from toolrl_cli.rewards import RewardError, get_reward

FORMAT = {"kind": "format"}
WORDED = """
reward:
  components:
    format:      {kind: format, range: [0, 1]}
    correctness:
      kind: correctness
      granularity: original
      range: [-3, 3]
      schedule: {kind: linear, until: 150, from: [-2, 2]}
    mine:        {kind: python, path: rewards.py, function: penalise_extra_calls, weight: 0.2}
"""
SOURCE = """
def penalise_extra_calls(calls, gold_calls):
    return -float(max(0, len(calls or []) - len(gold_calls)))
"""


def test_the_example_of_the_manual_resolves_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text(SOURCE)
    (tmp_path / "mine.yaml").write_text(WORDED)
    reward = get_reward(tmp_path / "mine.yaml")
    assert get_reward("mine.yaml", base_dir=tmp_path) == reward
    assert list(reward.score(GOLD, GOLD).parts) == ["format", "correctness", "mine"]
    extra = GOLD.replace("\n</tool_call>", '\n{"name": "f", "parameters": {}}\n</tool_call>')
    mine = reward.score(extra, GOLD, step=75).parts["mine"]
    assert (mine.raw, mine.weight, mine.weighted) == (-1.0, 0.2, -0.2)


@pytest.mark.parametrize(
    "text",
    ["reward: coarse+dynamic", "reward: {name: coarse+dynamic}", "granularity: coarse\nscale: dynamic"],
)
def test_a_file_may_hold_any_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yml").write_text(text)
    assert get_reward(str(tmp_path / "r.yml")) == get_reward("coarse+dynamic")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", ":1: not valid YAML: "),
        ("- coarse", ": the top level is a list"),
        ("", ": is empty"),
        ("reward: 3", ": holds 3"),
        ("name: coarse\nname: original", r":2: name: key 'name' stands twice \(first on line 1\)"),
        ("components:\n  format: {}\n  format: {}", ":3: components.format: key 'format' stands twice"),
        (
            "components:\n  format:\n    wieght: 2",
            ":3: reward.components.format.wieght: 'wieght' is not known",
        ),
        ("reward:\n  granularity: corse", ":2: reward.granularity: 'corse' is not valid"),
        ("components:\n  format: {weight: yes}", ":2: reward.components.format.weight: "),
    ],
)
def test_a_file_that_is_no_reward_is_refused_by_its_path(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RewardError, match=rf"r\.yaml{message}") as fault:
        get_reward(tmp_path / "r.yaml")
    assert "\n" not in str(fault.value)


def test_numbers_of_a_file_are_those_of_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("components: {format: {weight: 1e-1, range: [0, 1e1]}}")
    (part,) = get_reward(tmp_path / "r.yaml").components
    assert (part.weight, part.range) == (0.1, (0, 10))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match=r"none\.yaml: no such file"):
        get_reward(tmp_path / "none.yaml")


def test_a_reward_is_returned_as_it_is() -> None:
    reward = get_reward("coarse")
    assert get_reward(reward) is reward


def test_a_composition_that_is_a_design_has_its_name() -> None:
    spelled = {
        "format": {"range": [-1, 1], "schedule": {"points": [[0, [-2, 2]], [75, [-1, 1.5]], [150, [-1, 1]]]}},
        "correctness": {"schedule": {"until": 150, "from": [-2, 2]}},
    }
    for component in spelled.values():
        component["schedule"]["kind"] = "linear"  # type: ignore[index]
    assert get_reward({"components": spelled}).name == "dynamic"


def test_a_composition_without_a_name_is_named_by_what_it_computes() -> None:
    one, other = (get_reward({"components": {"format": {"weight": w}}}) for w in (2, 3))
    again = get_reward({"components": {"format": {"kind": "format", "weight": 2.0, "range": [0, 1]}}})
    assert one.name.startswith("custom-")
    assert one.name == again.name != other.name


def test_a_name_is_a_label_and_no_part_of_the_identity() -> None:
    bare = get_reward({"components": {"format": {"weight": 2}}})
    named = get_reward({"components": {"format": {"weight": 2}}, "name": "mine"})
    assert named.name == "mine"
    assert named == bare
    assert named.to_dict() == bare.to_dict()


def test_the_canonical_composition_is_literal() -> None:
    # ids of stages are made of this text: it must not drift
    assert json.dumps(get_reward("two_stage+length").to_dict()) == (
        '{"components": {"correctness": {"granularity": "original", "kind": "correctness", "range": [-3.0, 3.0], '
        '"weight": {"kind": "step", "points": [[0, 0.3333333333333333], [30, 1.0]], "unit": "steps"}}, '
        '"format": {"kind": "format", "range": [0.0, 1.0], '
        '"weight": {"kind": "step", "points": [[0, 1.0], [30, 0.5]], "unit": "steps"}}, '
        '"length": {"kind": "length", "range": [0.0, 1.0], "target": 512.0, "weight": 1.0}}, '
        '"fidelity": "released"}'
    )
    assert json.dumps(
        get_reward("length_dynamic+dynamic@paper").to_dict()["components"]["length"]["target"]
    ) == ('{"kind": "linear", "points": [[0.0, 512.0], [1.0, 1024.0]], "unit": "share"}')


def test_the_order_of_components_does_not_matter() -> None:
    parts: dict[str, Any] = {
        "b": {"kind": "format", "weight": 0.1},
        "a": {"kind": "length", "weight": 0.1},
        "format": {"weight": 0.1},
    }
    one = get_reward({"components": parts})
    other = get_reward({"components": dict(reversed(parts.items()))})
    assert one == other
    assert [component.name for component in one.components] == ["b", "format", "a"]


def test_a_range_that_only_stretches_becomes_a_weight() -> None:
    schedule = {"kind": "step", "at": 9, "from": [-1, 1]}
    reward = get_reward({"components": {"correctness": {"schedule": schedule, "weight": 2}}})
    parts = reward.score(GOLD, GOLD, step=0).parts["correctness"]
    assert (parts.raw, parts.weight) == (3.0, pytest.approx(2 / 3))
    assert reward.components[0].range_schedule is None


@pytest.mark.parametrize("span", [[-1, 0], [0, 0]])
def test_a_range_that_stretches_below_nought_becomes_a_weight_too(span: list[float]) -> None:
    schedule = {"kind": "step", "at": 9, "from": [2 * end for end in span]}
    reward = get_reward({"components": {"format": {"range": span, "schedule": schedule}}})
    assert reward.part_ranges(0)["format"] == tuple(2 * end for end in span)


def test_a_range_schedule_beside_a_weight_schedule_stays_one() -> None:
    schedule = {"kind": "step", "at": 9, "from": [-1, 1]}
    weight = {"kind": "step", "at": 5, "from": 1, "to": 2}
    reward = get_reward({"components": {"correctness": {"schedule": schedule, "weight": weight}}})
    assert [reward.part_ranges(step)["correctness"][1] for step in (0, 5, 9)] == [1, 2, 6]
    assert get_reward(reward.to_dict()) == reward


def test_a_target_may_have_a_schedule() -> None:
    target = {"kind": "cosine", "unit": "share", "until": 1, "from": 10, "to": 20}
    reward = get_reward({"components": {"length": {"target": target}}})
    thought = "<think> a b c d e </think>"
    scores = [reward.score(thought, thought, step, 10).total for step in (0, 5, 10)]
    assert scores == pytest.approx([0.5, 0.33, 0.25])


REFUSED: list[tuple[Any, str]] = [
    (3, "^reward: a reward is a name, a mapping or a YAML file, not 3"),
    ({}, "^reward: is empty"),
    (
        {"nam": "coarse"},
        r"^reward\.nam: 'nam' is not known here \(valid: fidelity, granularity, length, scale\)",
    ),
    ({"name": "coarse", "scale": "dynamic"}, r"^reward\.scale: 'scale' is not known here"),
    ({"name": 3}, r"^reward\.name: 3 is no text"),
    ({"name": "corse"}, r"^reward\.name: 'corse' is no reward design"),
    ({"name": "coarse", "fidelity": "papper"}, r"^reward\.fidelity: 'papper' is not valid .*'paper'"),
    (
        {"name": "coarse@paper", "fidelity": "released"},
        "^reward: the name says 'paper' and fidelity 'released'",
    ),
    ({"scale": "dynamik"}, r"^reward\.scale: 'dynamik' is not valid \(did you mean 'dynamic'\?\)"),
    ({"length": 3}, r"^reward\.length: 3 is not valid"),
    ({"components": {}}, r"^reward\.components: components are a mapping"),
    ({"components": [FORMAT]}, r"^reward\.components: components are a mapping"),
    ({"components": {"format": FORMAT}, "name": 3}, r"^reward\.name: 3 is no text"),
    ({"components": {"format": FORMAT}, "name": "coarse"}, r"^reward\.name: 'coarse' is the name of another"),
    ({"components": {3: FORMAT}}, r"^reward\.components: 3 is no name of a part"),
    ({"components": {"a b": FORMAT}}, r"^reward\.components: 'a b' is no name of a part"),
    ({"components": {"format": 1}}, r"^reward\.components\.format: a component is a mapping, not 1"),
    ({"components": {"mine": {}}}, r"^reward\.components\.mine\.kind: 'mine' is not valid"),
    ({"components": {"format": {"wieght": 1}}}, r"format\.wieght: 'wieght' is not known here .*'weight'"),
    ({"components": {"format": {"target": 1}}}, r"format\.target: 'target' is not known here"),
    ({"components": {"format": {"weight": "1"}}}, r"format\.weight: '1' is no finite number"),
    ({"components": {"format": {"weight": True}}}, r"format\.weight: True is no finite number"),
    ({"components": {"format": {"weight": float("nan")}}}, r"format\.weight: nan is no finite number"),
    ({"components": {"format": {"range": [1, 0]}}}, r"format\.range: the range \[1, 0\] is upside down"),
    ({"components": {"format": {"range": 1}}}, r"format\.range: a range is \[low, high\], not 1"),
    (
        {"components": {"correctness": {"granularity": "fine"}}},
        r"granularity: 'fine' is not valid .*finegrained",
    ),
    ({"components": {"length": {"target": 0}}}, r"length\.target: 0 is no number of words to aim at"),
    (
        {"components": {"length": {"target": {"kind": "step", "at": 3, "from": 5, "to": -1}}}},
        "target: -1 is no",
    ),
    ({"components": {"mine": {"kind": "python"}}}, "mine: a python component has a path or a module"),
    ({"components": {"mine": {"kind": "python", "path": "a", "module": "b"}}}, "give one of the two"),
    ({"components": {"mine": {"kind": "python", "path": 3}}}, r"mine\.path: 3 is no text"),
    (
        {"components": {"mine": {"kind": "python", "module": "json"}}},
        r"mine\.function: .* names its function",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=[str(spec)[:50] for spec, _ in REFUSED])
def test_a_wrong_specification_is_refused_at_its_key(spec: Any, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        get_reward(spec)


def test_an_error_is_one_line_of_where_what_and_hint() -> None:
    assert str(RewardError("is bad", "row 3", "mend it")) == "row 3: is bad (mend it)"
    assert str(RewardError("is bad")) == "is bad"
    fault = RewardError("x" * 3, completion="c", ground_truth="g", step=4)
    assert (fault.what, fault.completion, fault.ground_truth, fault.step) == ("xxx", "c", "g", 4)


def test_a_long_value_is_cut_in_a_message() -> None:
    with pytest.raises(RewardError) as fault:
        get_reward({"length": "x" * 500})
    assert len(str(fault.value)) < 200
