"""Explanations: every term, the alignment, and which deviations apply."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.rewards.golden import golden_rows
from tests.rewards.strategies import completions, ground_truths
from tests.rewards.test_designs import ALL
from tests.rewards.turns import FLIGHT, GOLD, LAX, ROLLOUTS, SFO, call, turn
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.explain import Explanation, PartExplained, explain

NO_CALL = turn(response="ok")


def explained(
    name: str, completion: str, gold: str = GOLD, step: int = 0, total: int | None = 100
) -> Explanation:
    return explain(get_reward(name), completion, gold, step, total)


def correctness(explanation: Explanation) -> PartExplained:
    return next(part for part in explanation.parts if part.kind == "correctness")


def numbers(explanation: Explanation) -> list[int]:
    return [difference.number for difference in explanation.differences]


def test_figure_3_is_explained_term_by_term() -> None:
    part = correctness(explained("original", ROLLOUTS["figure 3, rollout 2"]))
    assert [(term.name, term.formula, round(term.value, 4)) for term in part.terms] == [
        ("names", "Jaccard of the names, repeats counted", 0.3333),
        ("call 1", "predicted call 2: keys 1 + values 1", 2.0),
        ("match", "0.3333 + 2", 2.3333),
        ("S_max", "1 + calls + parameters", 7.0),
        ("raw", "6 · 0.3333 - 3", -1.0),
    ]
    assert [
        (row.gold, row.predicted, row.gold_name, row.predicted_name, row.score) for row in part.alignment
    ] == [
        (0, 1, "Get_Price", "Get_Price", 2.0),
        (1, None, "Get_Price", None, 0.0),
        (None, 0, None, "Get_Flight", 0.0),
    ]
    sfo = part.alignment[0].values[1]
    assert (sfo.key, sfo.wanted, sfo.given, sfo.equal) == ("loc_2", '"SFO"', '"LAX"', False)


def test_the_paper_s_alignment_of_figure_3_is_the_best_one() -> None:
    explanation = explained("original@paper", ROLLOUTS["figure 3, rollout 2"])
    part = correctness(explanation)
    assert [(row.gold, row.predicted) for row in part.alignment] == [(0, None), (1, 1), (None, 0)]
    assert part.terms[-1].value == pytest.approx(-1 / 7)
    assert numbers(explanation) == [1]


@pytest.mark.parametrize("name", ALL)
def test_an_explanation_adds_up_to_the_score(name: str) -> None:
    reward = get_reward(name)
    for row in golden_rows()[:40]:
        arguments = (row["completion"], row["ground_truth"], row["step"], 150)
        explanation, score = explain(reward, *arguments), reward.score(*arguments)
        assert explanation.total == score.total == sum(part.weighted for part in explanation.parts)
        for part in explanation.parts:
            assert part.terms[-1].name == "raw"
            assert part.terms[-1].value == part.raw == score.parts[part.name].raw
            terms = {term.name: term.value for term in part.terms}
            if "S_max" in terms:
                earned = sum(v for k, v in terms.items() if k == "names" or k.startswith("call "))
                assert terms["match"] == pytest.approx(earned)
                assert 6 * earned / terms["S_max"] - 3 == pytest.approx(part.raw) or "equal_max" in name


@settings(deadline=None)
@given(text=completions | ground_truths(), gold=ground_truths())
def test_every_text_can_be_explained_as_json(text: str, gold: str) -> None:
    for name in ("original", "finegrained+dynamic+length_dynamic", "coarse@paper", "intermediate@paper"):
        json.dumps(explained(name, text, gold, 3).to_dict())


@pytest.mark.parametrize(
    ("completion", "problem"),
    [
        ("<think> t </think>", "no <tool_call> … </tool_call> block"),
        (turn("{bad"), "line 1 is not JSON: '{bad': Expecting property name"),
        (turn(SFO), ""),
    ],
)
def test_the_problem_with_calls_is_named(completion: str, problem: str) -> None:
    assert explained("original", completion).parsed.problem.startswith(problem)


def test_an_unwanted_call_that_is_unreadable_has_a_problem_and_a_missing_one_has_none() -> None:
    assert explained("original", turn("{bad"), NO_CALL).parsed.problem
    assert explained("original", NO_CALL, NO_CALL).parsed.problem == ""


def test_fields_are_counted() -> None:
    fields = {field.name: field for field in explained("original", turn(SFO) + "<tool_call>").parsed.fields}
    assert (fields["think"].required, fields["think"].opened, fields["think"].closed) == (True, 1, 1)
    assert (fields["tool_call"].required, fields["tool_call"].opened, fields["tool_call"].closed) == (
        True,
        2,
        1,
    )
    assert (fields["response"].required, fields["response"].opened) == (False, 0)


@pytest.mark.parametrize("name", ["coarse", "coarse@paper"])
def test_equal_calls_are_aligned_also_where_there_is_no_matching(name: str) -> None:
    same = correctness(explained(name, GOLD))
    assert [(row.gold, row.predicted, row.score) for row in same.alignment] == [(0, 0, 1.0), (1, 1, 1.0)]
    other = correctness(explained(name, turn(LAX, FLIGHT)))
    assert [(row.gold, row.predicted, row.score) for row in other.alignment] == [
        (0, None, 0.0),
        (1, 0, 0.0),
        (None, 1, 0.0),
    ]


@pytest.mark.parametrize(("name", "full"), [("original", 3.0), ("intermediate", 1.0)])
def test_an_exact_answer_earns_all_its_terms(name: str, full: float) -> None:
    part = correctness(explained(name, GOLD))
    assert [row.score for row in part.alignment] == [full, full]
    assert part.terms[0].formula == "the calls equal the ground truth's"


def test_intermediate_pairs_are_whole_calls() -> None:
    part = correctness(explained("intermediate", turn(FLIGHT, LAX)))
    assert part.terms[1].formula == "predicted call 2: equal"
    assert part.terms[-2].formula == "1 + calls"


def test_a_misshapen_call_is_named() -> None:
    part = correctness(explained("original", turn('{"name": "Get_Price"}')))
    assert part.terms[0].formula == "a call has the wrong shape (KeyError: 'parameters'): -3"
    assert [row.predicted_name for row in part.alignment] == [None, None, "Get_Price"]
    odd = correctness(explained("original", turn("3", '{"name": [1]}')))
    assert [row.predicted_name for row in odd.alignment] == [None, None, "3", "[1]"]


def test_a_value_nested_too_deep_to_be_written_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(*_: object, **__: object) -> str:
        raise RecursionError

    monkeypatch.setattr("toolrl_cli.rewards.explain.json.dumps", too_deep)
    assert explained("original", GOLD).parsed.calls[0] == "(nested too deep to show)"


def test_length_is_explained_in_words() -> None:
    part = explained("length", turn(SFO, think="a b c d e f")).parts[-1]
    assert [(term.formula, term.value) for term in part.terms] == [
        ("of the last think block", 6.0),
        ("6 / 512 to two decimals", 0.01),
        ("1 · 0.01 + 0", 0.01),
    ]
    assert explained("length@paper", turn(think="a")).parts[-1].terms[1].formula == "1 / 512"
    assert explained("length", "").parts[-1].terms[0].formula == "no think block"


def test_a_user_component_is_explained_by_its_value(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("def f(): return 2")
    part = {"kind": "python", "path": "user.py", "function": "f", "weight": 0.5}
    reward = get_reward({"components": {"mine": part}}, base_dir=tmp_path)
    mine = explain(reward, "", GOLD).parts[0]
    assert (mine.kind, mine.raw, mine.weight, mine.weighted) == ("python", 2.0, 0.5, 1.0)
    assert mine.terms[0].formula == "value of the function"


FIRST, SECOND = call("f", a=1, b=2), call("g", a=1)
DIFFERENCES = [
    ("original", GOLD, GOLD, []),
    ("original", ROLLOUTS["figure 3, rollout 1"], GOLD, []),
    ("original", ROLLOUTS["figure 3, rollout 2"], GOLD, [1]),
    ("finegrained", ROLLOUTS["figure 3, rollout 2"], GOLD, [1]),
    ("intermediate", ROLLOUTS["figure 3, rollout 2"], GOLD, []),
    ("original", ROLLOUTS["one extra call"], GOLD, [2]),
    ("original", NO_CALL, NO_CALL, [3]),
    ("original", ROLLOUTS["exact call, no think"], GOLD, [4]),
    ("original", ROLLOUTS["response only"], GOLD, [5]),
    ("original", turn("{bad"), GOLD, [5]),
    ("original", turn('{"name": "Get_Price"}'), GOLD, [5]),
    ("original", turn(SECOND, FIRST), turn(FIRST, SECOND), []),
    ("finegrained", turn(SECOND, FIRST), turn(FIRST, SECOND), [6]),
    ("finegrained", turn(call("f", b=2, a=1), FLIGHT), turn(FIRST, FLIGHT), []),
    ("finegrained", turn(call("f", b=2, a=3)), turn(FIRST), [6]),
    ("finegrained", turn(call("f", a=1, b=3)), turn(FIRST), []),
    ("coarse", turn(SECOND, FIRST), turn(FIRST, SECOND), [6]),
    ("coarse", turn(FIRST), turn(FIRST, SECOND), []),
    ("coarse", turn('{"name": "f"}'), turn(FIRST), []),
    ("dynamic", GOLD, GOLD, [7]),
    ("length", GOLD, GOLD, [8]),
    ("length", turn(SFO, LAX, think="w " * 600), GOLD, []),
    ("length", "", NO_CALL, [3]),
    ("length_dynamic", turn(SFO, LAX, think="w " * 600), GOLD, [8]),
    ("original", turn(SFO, LAX, think="<tool_call>") + "<tool_call>", GOLD, [5, 13]),
]


@pytest.mark.parametrize(("name", "completion", "gold", "found"), DIFFERENCES)
def test_the_deviations_that_apply_are_named(name: str, completion: str, gold: str, found: list[int]) -> None:
    assert numbers(explained(name, completion, gold)) == found


def test_a_call_that_only_the_paper_looks_at_hides_no_matching() -> None:
    # the misshapen call has a name that the ground truth lacks: the code passes it by, the paper cannot
    assert numbers(explained("original", turn(SFO, '{"name": "x"}'))) == []


def test_scales_are_compared_where_the_run_s_length_is_known() -> None:
    known, unknown = (explained("dynamic", GOLD, step=75, total=total) for total in (105, None))
    assert known.differences[0].text == (
        "over 150 steps, whatever the run's length: format [-1, 1.5], correctness [-2.5, 2.5] here; "
        "paper: format [-1.286, 1.286], correctness [-2.714, 2.714]"
    )
    assert unknown.differences[0].text.endswith("paper: over the run's own length")
    lengths = [
        explained("length_dynamic", "", step=105, total=total).differences[-1].text for total in (105, None)
    ]
    assert lengths[0].startswith("a target of 640 words here")
    assert lengths[0].endswith("paper: 1024")
    assert lengths[1].endswith("paper: 512 to 1024 over the run")


def test_a_composition_of_one_s_own_has_no_deviations_of_scale() -> None:
    reward = get_reward(
        {"components": {"format": {"weight": 2}, "correctness": {"weight": 3}, "b": {"kind": "length"}}}
    )
    assert numbers(explain(reward, GOLD, GOLD)) == [8]


def test_white_space_between_fields_fails_the_code_and_not_the_paper_and_is_shown() -> None:
    spaced = GOLD.replace("</think>\n<tool_call>", "</think>\r\n\n<tool_call>")
    released, paper = (explain(get_reward(name), spaced, GOLD) for name in ("original", "original@paper"))
    assert [part.raw for part in released.parts] == [0, 3] and [part.raw for part in paper.parts] == [1, 3]
    (difference,) = [found for found in released.differences if found.number == 17]
    assert repr("\r\n\n") in difference.text
    said = GOLD.replace("</think>\n<tool_call>", "</think> and so\n<tool_call>")
    assert get_reward("original@paper").score(said, GOLD).parts["format"].raw == 0
