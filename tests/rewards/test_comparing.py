"""Gold answers with one mistake each, under designs whose blind spots are known from their formulas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolrl_cli.app import app
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.calls.style import STYLES
from toolrl_cli.rewards.comparing.compare import profile
from toolrl_cli.rewards.comparing.mutations import mutations

CALL = (
    '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1, "b": "x"}}\n'
    '{"name": "g", "parameters": {}}\n</tool_call>'
)
SILENT = "<think> t </think>\n<response> no </response>"
ROWS = [(CALL, {}), (SILENT, {})]


def test_every_mutation_is_another_text_and_the_gold_answer_is_the_gold_turn() -> None:
    for style in STYLES.values():
        for truth in (CALL, SILENT):
            found = list(mutations(truth, style))
            texts = {mutation.name: mutation.text for mutation in found}
            assert len(set(texts.values())) == len(texts) and {"gold", "nothing"} <= set(texts)
    assert {m.name: m.text for m in mutations(CALL, STYLES["toolrl"])}["gold"] == CALL


@pytest.mark.parametrize(
    ("reward", "blind"),
    [
        ("coarse", set()),
        # without an empty list in a block, silence earns nothing there, whatever stands around it
        ("tool_n1@toolrl", {"text_around", "called_anyway", "no_thought", "nothing"}),
        ("nemo_gym@toolrl", {"extra_call", "repeated_call", "text_around", "no_thought", "nothing"}),
        ("xlam_fc@toolrl", {"extra_parameter", "text_around", "no_thought", "nothing"}),
    ],
)
def test_mistakes_that_earn_as_much_as_the_gold_answer_are_named(reward: str, blind: set[str]) -> None:
    found = profile(get_reward(reward), ROWS)
    assert set(found.blind) == blind


def test_a_group_has_no_gradient_as_often_as_counting_says() -> None:
    two_valued = profile(get_reward({"components": {"names": {}}}), [(CALL, {})], rollouts=2)
    values = [cell.mean for cell in two_valued.cells.values()]
    share = values.count(1) / len(values)
    assert two_valued.no_gradient == pytest.approx(share**2 + (1 - share) ** 2)
    assert two_valued.values == 2
    constant = profile(get_reward({"components": {"names": {"weight": 0}}}), ROWS)
    assert constant.no_gradient == 1 and constant.values == 1


def test_a_row_that_cannot_be_scored_is_named() -> None:
    with pytest.raises(RewardError, match=r"row 0: components\.f: the row does not say which tools"):
        profile(get_reward({"components": {"f": {"kind": "faults", "of": "unknown_tools"}}}), ROWS)


def test_the_command_compares_names_and_files_on_toolworld(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("components: {exact: {}}\n")
    argv = ["reward", "compare", "coarse", str(tmp_path / "mine.yaml"), "--rows", "8"]
    told = CliRunner().invoke(app, [*argv, "--json"])
    assert told.exit_code == 0, told.output
    first, second = json.loads(told.stdout)["designs"]
    assert (first["reward"], first["blind"]) == ("coarse", [])
    assert "text_around" in second["blind"] and second["cells"]["gold"]["rows"] == 8
    shown = CliRunner().invoke(app, argv)
    assert shown.exit_code == 0 and "text around" in shown.stdout and "no gradient" in shown.stdout
