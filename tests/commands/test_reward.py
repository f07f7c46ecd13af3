"""`toolrl reward explain` and `toolrl reward list`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Toolrl
from tests.rewards.turns import GOLD, LAX, ROLLOUTS, SFO, turn
from toolrl_cli.datasets.verl_rows import rl_row, write_parquet
from toolrl_cli.rewards import get_reward

SECOND = ROLLOUTS["figure 3, rollout 2"]


@pytest.fixture
def texts(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "completion.txt").write_text(SECOND + "\n", encoding="utf-8")
    (tmp_path / "gold.txt").write_text(GOLD, encoding="utf-8")
    return "completion.txt", "gold.txt"


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    """An attempt of a run that was trained with `two_stage` for 60 steps."""
    folder = tmp_path / "results/stages/rl/grpo-0123456789/attempts/1"
    (folder / "rollouts").mkdir(parents=True)
    (folder.parent.parent / "spec.json").write_text('{"total_steps": 60}', encoding="utf-8")
    reward = {"name": "two_stage", **get_reward("two_stage").to_dict()}
    (folder / "reward.json").write_text(json.dumps(reward), encoding="utf-8")
    rows = [
        {"input": "p", "output": text, "gts": GOLD, "score": 3.5, "step": 40, "uid": f"u_{i}_0"}
        for i, text in enumerate([SECOND, GOLD])
    ]
    (folder / "rollouts/40.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_figure_3_is_explained_from_two_files(toolrl: Toolrl, texts: tuple[str, str]) -> None:
    answer = toolrl("reward", "explain", *texts)
    assert answer.code == 0, answer.err
    for shown in (
        "fields in order",
        "1. Get_Price",
        "2. Get_Price",
        "1. Get_Flight",
        "predicted call 2: keys 1 + values 1 = 2",
        "6 · 0.3333 - 3 = -1",
        "1. matching: greedy, same-name pairs earn 2, the best assignment 3",
    ):
        assert shown in answer.out


def test_rewards_stand_side_by_side_and_each_difference_is_told_once(
    toolrl: Toolrl, texts: tuple[str, str]
) -> None:
    answer = toolrl("reward", "explain", *texts, "--reward", "original", "--reward", "original@paper",
                    "--reward", "coarse+length")  # fmt: skip
    lines = answer.out.splitlines()
    (header,) = (line for line in lines if "term" in line and "original@paper" in line)
    assert header.index("original") < header.index("original@paper") < header.index("coarse+length")
    (total,) = (line for line in lines if "total" in line)
    assert [cell.strip() for cell in total.split("│")[3:6]] == ["0", "0.857143", "-2"]
    assert sum("1. matching" in line for line in lines) == 1
    assert any("1. matching" in line and "(original, original@paper)" in line for line in lines)
    assert "8. length" in answer.out


def test_json_has_every_term(toolrl: Toolrl, texts: tuple[str, str]) -> None:
    document = toolrl("reward", "explain", *texts, "--reward", "original@paper", "--json").json
    assert document["schema"] == 1 and document["completion"] == SECOND + "\n"
    (explained,) = document["explanations"]
    assert explained["total"] == pytest.approx(1 - 1 / 7)
    assert explained["parsed"]["format_holds"] is True
    assert [part["name"] for part in explained["parts"]] == ["format", "correctness"]
    assert explained["parts"][1]["terms"][-1]["name"] == "raw"
    assert explained["differences"][0]["number"] == 1
    assert document["faults"] == []


def test_a_completion_may_come_from_standard_input(
    toolrl: Toolrl, texts: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOLD.encode())))
    document = toolrl("reward", "explain", "-", texts[1], "--json").json
    assert document["explanations"][0]["total"] == 4


def test_a_bom_at_the_start_of_a_file_is_no_part_of_the_completion(
    toolrl: Toolrl, texts: tuple[str, str]
) -> None:
    Path("completion.txt").write_bytes(b"\xef\xbb\xbf" + GOLD.encode())
    Path("gold.txt").write_bytes(b"\xef\xbb\xbf" + GOLD.encode())
    document = toolrl("reward", "explain", *texts, "--json").json
    assert document["explanations"][0]["total"] == 4


def test_carriage_returns_of_a_file_reach_the_reward(toolrl: Toolrl, texts: tuple[str, str]) -> None:
    Path("completion.txt").write_bytes(GOLD.replace("\n", "\r\n").encode())
    document = toolrl("reward", "explain", *texts, "--json").json
    assert document["explanations"][0]["parsed"]["format_holds"] is False


def test_the_step_and_the_length_of_the_run_are_those_asked_for(
    toolrl: Toolrl, texts: tuple[str, str]
) -> None:
    arguments = ("reward", "explain", *texts, "--reward", "dynamic@paper", "--json")
    refused = toolrl(*arguments)
    assert refused.code == 2 and "total_steps" in refused.err
    parts = toolrl(*arguments, "--step", "50", "--total-steps", "100").json["explanations"][0]["parts"]
    assert parts[0]["weighted"] == 1.5
    assert "7. dynamic scale" in toolrl(*arguments[:-1], "--step", "5", "--total-steps", "9").out


def test_a_row_of_a_dump_is_explained_under_its_run_s_own_reward_and_step(
    toolrl: Toolrl, attempt: Path
) -> None:
    dump = str(attempt / "rollouts/40.jsonl")
    document = toolrl("reward", "explain", "--rollouts", dump, "--row", "1", "--json").json
    (explained,) = document["explanations"]
    assert (explained["reward"], explained["step"], explained["total_steps"]) == ("two_stage", 40, 60)
    assert explained["total"] == document["logged"] == 3.5
    shown = toolrl("reward", "explain", "--rollouts", dump, "--row", "0")
    assert "terms at step 40 of 60" in shown.out and "logged  3.5" in shown.out


def test_a_gold_row_is_explained_against_itself_or_a_completion(
    toolrl: Toolrl, texts: tuple[str, str], tmp_path: Path
) -> None:
    golds = [GOLD, turn(SFO, think=None)]
    rows = [
        rl_row("s", "u", g, data_source="x", index=i, extra={"id": f"x-{i}"}) for i, g in enumerate(golds)
    ]
    write_parquet(rows, tmp_path / "train.parquet")
    itself = toolrl("reward", "explain", "--data", "train.parquet", "--row", "1")
    assert "row 1 (x-1) of train.parquet against itself" in itself.out
    assert "fields not in order" in itself.out and "4. format does not gate correctness" in itself.out
    other = toolrl("reward", "explain", texts[0], "--data", "train.parquet", "--row", "0", "--json").json
    assert other["explanations"][0]["total"] == 0


def failing_reward(folder: Path) -> dict[str, Any]:
    (folder / "mine.py").write_text("def f(calls): return 1 / (len(calls) - 2)", encoding="utf-8")
    part = {"kind": "python", "path": str(folder / "mine.py"), "function": "f", "range": [-9, 9]}
    return {"name": "mine", "components": {"format": {"kind": "format"}, "mine": part}}


def test_a_completion_that_ended_a_run_is_shown_with_the_fault_under_the_run_s_reward(
    toolrl: Toolrl, attempt: Path, tmp_path: Path
) -> None:
    (attempt / "reward.json").write_text(json.dumps(failing_reward(tmp_path)))
    saved = {"schema": 1, "error": "RewardError: f raised", "traceback": "…", "completion": SECOND,
             "ground_truth": GOLD, "step": 7, "total_steps": 60, "data_source": "x"}  # fmt: skip
    path = attempt / "reward_failure.json"
    path.write_text(json.dumps(saved))
    answer = toolrl("reward", "explain", str(path))
    assert answer.code == 1
    assert "Get_Flight" in answer.out
    assert "the run ended here: RewardError: f raised" in answer.out
    assert "mine cannot score it: components.mine: f raised ZeroDivisionError" in answer.out
    document = toolrl("reward", "explain", str(path), "--reward", "original", "--json").json
    assert document["failure"] == "RewardError: f raised"
    assert (document["explanations"][0]["step"], document["explanations"][0]["total_steps"]) == (7, 60)


def test_a_response_is_explained_among_the_others_to_its_prompt(
    toolrl: Toolrl, attempt: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "def f(completions): return [1 / sum(c != d for c in completions) for d in completions]"
    )
    part = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "f", "batch": True}
    (tmp_path / "mine.yaml").write_text(json.dumps({"name": "mine", "components": {"mine": part}}))
    dump = str(attempt / "rollouts/40.jsonl")
    arguments = ("reward", "explain", "--rollouts", dump, "--row", "1", "--reward", "mine.yaml", "--json")
    (explained,) = toolrl(*arguments).json["explanations"]
    assert explained["total"] == 1
    assert "given 2 responses" in explained["parts"][0]["terms"][-1]["formula"]
    saved = {"error": "RewardError: f raised", "completion": SECOND, "ground_truth": GOLD, "step": 7}
    path = attempt / "reward_failure.json"
    for others, code in (([[SECOND, 3], [SECOND, None]], 1), ([[GOLD, None], [SECOND, 2]], 0)):
        path.write_text(json.dumps({**saved, "others": others, "place": 1}))
        assert toolrl("reward", "explain", str(path), "--reward", "mine.yaml").code == code


def test_one_reward_that_cannot_score_does_not_hide_the_others(
    toolrl: Toolrl, texts: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps(failing_reward(tmp_path)))
    answer = toolrl("reward", "explain", *texts, "--reward", "mine.yaml", "--reward", "coarse", "--json")
    assert answer.code == 1
    assert [e["reward"] for e in answer.json["explanations"]] == ["coarse"]
    assert [fault["reward"] for fault in answer.json["faults"]] == ["mine"]


@pytest.mark.parametrize(
    "hostile",
    [
        turn('{"name": "\\ud800", "parameters": {"k": "\\ud800"}}'),
        turn(LAX, think="\x1b[2J\x07 [bold red]not markup[/]"),
        "<think>" * 3000,
        "",
        "\x00[/]",
    ],
)
def test_no_completion_breaks_the_output_or_commands_the_terminal(
    toolrl: Toolrl, tmp_path: Path, hostile: str
) -> None:
    (tmp_path / "c.txt").write_text(hostile, encoding="utf-8")
    (tmp_path / "g.txt").write_text(GOLD, encoding="utf-8")
    shown = toolrl("reward", "explain", "c.txt", "g.txt")
    assert shown.code == 0, shown.err
    assert not set("\x1b\x07\x00") & set(shown.out)
    assert toolrl("reward", "explain", "c.txt", "g.txt", "--json").json["completion"] == hostile


def test_the_middle_of_a_long_completion_is_left_out(toolrl: Toolrl, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("a" * 9000 + "THE END", encoding="utf-8")
    (tmp_path / "g.txt").write_text(GOLD, encoding="utf-8")
    shown = toolrl("reward", "explain", "c.txt", "g.txt").out
    assert "… 5007 characters …" in shown and "THE END" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give one completion and its ground truth"),
        (["gold.txt"], "gold.txt: is no reward_failure.json"),
        (["a", "b", "c"], "give one completion and its ground truth"),
        (["nowhere.txt", "gold.txt"], "nowhere.txt: cannot be read: No such file"),
        (["latin.txt", "gold.txt"], "latin.txt: is not UTF-8"),
        (["gold.txt", "--data", "d.parquet"], "--row goes with --data or --rollouts"),
        (["gold.txt", "gold.txt", "--row", "1"], "--row goes with --data or --rollouts"),
        (["gold.txt", "--rollouts", "d.jsonl", "--row", "0"], "give one completion and its ground truth"),
        (["--rollouts", "d.jsonl", "--row", "7"], "there is no row 7 (its rows are 0 to 0)"),
        (["--rollouts", "nowhere.jsonl", "--row", "0"], "nowhere.jsonl: cannot be read"),
        (["gold.txt", "gold.txt", "--reward", "coars"], "did you mean 'coarse'?"),
        (["gold.txt", "bad_gold.txt"], "its tool calls are not one JSON value a line"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    toolrl: Toolrl, tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "gold.txt").write_text(GOLD, encoding="utf-8")
    (tmp_path / "bad_gold.txt").write_text(turn("bad"), encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "d.jsonl").write_text(json.dumps({"output": "", "gts": GOLD, "uid": "u"}) + "\n")
    answer = toolrl("reward", "explain", *arguments)
    assert answer.code == 2, answer
    assert answer.err.startswith("error: ") and answer.err.count("\n") == 1
    assert says in answer.err


def test_the_list_has_every_design_with_formula_range_and_source(toolrl: Toolrl) -> None:
    designs = {d["name"]: d for d in toolrl("reward", "list", "--json").json["designs"]}
    assert set(designs) == {
        *("original", "equal_max", "two_stage", "dynamic", "finegrained", "intermediate", "coarse"),
        *("length", "length_dynamic"),
    }
    assert designs["two_stage"]["ranges"]["first"]["total"] == [-1, 2]
    assert designs["two_stage"]["ranges"]["last"]["total"] == [-3, 3.5]
    shown = toolrl("reward", "list").out
    assert "[lists of calls equal, in order]" in shown  # brackets of a formula are no markup
    assert "[-1, 2]" in shown and "→ [-3, 3.5]" in shown and "REFINEDREWARD=1" in shown


def test_a_pipe_gets_each_design_in_one_line_and_a_narrow_one_what_it_asks_for(
    toolrl: Toolrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    formula = "R = [names equal in order] + Σ over greedy pairs ([keys equal in order] + equal values)"
    monkeypatch.delenv("COLUMNS", raising=False)
    assert formula in toolrl("reward", "list").out
    monkeypatch.setenv("COLUMNS", "80")
    narrow = toolrl("reward", "list").out
    assert formula not in narrow and max(map(len, narrow.splitlines())) <= 80


def test_the_paper_s_formulas_are_listed_on_demand(toolrl: Toolrl) -> None:
    assert "max over matchings" in toolrl("reward", "list", "--fidelity", "paper").out
    refused = toolrl("reward", "list", "--fidelity", "papr")
    assert refused.code == 2 and "did you mean 'paper'?" in refused.err
