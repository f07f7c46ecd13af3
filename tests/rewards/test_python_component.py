"""Components that users write."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.rewards.turns import FLIGHT, GOLD, LAX, SFO, turn
from toolrl_cli.rewards import Reward, RewardError, get_reward
from toolrl_cli.rewards.explain import explain


def reward_of(tmp_path: Path, source: str, **keys: Any) -> Reward:
    """A reward whose one component is the function `f` of `source`."""
    path = tmp_path / "user.py"
    path.write_text(source)
    part = {"kind": "python", "path": str(path), "function": "f", **keys}
    return get_reward({"components": {"mine": part}})


def test_a_function_gets_the_inputs_it_names(tmp_path: Path) -> None:
    source = "def f(step, completion, total_steps, ground_truth): return [step, total_steps, completion, ground_truth]"
    with pytest.raises(RewardError, match=r"returned \[5, 10, 'ab', 'cde'\]"):
        reward_of(tmp_path, source).score("ab", "cde", 5, 10)


def test_a_function_that_takes_anything_gets_all_inputs(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "def f(**inputs): return len(inputs)")
    assert reward.score(GOLD, GOLD).total == 11


def test_a_default_of_its_own_is_left_alone(tmp_path: Path) -> None:
    assert reward_of(tmp_path, "def f(completion, *, bonus=7): return bonus").score("", "").total == 7


def test_calls_are_parsed_for_a_function(tmp_path: Path) -> None:
    reward = reward_of(
        tmp_path, "def f(calls, gold_calls): return [len(calls or 'none'), len(gold_calls)][0]"
    )
    assert reward.score(turn(FLIGHT), GOLD).total == 1
    assert reward.score("no call", GOLD).total == 4
    assert reward_of(tmp_path, "def f(gold_calls): return len(gold_calls)").score("", turn()).total == 0


def test_what_a_function_does_to_its_calls_reaches_no_other_score(tmp_path: Path) -> None:
    source = "def f(calls, gold_calls):\n    calls.clear()\n    gold_calls.clear()\n    return 0"
    path = tmp_path / "user.py"
    path.write_text(source)
    part = {"kind": "python", "path": str(path), "function": "f"}
    reward = get_reward({"components": {"a": part, "correctness": {}, "z": part}})
    for _ in range(2):
        assert reward.score(GOLD, GOLD).parts["correctness"].raw == 3


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1.1", "-0.1"])
def test_a_value_outside_its_range_is_an_error_and_never_a_score(tmp_path: Path, value: str) -> None:
    reward = reward_of(tmp_path, f"def f(): return float('{value}')", range=[0, 1])
    with pytest.raises(RewardError, match=r"^components\.mine: f returned .*\(in .*user\.py\)") as fault:
        reward.score("text", GOLD, step=7)
    assert (fault.value.completion, fault.value.ground_truth, fault.value.step) == ("text", GOLD, 7)


def test_without_a_declared_range_any_finite_number_goes(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "def f(): return -1e9")
    assert reward.score("", "").total == -1e9
    assert reward.total_range() == (float("-inf"), float("inf"))
    with pytest.raises(RewardError, match="f returned nan"):
        reward_of(tmp_path, "def f(): return float('nan')").score("", "")


def test_rounding_at_the_end_of_a_range_is_inside_it(tmp_path: Path) -> None:
    assert reward_of(tmp_path, "def f(): return 0.1 + 0.2", range=[0, 0.3]).score("", "").total > 0.3


@pytest.mark.parametrize("value", ["'1'", "None", "[1]", "1j"])
def test_what_is_no_number_is_an_error(tmp_path: Path, value: str) -> None:
    with pytest.raises(RewardError, match="which is no number"):
        reward_of(tmp_path, f"def f(): return {value}").score("", "")


RICH = (
    "def f(completion): return {'score': 1, 'style': len(completion), 'ok': True, 'pred': '42', 'none': None}"
)


def test_what_a_mapping_has_beside_its_score_is_told_and_counts_nothing(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, RICH, range=[0, 1], weight=0.5)
    score = reward.score("abc", "")
    assert (score.total, list(score.parts)) == (0.5, ["mine"])
    assert score.beside == {"mine/style": 3.0, "mine/ok": 1.0, "mine/pred": "42"}
    assert reward.identity() == get_reward(reward.to_dict()).identity()
    assert get_reward("original").score(GOLD, GOLD).beside == {}


def test_what_a_mapping_has_beside_its_score_is_explained(tmp_path: Path) -> None:
    (part,) = explain(reward_of(tmp_path, RICH), "abc", GOLD).parts
    assert [(term.name, term.value) for term in part.terms] == [("style", 3.0), ("ok", 1.0), ("raw", 1.0)]
    assert part.terms[-1].formula == "value of the function (texts are not logged: pred = '42')"


def test_parts_with_the_same_keys_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(RICH)
    part = {"kind": "python", "path": "user.py", "function": "f"}
    components = {"mine": part, "mine-2": {**part, "only_if": "mine", "otherwise": 0}, "format": {}}
    components["mine"] = {**part, "range": [0, 1]}
    told = explain(get_reward({"components": components}, base_dir=tmp_path), "ab", GOLD).parts
    assert [len(part.terms) for part in told] == [2, 3, 3]


def test_a_numpy_number_is_a_number(tmp_path: Path) -> None:
    assert (
        reward_of(tmp_path, "import numpy as np\ndef f(): return np.float32(0.5)").score("", "").total == 0.5
    )


def test_a_function_that_raises_stops_with_the_completion_kept(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "def f(completion): return completion['x']")
    with pytest.raises(RewardError, match="f raised TypeError: string indices") as fault:
        reward.score_many([("good", GOLD, 3)])
    assert str(fault.value).startswith("row 0: components.mine: ")
    assert (fault.value.completion, fault.value.ground_truth, fault.value.step) == ("good", GOLD, 3)
    assert "return completion['x']" in str(fault.value.__cause__)  # the user's own trace-back


def test_an_error_survives_the_way_between_processes(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "def f(): raise OSError('gone')")
    with pytest.raises(RewardError) as fault:
        reward.score("text", GOLD)
    again = pickle.loads(pickle.dumps(fault.value))
    assert str(again) == str(fault.value)
    assert again.completion == "text"


def test_a_reward_survives_the_way_between_processes(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "def f(): return 2")
    reward.score("", "")
    again = pickle.loads(pickle.dumps(reward))
    assert again == reward
    assert again.score("", "").total == 2


def test_the_identity_of_a_component_is_its_source_and_not_its_place(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    one, other = (reward_of(folder, "def f(): return 1") for folder in (here, there))
    changed = reward_of(tmp_path, "def f(): return 1  # really")
    assert one == other != changed
    assert one.identity() == other.identity() != changed.identity()
    assert one.name == other.name != changed.name
    assert str(tmp_path) not in json.dumps(one.identity())
    assert get_reward(json.loads(json.dumps(one.to_dict()))) == one


def test_a_source_that_changed_after_it_was_resolved_is_refused(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "def f(): return 1")
    (tmp_path / "user.py").write_text("def f(): return 2")
    with pytest.raises(RewardError, match="has changed since the reward was resolved"):
        get_reward(reward.to_dict())
    with pytest.raises(RewardError, match="has changed since the reward was resolved"):
        reward.score("", "")


def test_the_file_is_not_run_before_the_first_score(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "raise RuntimeError('heavy')\ndef f(): return 1")
    with pytest.raises(RewardError, match="cannot be imported: RuntimeError: heavy"):
        reward.score("", "")


@pytest.mark.parametrize(
    "source",
    [
        "class f: ...",
        "f = print",
        "from math import pi as f",
        "import json as f",
        "if True:\n    def f(): ...",
        "def g():\n    global f\n    f = print\ng()",
    ],
)
def test_any_name_that_the_file_defines_may_be_the_function(tmp_path: Path, source: str) -> None:
    assert reward_of(tmp_path, source).name.startswith("custom-")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def g(): return 1", r"defines no 'f' \(valid: g\)"),
        ("print(f)", r"defines no 'f' \(it has no function at its top level\)"),
        (
            "class C:\n    @staticmethod\n    def f(completion): return 1",
            r"'f' \(it has no function at its top",
        ),
        ("def g():\n    def f(completion): return 1", r"defines no 'f' \(valid: g\)"),
        ("def f(:", "is no valid Python"),
        ("\0", "is no valid Python"),
    ],
)
def test_a_file_without_the_function_is_refused_before_any_run(
    tmp_path: Path, source: str, message: str
) -> None:
    with pytest.raises(RewardError, match=message):
        reward_of(tmp_path, source)


def test_a_method_is_hinted_at_by_no_name_that_would_be_refused(tmp_path: Path) -> None:
    code = "class C:\n    @staticmethod\n    def st(completion): return 1.0\n"
    (tmp_path / "user.py").write_text(code + "def score(completion): return C.st(completion)\n")
    part = {"kind": "python", "path": "user.py", "range": [0, 1]}
    with pytest.raises(RewardError, match=r"defines no 'C.st' \(.*'?score'?") as caught:
        get_reward({"components": {"own": {**part, "function": "C.st"}}}, base_dir=tmp_path)
    assert "'st'?" not in caught.value.hint
    with pytest.raises(RewardError, match="defines no 'st'"):
        get_reward({"components": {"own": {**part, "function": "st"}}}, base_dir=tmp_path)
    assert get_reward({"components": {"own": {**part, "function": "score"}}}, base_dir=tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("f = 3", "f is 3, which is no function"),
        (
            "def f(question): return 1",
            r"'question', which is no input of a component \(in .*user\.py; inputs: comp",
        ),
        ("f = max", "f does not say what its inputs are"),
        (
            "def f(*args): return 1",
            r"takes \*args, and inputs are given by name \(.*name those that it reads: comp",
        ),
        (
            "def f(completion, gold_call=()): return 1",
            r"takes 'gold_call', which is no input and stays \(\) \(.*did you mean 'gold_calls'\?",
        ),
        ("def f(completoin=''): return 1", "did you mean 'completion'"),
        ("def f(completion='', /): return 1", "'completion', which cannot be given by its name"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_at_the_first_score(
    tmp_path: Path, source: str, message: str
) -> None:
    with pytest.raises(RewardError, match=message):
        reward_of(tmp_path, source).score("", "")


@pytest.mark.parametrize(
    "source",
    [
        "def f(completion, *args): return 1",
        "def f(*args, **inputs): return 1",
        "def f(completion, max_tokens=512, weight=1.0, scale=2, n_calls=3, prompt_only=True): return 1",
    ],
)
def test_a_function_with_settings_of_its_own_is_called(tmp_path: Path, source: str) -> None:
    assert reward_of(tmp_path, source).score(GOLD, GOLD).total == 1


def test_a_function_that_the_file_only_seems_to_define_is_refused_at_the_first_score(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match=r"cannot be imported: AttributeError: .* has no attribute 'f'"):
        reward_of(tmp_path, "if 0:\n    def f(): return 1").score("", "")


def test_a_file_that_is_not_python_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "user.txt").write_text("def f(): return 1")
    part = {"kind": "python", "path": "user.txt", "function": "f"}
    with pytest.raises(RewardError, match=r"cannot be imported: ImportError: not a \.py file"):
        get_reward({"components": {"mine": part}}, base_dir=tmp_path).score("", "")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    part = {"kind": "python", "path": "none.py", "function": "f"}
    with pytest.raises(RewardError, match=r"components\.mine: cannot read .*none\.py: No such file"):
        get_reward({"components": {"mine": part}}, base_dir=tmp_path)


def test_a_function_may_be_imported_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "importable_user_reward.py").write_text("def f(calls): return len(calls)")
    monkeypatch.syspath_prepend(tmp_path)
    part = {"kind": "python", "module": "importable_user_reward", "function": "f", "weight": 0.5}
    reward = get_reward({"components": {"mine": part}})
    assert reward.score(turn(SFO, LAX), GOLD).total == 1
    assert get_reward(reward.to_dict()) == reward
    assert "path" not in reward.to_dict()["components"]["mine"]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("no_such_module", "'no_such_module' is no importable module"),
        ("no_such_package.module", "'no_such_package.module' cannot be imported: No module named"),
        ("sys", "'sys' is no importable module"),
        (".relative", "cannot be imported"),
    ],
)
def test_a_module_without_python_source_is_refused(module: str, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        get_reward({"components": {"mine": {"kind": "python", "module": module, "function": "f"}}})


def test_a_penalty_has_its_range_turned_by_its_weight(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, "def f(): return 1", range=[0, 4], weight=-0.5)
    assert reward.total_range() == (-2, 0)
    silent = reward_of(tmp_path, "def f(): return 1", weight=0)
    assert silent.total_range() == (0, 0)


def test_a_schedule_of_the_range_needs_a_range(tmp_path: Path) -> None:
    schedule = {"kind": "step", "at": 3, "from": [0, 2], "to": [0, 1]}
    with pytest.raises(RewardError, match="a schedule of the range needs a range"):
        reward_of(tmp_path, "def f(): return 1", schedule=schedule)
