"""Designs of other papers, on values that their released scorers give (or their formulas, where none is released)."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.explain import explain
from toolrl_cli.rewards.field.designs import DESIGNS
from toolrl_cli.rewards.gold import check_gold

A = {"name": "Get_Price", "arguments": {"loc_1": "ORD", "loc_2": "SFO"}}
B = {"name": "Get_Price", "arguments": {"loc_1": "ORD", "loc_2": "LAX"}}
X = {"name": "Other", "arguments": {"q": "x"}}
A_SWAPPED = {"name": "Get_Price", "arguments": {"loc_2": "SFO", "loc_1": "ORD"}}
A_MORE = {"name": "Get_Price", "arguments": {"loc_1": "ORD", "loc_2": "SFO", "z": 2}}
A_PARAMETERS = {"name": "Get_Price", "parameters": A["arguments"]}
T = "<think>t</think>"
NONE = f"{T}\n<response>no</response>"


def f(**arguments: Any) -> dict[str, Any]:
    return {"name": "f", "arguments": arguments}


def block(*calls: Any) -> str:
    return f"<tool_call>{json.dumps(list(calls))}</tool_call>"


def lines(*calls: Any) -> str:
    return "<tool_call>\n" + "\n".join(map(json.dumps, calls)) + "\n</tool_call>"


def gold(*calls: Any) -> str:
    if not calls:
        return NONE
    return f"{T}\n{lines(*({'name': c['name'], 'parameters': c['arguments']} for c in calls))}"


TOOL_N1 = (
    *("tool_n1", "tool_n1_llama", "tool_n1_lexico", "tool_n1_no_reason", "tool_n1_partial_reason"),
    *("tool_n1_partial_names", "nio"),
)
TABLE: list[tuple[str, str, tuple[float, ...]]] = [
    (gold(A), T + block(A), (1, 1, 1.2, 1, 1, 1, 1)),
    (gold(A), T + f"<tool_call>{json.dumps(A)}</tool_call>", (1, 1, 1.2, 1, 1, 1, 1)),
    (gold(A), T + block(A_SWAPPED), (1, 1, 1.2, 1, 1, 1, 1)),
    (gold(A), T + block(A) + " more", (1, 1, 1.2, 1, 1, 1, 1)),
    (gold(A), block(A) + T, (1, 1, 1.2, 1, 1, 1, 0.9)),
    (gold(A), block(A), (0, 0, 1, 1, 0.8, 0.8, 0.9)),
    (gold(A), T + block(B), (0, 0, -0.2, 0, 0.2, 0.4, 0.1)),
    (gold(A), T + block(A_MORE), (0, 0, -0.2, 0, 0.2, 0.4, 0.1)),
    (gold(A), T + block(X), (0, 0, -0.2, 0, 0.2, 0.2, 0.1)),
    (gold(A), T + block(A, B), (0, 0, -0.2, 0, 0.2, 0.2, 0.1)),
    (gold(A, B), T + block(A), (0, 0, -0.2, 0, 0.2, 0.2, 0.1)),
    (gold(A), T + block(A_PARAMETERS), (0, 0, -0.2, 0, 0.2, 0.2, 0.1)),
    (gold(A, B), T + block(B, A), (1, 1, 1.2, 1, 1, 1, 1)),
    (gold(A), T + block(B) + block(A), (1, 1, 1.2, 1, 1, 1, 0.1)),
    (gold(A), T + block(A) + block(B), (0, 0, -0.2, 0, 0.2, 0.4, 1)),
    (gold(f(n=1)), T + block(f(n=1.0)), (0, 0, -0.2, 0, 0.2, 0.4, 0.1)),
    (gold(f(n=1)), T + block(f(n="1")), (0, 0, -0.2, 0, 0.2, 0.4, 1)),
    (gold(A), T + "<tool_call>{not json</tool_call>", (0, 0, 0, 0, 0.2, 0.2, 0.1)),
    (gold(A, B), T + lines(A, B), (0, 0, 0, 0, 0.2, 0.2, 1)),
    (gold(), T + "sorry", (0, 1, 0, 0, 0.2, 0.2, 0.9)),
    (gold(), "sorry", (0, 1, 0, 0, 0, 0, 0.9)),
    (gold(), T + block(), (1, 1, 1.2, 1, 1, 1, 1)),
]


@pytest.mark.parametrize(("truth", "completion", "values"), TABLE)
def test_tool_n1_and_its_fork_score_as_released(
    truth: str, completion: str, values: tuple[float, ...]
) -> None:
    got = [get_reward(name).score(completion, truth).total for name in TOOL_N1]
    assert got == pytest.approx(values)


def tags(*calls: Any) -> str:
    """A block for every call, as Qwen's template writes them."""
    return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)


WORDS = "a b c d e f g h"


def react(call: Any, text: str = "Thought: t\n") -> str:
    return f"{text}Action: {call['name']}\nAction Input: {json.dumps(call['arguments'])}"


VALUES: list[tuple[str, str, str, float]] = [
    # NeMo-Gym: the switch off, strict, fractional, f1
    *[
        (name, gold(*wanted), tags(*given), value)
        for wanted, given, values in [
            ((A, B), (B, A), (1, 1, 1, 1)),
            ((A, B), (A,), (0, 0, 1, 2 / 3)),
            ((A, B), (A, X), (0, 0, 0.5, 0.5)),
            ((A, B), (A, B, X), (1, 0, 1, 0.8)),
            ((A,), (A, X), (1, 0, 1, 2 / 3)),
            ((), (), (1, 1, 1, 1)),
            ((), (A,), (0, 0, 0, 0)),
        ]
        for name, value in zip(
            ("nemo_gym", "nemo_gym_strict", "nemo_gym_fractional", "nemo_gym_f1"), values, strict=True
        )
    ],
    *[
        ("nemo_gym", gold(f(v=wanted)), tags(f(v=given)), value)
        for wanted, given, value in [
            (1, 1.0, 0),
            (1.0, 1, 0),
            (1, True, 1),
            (True, 1, 0),
            (None, None, 1),
            (1.0, 1.0000005, 1),
            (WORDS, "i a", 1),
            (f"{WORDS} i", "i z", 0),
            ("Paris", "paris", 0),
        ]
    ],
    ("nemo_gym", gold(A), tags(A_MORE), 0),
    # NeMo-Gym xlam_fc
    ("xlam_fc", gold(A), tags(A_MORE), 1),
    ("xlam_fc", gold(A), tags(A, X), 0),
    ("xlam_fc", gold(A, B), tags(B, A), 1),
    ("xlam_fc", gold(f(a=1), f(a=1, b=2)), tags(f(a=1, b=2), f(a=1)), 0),
    ("xlam_fc", gold(f(a=1)), tags(f(a=True)), 1),
    ("xlam_fc", gold(f(a=1)), tags(f(a=1.0)), 1),
    ("xlam_fc", gold(), "no", 1),
    # Trinity-RFT
    ("trinity", gold(A), T + block(A), 1),
    ("trinity", gold(A), T + T + block(A), 0),
    ("trinity", gold(A), block(A) + T, 0),
    # SLM: JSON and nothing else
    ("slm", gold(A), json.dumps([A]), 1),
    ("slm", gold(A), json.dumps([B]), 0.75),
    ("slm", gold(A, X), json.dumps([A]), 0.5625),
    ("slm", gold(A), json.dumps([A, X]), 0.5625),
    ("slm", gold(A), f"Here: {json.dumps([A])}", 0),
    # MatchTIR
    ("match_tir", gold(A, B), tags(A, B), 1),
    ("match_tir", gold(A, B), tags(A, {"name": "Get_Price", "arguments": {"loc_2": "LAX"}}), 0.8125),
    ("match_tir", gold(A, B), tags({"name": "Get_Flight", "arguments": {}}, B), 0.5),
    ("match_tir", gold(A, B), tags(A, B, X), 2 / 3),
    ("match_tir", gold(A), tags(B), 0.75),
    ("match_tir", gold(A), tags({**A, "name": "GET_PRICE"}), 1),
    # halo-forge
    ("halo_forge", gold(A), tags(A), 0.75),
    ("halo_forge", gold(A), tags(B), 0.625),
    ("halo_forge", gold(A, B), tags(A), 0.3),
    ("halo_forge", gold(A), tags(A, X), 0.4),
    ("halo_forge", gold(A), "no call", 0),
    ("halo_forge", gold(A), tags(A_MORE), 0.75),
    ("halo_forge", gold(), "no call", 1),
    ("halo_forge", gold(), tags(A), -0.25),
    # reward-kit
    ("reward_kit", gold(A, B), tags(A, B), 1),
    ("reward_kit", gold(A, B), tags(B, A), 0),
    ("reward_kit", gold(), "no call", 1),
    # ms-swift's toolbench: the F1 is cut to all or nothing
    ("ms_swift_toolbench", gold(A), react(A), 1),
    ("ms_swift_toolbench", gold(A), react(A_SWAPPED), 1),
    ("ms_swift_toolbench", gold(A), react(B), 0),
    ("ms_swift_toolbench", gold(A), react(A_MORE), 0),
    ("ms_swift_toolbench", gold(A), react(X), 0),
    ("ms_swift_toolbench", gold(f(n=1)), react(f(n=1.0)), 1),
    ("ms_swift_toolbench", gold(A), react(B) + "\n" + react(A), 1),
    ("ms_swift_toolbench", gold(A), react(A) + "\nObservation: x\n" + react(B) + "\nObservation:", 1),
    ("ms_swift_toolbench", gold(A), "Action: Get_Price\nAction Input: ORD", 0),
    ("ms_swift_toolbench", gold(f()), "Action: f", 1),
    ("ms_swift_toolbench", gold(A), "no action", 0),
    ("ms_swift_toolbench", gold(), "no action", 1),
    ("ms_swift_toolbench", gold(), react(A), 0),
    # ms-swift's port and ResT: white space, and text, between the fields
    ("ms_swift_toolrl", gold(A), T + lines(A_PARAMETERS), 4),
    ("original", gold(A), T + lines(A_PARAMETERS), 3),
    ("rest", gold(A), f"{T} and so {lines(A_PARAMETERS)}", 4),
    ("rest", gold(A), f"<think>a<response>b</response></think>\n{lines(A_PARAMETERS)}", 3),
]


@pytest.mark.parametrize(("name", "truth", "completion", "value"), VALUES)
def test_a_design_gives_its_worked_value(name: str, truth: str, completion: str, value: float) -> None:
    assert get_reward(name).score(completion, truth).total == pytest.approx(value)


def test_tool_rla_multiplies_its_shares() -> None:
    wanted = gold(
        {"name": "one", "arguments": {"a": 1, "b": 2, "c": 3, "d": 4}}, {"name": "two", "arguments": {}}
    )
    called = {"name": "one", "parameters": {"a": 1, "b": 2, "c": 3, "d": 5}}
    reward = get_reward("tool_rla")
    assert reward.score(T + lines(called), wanted).parts["correct"].raw == pytest.approx(0.375)
    unknown = {"name": "three", "parameters": {}}
    assert reward.score(T + lines(called, unknown), wanted).parts["correct"].raw == 0


@pytest.mark.parametrize(
    ("right", "tokens", "value"),
    [
        *[(True, 0, 1.0), (True, 512, 0.8682), (True, 1024, 0.55), (True, 2048, -1.0)],
        *[(False, 0, -1.0), (False, 512, -0.8682), (False, 1024, -0.55), (False, 4096, -1.0)],
    ],
)
def test_coder_follows_a_cosine_of_the_length(right: bool, tokens: int, value: float) -> None:
    score = get_reward("coder").score(T + block(A if right else B), gold(A), tokens=tokens)
    assert score.total == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("right", "tokens", "value"), [(True, 250, 0.9268), (True, 1000, 0.5), (False, 500, -0.25)]
)
def test_a_cosine_has_ms_swifts_values(right: bool, tokens: int, value: float) -> None:
    parts = {"exact": {"weight": 0}, "length": {"kind": "cosine", "of": "exact", "max_length": 1000}}
    reward = get_reward({"components": parts})
    completion = T + lines(A_PARAMETERS if right else X)
    assert reward.score(completion, gold(A), tokens=tokens).total == pytest.approx(value, abs=1e-4)


def test_an_overlong_penalty_that_is_not_clipped_goes_on_growing() -> None:
    part = {"kind": "overlong", "max_length": 1024, "buffer": 256, "clip": False}
    reward = get_reward({"components": {"overlong": part}})
    values = [reward.score("x", gold(), tokens=tokens).total for tokens in (768, 896, 1024, 1280)]
    assert values == [0, -0.5, -1, -2]
    assert reward.total_range() == (-math.inf, 0.0)


def test_repetition_has_ms_swifts_value() -> None:
    reward = get_reward({"components": {"repetition": {}}})
    assert reward.score("a b c a b c a b c", gold()).total == pytest.approx(-(1 - 3 / 7))
    assert reward.score("a b", gold()).total == 0


ACCEPTED = [
    {
        "Get_Price": {
            **{"loc_1": ["ORD", "Chicago, O'Hare"], "n": [1, ""], "x": [1.0, ""], "opt": ["a", "b", ""]},
            **{"l": [["p", "q"], ""], "d": [{"k": ["V w", ""], "m": [1]}, ""], "v": ["y", ""]},
            **{"ds": [[{"k": ["a"]}, {"k": ["b"]}], ""]},
        }
    }
]
TYPES = {
    **{
        "loc_1": {"type": "string"},
        "n": {"type": "integer"},
        "x": {"type": "float"},
        "opt": {"type": "string"},
    },
    **{"l": {"type": "array", "items": {"type": "string"}}, "d": {"type": "dict"}, "v": {"type": "integer"}},
    **{"ds": {"type": "array", "items": {"type": "dict"}}, "z": {"type": "integer"}},
}
ASKED = {
    "data_source": "d",
    "extra_info": {
        "accepted": json.dumps(ACCEPTED),
        "tools": [
            {"name": "Get_Price", "parameters": {"properties": TYPES, "required": ["loc_1"]}},
            {"name": "f"},
        ],
    },
}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({"loc_1": "ORD"}, 1),
        ({"loc_1": "CHICAGO O'HARE"}, 1),
        ({"loc_1": "chicago ohare"}, 0),
        ({"loc_1": "SFO"}, 0),
        ({"n": 1}, 0),
        ({"loc_1": "ORD", "n": 1}, 1),
        ({"loc_1": "ORD", "opt": "B"}, 1),
        ({"loc_1": "ORD", "opt": "c"}, 0),
        ({"loc_1": "ORD", "x": 1}, 1),
        ({"loc_1": "ORD", "n": 1.0}, 0),
        ({"loc_1": "ORD", "n": "1"}, 0),
        ({"loc_1": "ORD", "n": True}, 0),
        ({"loc_1": "ORD", "z": 1}, 0),
        ({"loc_1": "ORD", "l": ["P", "q"]}, 1),
        ({"loc_1": "ORD", "l": ["q", "p"]}, 0),
        ({"loc_1": "ORD", "l": []}, 1),
        ({"loc_1": "ORD", "l": [1, 2]}, 0),
        ({"loc_1": "ORD", "d": {"k": "v-W", "m": 1}}, 1),
        ({"loc_1": "ORD", "d": {"m": 1}}, 1),
        ({"loc_1": "ORD", "d": {"k": "v w"}}, 0),
        ({"loc_1": "ORD", "d": {"m": 1, "o": 1}}, 0),
        ({"loc_1": "ORD", "v": "y"}, 1),
        ({"loc_1": "ORD", "v": "Y"}, 0),
        ({"loc_1": "ORD", "ds": [{"k": "A"}, {"k": "b"}]}, 1),
        ({"loc_1": "ORD", "ds": [{"k": "b"}, {"k": "a"}]}, 0),
    ],
)
def test_bfcls_check_gives_its_worked_values(arguments: dict[str, Any], value: float) -> None:
    truth = gold({"name": "Get_Price", "arguments": {"loc_1": "ORD"}})
    completion = tags({"name": "Get_Price", "arguments": arguments})
    score = get_reward("bfcl_ast").score(completion, truth, row=ASKED)
    assert score.total == value
    (part,) = explain(get_reward("bfcl_ast"), completion, truth, row=ASKED).parts
    assert part.terms[0].value == value


def test_bfcls_check_counts_calls_takes_them_in_any_order_and_needs_the_right_tool() -> None:
    tools = [{"name": "Get_Price", "parameters": {"properties": TYPES | {"loc_2": {}}}}, {"name": "f"}]
    row = {"data_source": "d", "extra_info": {"tools": tools}}
    reward = get_reward("bfcl_ast")
    cases: list[tuple[Any, Any, float]] = [
        ((A, B), (A, B), 1),
        ((A, B), (B, A), 1),
        ((A, B), (A,), 0),
        ((A,), (A, A), 0),
        ((A,), (X,), 0),
        ((A,), (A_MORE,), 0),
        ((A,), (), 0),
        ((f(),), (f(),), 1),
        ((), (), 1),
        ((), (A,), 0),
    ]
    for wanted, given, value in cases:
        assert reward.score(tags(*given) or "no", gold(*wanted), row=row).total == value, (wanted, given)
    with pytest.raises(RewardError, match="the gold turn calls 'Other', which the row does not offer"):
        reward.score(tags(X), gold(X), row=row)


@pytest.mark.parametrize(
    "accepted", ["[", "{}", "[]", '[{"f": {}}]', '[{"Get_Price": []}]', '[{"Get_Price": {"a": 1}}]', "[1]"]
)
def test_accepted_values_that_are_none_are_a_fault_of_the_row(accepted: str) -> None:
    row = {**ASKED, "extra_info": {**ASKED["extra_info"], "accepted": accepted}}
    with pytest.raises(
        RewardError, match=r"extra_info\.accepted: the row's accepted values .*for each gold call"
    ):
        get_reward("bfcl_ast").score(tags(A), gold(A), row=row)


def test_the_multireward_looks_at_the_tools_and_refuses_rows_without_them() -> None:
    reward = get_reward("tool_call_multireward")
    schema = {"properties": {"loc_1": {}, "loc_2": {}}, "required": ["loc_1", "loc_2"]}
    row = {
        "data_source": "d",
        "extra_info": {"tools": json.dumps([{"name": "Get_Price", "parameters": schema}])},
    }
    assert reward.score(f"Look: {tags(A)}", gold(A), row=row).total == 2
    assert reward.score(tags(B), gold(A), row=row).total == 2
    assert reward.score(tags(A), gold(A), row=row).total == 3
    with pytest.raises(RewardError, match=r"which tools it offers .*extra_info\.tools"):
        reward.score(tags(A), gold(A))


OFFERED = {
    "data_source": "d",
    "extra_info": {
        "tools": [{"name": "Get_Price", "parameters": {"properties": {"loc_1": {}, "loc_2": {}}}}]
    },
}


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_a_design_is_what_its_mapping_says_and_explains_itself(design: Any) -> None:
    row = OFFERED
    for name in (design.name, f"{design.name}@toolrl"):
        reward = get_reward(name)
        again = get_reward(json.loads(json.dumps(reward.to_dict())))
        assert (again, again.identity()) == (reward, reward.identity())
        assert again.name in (design.name, f"{design.name}@toolrl")
        for completion in (
            T + block(A),
            T + lines(A_PARAMETERS),
            tags(A),
            json.dumps([A]),
            "",
            "<tool_call>[</tool_call>",
        ):
            for truth in (gold(A), gold()):
                low, high = reward.total_range(1, 10, truth)
                explained = explain(reward, completion, truth, 1, 10, 7, row)
                score = reward.score(completion, truth, 1, 10, 7, row)
                assert explained.total == score.total
                assert low - 1e-9 <= score.total <= high + 1e-9, (completion, truth)
                for part in explained.parts:
                    assert part.terms and part.terms[-1].value == part.raw


def test_in_the_form_of_the_toolrl_prompts_the_gold_answer_earns_the_most() -> None:
    row = OFFERED
    for design in DESIGNS:
        if design.name == "coder":
            continue  # its most is for a length of 0
        reward = get_reward(f"{design.name}@toolrl")
        truth = f"{T}\n{lines(A_PARAMETERS)}"
        assert reward.score(truth, truth, 1, 10, 1, row).total == pytest.approx(
            reward.max_total(1, 10, truth)
        ), design.name


def test_the_gold_check_passes_in_the_datas_form_and_names_the_way_out_in_another() -> None:
    row = OFFERED
    truth = f"{T}\n{lines(A_PARAMETERS)}"
    for design in DESIGNS:
        assert check_gold(get_reward(f"{design.name}@toolrl"), [(0, truth, row)]).ok, design.name
    (fault,) = check_gold(get_reward("tool_n1"), [truth]).shortfalls
    assert "`reading: toolrl`" in str(fault)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("tool_n1@paper", "'paper' is not valid"),
        ("tool_m1", "did you mean 'tool_n1'"),
        ({"name": "tool_n1", "fidelity": "paper"}, "ToolRL's own designs"),
        ({"name": "original", "reading": "hermes"}, "read calls in one form"),
        ({"name": "tool_n1@toolrl", "reading": "hermes"}, "keep one"),
        ("rest@hermes", "in ToolRL's form alone"),
        ({"name": "tool_n1", "components": {"format": {}}}, "is the name of another design"),
    ],
)
def test_a_name_that_says_something_else_is_refused(spec: Any, told: str) -> None:
    with pytest.raises(RewardError, match=told):
        get_reward(spec)
