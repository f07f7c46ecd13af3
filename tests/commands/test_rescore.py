"""`toolrl rescore`: runs and files under several rewards."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Toolrl
from tests.rewards.turns import FLIGHT, GOLD, ROLLOUTS, turn
from toolrl_cli.planning.loading import load_plan
from toolrl_cli.rewards import get_reward
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder

RESPONSES = [GOLD, ROLLOUTS["swapped order"], ROLLOUTS["figure 3, rollout 1"], turn(FLIGHT)]
NAMES = ["original", "equal_max", "two_stage", "dynamic", "finegrained", "intermediate", "coarse", "length",
         "length_dynamic"]  # fmt: skip


def dump(path: Path, reward: str, step: int, responses: Sequence[str] = RESPONSES, total: int = 2) -> None:
    """A step's dump as verl writes it: one prompt, its group of responses."""
    scorer = get_reward(reward)
    rows = [
        {
            "input": "p",
            "output": text,
            "gts": GOLD,
            "score": scorer.score(text, GOLD, step, total).total,
            "step": step,
            "uid": f"{reward}{step}_{session}_0",
        }
        for session, text in enumerate(responses)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def runs(toolrl: Toolrl, sweep_file: Path, tmp_path: Path) -> dict[str, Path]:
    """Run → attempt of its RL stage, of a sweep of `coarse` and `original` with two steps each."""
    results = tmp_path / "results"
    plan, _ = load_plan(sweep_file, results)
    SweepFolder(results, plan.sweep).save(plan, sweep_file.read_text())
    attempts = {}
    for run in plan.runs:
        for spec in (stage for stage in run.stages if stage.kind == "rl"):
            folder = Ledger(results).folder(spec)
            attempt = folder.attempt(1)
            attempt.mkdir(parents=True)
            folder.write_spec(spec)
            (attempt / "reward.json").write_text(json.dumps(spec.config["reward"]))
            for step in (1, 2):
                dump(attempt / f"rollouts/{step}.jsonl", spec.config["reward"]["name"], step)
            attempts[run.arm] = attempt
    return attempts


def arms(document: dict[str, Any]) -> list[str]:
    return [arm["name"] for arm in document["arms"]]


def test_a_run_is_compared_under_every_design_and_its_own_reproduces_the_log(
    toolrl: Toolrl, runs: dict[str, Path]
) -> None:
    answer = toolrl("rescore", "coarse-seed1", "--json")
    assert answer.code == 0, answer.err
    document = answer.json
    assert document["schema"] == 1 and arms(document) == NAMES
    assert (document["rollouts"], document["groups"], document["exact_match"]) == (8, 2, 0.5)
    (source,) = document["sources"]
    assert (source["name"], source["steps"], source["logged"]) == ("coarse-seed1", [1, 2], 8)
    assert (source["logged_by"], source["logged_error"], source["reproduced"]) == ("coarse", 0, True)


def test_a_run_s_own_reward_is_an_arm_although_it_was_not_asked_for(
    toolrl: Toolrl, runs: dict[str, Path]
) -> None:
    document = toolrl(
        "rescore", "coarse-seed1", "--reward", "original", "--reward", "original", "--json"
    ).json
    assert arms(document) == ["coarse", "original"]
    # original puts the first three above their mean, coarse the first alone
    assert document["sign_agreement"] == [[1, 0.5], [0.5, 1]]
    assert document["arms"][0]["zero_variance"] == 0


def test_of_several_runs_each_reproduces_its_own_log_on_the_diagonal(
    toolrl: Toolrl, runs: dict[str, Path]
) -> None:
    answer = toolrl("rescore", "coarse-seed1", "original-seed1", "--reward", "coarse", "--json")
    assert answer.code == 0, answer.err
    document = answer.json
    assert arms(document) == ["original", "coarse"]
    assert [s["logged_by"] for s in document["sources"]] == ["coarse", "original"]
    assert all(s["reproduced"] for s in document["sources"])
    for source in document["sources"]:
        texts = [json.loads(line) for p in runs[source["logged_by"]].glob("rollouts/*") for line in p.open()]
        assert source["means"][source["logged_by"]] == pytest.approx(sum(t["score"] for t in texts) / 8)
    shown = toolrl("rescore", "coarse-seed1", "original-seed1", "--reward", "coarse").out
    assert "mean of each source under each reward" in shown


def test_a_score_that_is_not_reproduced_is_named_and_exit_status_1(
    toolrl: Toolrl, runs: dict[str, Path]
) -> None:
    path = runs["coarse"] / "rollouts/2.jsonl"
    rows = [json.loads(line) for line in path.open()]
    rows[1]["score"] += 2e-6
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = toolrl("rescore", "coarse-seed1")
    assert answer.code == 1
    assert "does not give the logged score of 1 of 8 rollouts" in answer.err
    assert f"{path}:2" in answer.err
    assert "NOT reproduced in 1 of 8" in answer.out
    (source,) = toolrl("rescore", "coarse-seed1", "--json").json["sources"]
    assert source["reproduced"] is False and source["not_reproduced"] == [f"{path}:2"]


def test_a_run_whose_own_reward_is_gone_is_compared_and_exit_status_1(
    toolrl: Toolrl, runs: dict[str, Path]
) -> None:
    (runs["coarse"] / "reward.json").unlink()
    answer = toolrl("rescore", "coarse-seed1", "--reward", "original", "--json")
    assert answer.code == 1
    assert "the reward that it was trained with cannot be had" in answer.err
    assert arms(answer.json) == ["original"] and answer.json["sources"][0]["reproduced"] is None


def test_what_a_reader_must_know_of_the_rows_is_said_on_stderr(toolrl: Toolrl, runs: dict[str, Path]) -> None:
    with (runs["coarse"] / "rollouts/2.jsonl").open("a") as stream:
        stream.write('{"torn')
    answer = toolrl("rescore", "coarse-seed1", "--reward", "coarse", "--json")
    assert answer.code == 0
    assert "note: coarse-seed1: " in answer.err and "torn" in answer.err
    assert len(answer.json["sources"][0]["notes"]) == 1


def test_a_run_too_short_for_a_schedule_s_switch_is_told_so(toolrl: Toolrl, runs: dict[str, Path]) -> None:
    said = toolrl("rescore", "coarse-seed1", "--reward", "two_stage", "--reward", "dynamic").err
    assert (
        "coarse-seed1: ends at step 2, before rewards that change later have: two_stage (at step 30), dynamic"
        in said
    )
    assert "ends at step" not in toolrl("rescore", "coarse-seed1", "--reward", "original").err


def test_csv_json_and_markdown_agree(toolrl: Toolrl, runs: dict[str, Path]) -> None:
    arguments = ("rescore", "original-seed1", "--reward", "original", "--reward", "coarse")
    document = toolrl(*arguments, "--json").json
    assert toolrl(*arguments, "--format", "json").json == document
    rows = list(csv.DictReader(io.StringIO(toolrl(*arguments, "--format", "csv").out)))
    for at, (row, arm) in enumerate(zip(rows, document["arms"], strict=True)):
        assert (row["name"], float(row["mean"])) == (arm["name"], arm["mean"])
        assert float(row["rank:coarse"]) == document["rank_correlation"][at][1]
        assert float(row["sign:coarse"]) == document["sign_agreement"][at][1]
    markdown = toolrl(*arguments, "--format", "markdown").out
    assert f"| coarse | {document['arms'][1]['mean']:.3f} |" in markdown
    assert "### rank correlation (Spearman)" in markdown


def test_output_has_every_format_and_the_same_picture_each_time(
    toolrl: Toolrl, runs: dict[str, Path], tmp_path: Path
) -> None:
    answer = toolrl("rescore", "original-seed1", "--output", "out/deep")
    assert answer.code == 0, answer.err
    folder = tmp_path / "out/deep"
    assert {p.name for p in folder.iterdir()} == {"rescore.csv", "rescore.md", "rescore.json", "rescore.png"}
    picture = (folder / "rescore.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert json.loads((folder / "rescore.json").read_text())["rollouts"] == 8
    toolrl("rescore", "original-seed1", "--output", "out/deep")
    assert (folder / "rescore.png").read_bytes() == picture


def test_an_output_that_cannot_be_written_is_named(toolrl: Toolrl, runs: dict[str, Path]) -> None:
    Path("taken").write_text("")
    answer = toolrl("rescore", "original-seed1", "--output", "taken")
    assert answer.code == 2 and "taken" in answer.err and answer.err.count("\n") == 1


def test_a_matrix_that_does_not_fit_names_its_columns_by_number(
    toolrl: Toolrl, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = toolrl("rescore", "original-seed1").out.splitlines()
    (first, _) = (line for line in lines if line.startswith("1 original"))
    assert len(first.split()) == 2 + len(NAMES)
    assert all(len(line) <= 80 for line in lines)


def test_any_jsonl_is_compared_under_its_own_field_names(toolrl: Toolrl, tmp_path: Path) -> None:
    rows = [{"text": text, "gold": GOLD, "q": 1, "r": get_reward("coarse").score(text, GOLD).total}
            for text in RESPONSES]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = [f"--field={pair}" for pair in ("completion=text", "ground_truth=gold", "group=q", "logged=r")]
    common = ("rescore", "mine.jsonl", "--reward", "original", *fields, "--json")
    (unknown,) = toolrl(*common).json["sources"]
    assert (unknown["logged"], unknown["logged_by"], unknown["reproduced"]) == (4, None, None)
    known = toolrl(*common, "--logged-by", "coarse")
    assert known.code == 0 and known.json["sources"][0]["reproduced"] is True
    wrong = toolrl(*common, "--logged-by", "finegrained")
    assert wrong.code == 1 and "mine.jsonl:2" in wrong.err


def test_a_dump_of_a_run_is_known_for_what_it_is(toolrl: Toolrl, runs: dict[str, Path]) -> None:
    path = str(runs["coarse"] / "rollouts/1.jsonl")
    document = toolrl("rescore", path, "--reward", "original", "--json").json
    assert document["sources"][0]["logged_by"] == "coarse"


def test_equal_names_of_prompts_in_two_files_are_two_groups(toolrl: Toolrl, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        dump(tmp_path / name, "original", 1)
    document = toolrl("rescore", "a.jsonl", "b.jsonl", "--reward", "coarse", "--json").json
    assert (document["rollouts"], document["groups"]) == (8, 2)


def test_validation_rollouts_are_compared_on_demand(toolrl: Toolrl, runs: dict[str, Path]) -> None:
    dump(runs["coarse"] / "validation/0.jsonl", "coarse", 0, [GOLD])
    shown = toolrl("rescore", "coarse-seed1", "--validation", "--reward", "coarse")
    assert shown.code == 0, shown.err
    assert "1 rollouts in 1 groups, 0 of two or more" in shown.out and "step 0;" in shown.out


def test_schedules_over_a_share_of_the_run_use_the_run_s_own_length(
    toolrl: Toolrl, runs: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ("--reward", "dynamic@paper", "--json")
    assert toolrl("rescore", "coarse-seed1", *arguments).code == 0
    dump(tmp_path / "other.jsonl", "original", 1)
    refused = toolrl("rescore", "coarse-seed1", "other.jsonl", *arguments)
    assert refused.code == 2
    assert "coarse-seed1: 2, other.jsonl: unknown" in refused.err and "--total-steps" in refused.err
    assert toolrl("rescore", "coarse-seed1", "other.jsonl", *arguments, "--total-steps", "9").code == 0
    assert toolrl("rescore", "coarse-seed1", "other.jsonl", "--reward", "original").code == 0


def test_two_compositions_of_one_name_are_told_apart(toolrl: Toolrl, tmp_path: Path) -> None:
    for weight in (1, 2):
        part = {"name": "mine", "components": {"format": {"kind": "format", "weight": weight}}}
        (tmp_path / f"{weight}.yaml").write_text(json.dumps(part))
    dump(tmp_path / "a.jsonl", "original", 1)
    document = toolrl("rescore", "a.jsonl", "--reward", "1.yaml", "--reward", "2.yaml", "--json").json
    assert arms(document) == ["mine", "mine #2"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["coarse-seed"], "did you mean 'coarse-seed1'?"),
        (["raw-seed1"], "run 'raw-seed1' has no RL stage"),
        (["coarse-seed1", "--validation"], "the run has no validation to rescore"),
        (["coarse-seed1", "--reward", "coars"], "did you mean 'coarse'?"),
        (["coarse-seed1", "--format", "cvs"], "did you mean 'csv'?"),
        (["coarse-seed1", "--field", "completion"], "is not OURS=THEIRS"),
        (["coarse-seed1", "--field", "complete=x"], "did you mean 'completion'?"),
        (["coarse-seed1", "--field", "completion=text"], "--field is of files of rollouts"),
        (["coarse-seed1", "--logged-by", "coarse"], "--logged-by is of files of rollouts"),
        (["small.yaml", "--validation"], "--validation is of runs"),
        (["rol.jsonl", "--field", "completion=text"], "rol.jsonl: no such file"),
        (["coarse-seed", "--logged-by", "coarse"], "did you mean 'coarse-seed1'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    toolrl: Toolrl, runs: dict[str, Path], arguments: list[str], says: str
) -> None:
    answer = toolrl("rescore", *arguments)
    assert answer.code == 2, answer
    assert answer.err.startswith("error: ") and answer.err.count("\n") == 1
    assert says in answer.err


def lines_of(*rows: object) -> str:
    return "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)


def test_rows_that_cannot_be_read_or_scored_are_named_and_the_others_compared(
    toolrl: Toolrl, tmp_path: Path
) -> None:
    good = {"completion": GOLD, "ground_truth": GOLD, "group": "a"}
    rows = [
        good,
        "{bad}\n",
        {**good, "ground_truth": "<tool_call>\n{x\n</tool_call>"},
        {**good, "step": "x"},
        {"completion": "c"},
        {**good, "completion": "other"},
        "[" * 100_000 + "\n",
    ]
    (tmp_path / "d.jsonl").write_text(lines_of(*rows), encoding="utf-8")
    answer = toolrl("rescore", "d.jsonl", "--reward", "original")
    assert answer.code == 1
    assert "d.jsonl: 2 rollouts, 5 rows left out, step 0" in answer.out
    told = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in told] == [f"d.jsonl:{n}" for n in (2, 4, 5, 7, 3)]
    assert "its tool calls are not one JSON value a line" in told[-1]
    assert all(line.endswith("left out") for line in told)
    document = toolrl("rescore", "d.jsonl", "--reward", "original", "--json").json
    assert document["rollouts"] == 2 and len(document["sources"][0]["bad_rows"]) == 5


def test_a_file_without_one_row_that_can_be_used_is_one_line(toolrl: Toolrl, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines_of(*[{"completion": "c"}] * 30))
    answer = toolrl("rescore", "a.jsonl")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert (
        "a.jsonl:1: has no ground_truth" in answer.err and "so has each of the other 29 lines" in answer.err
    )
    row = {"completion": "c", "ground_truth": GOLD, "group": "a"}
    (tmp_path / "b.jsonl").write_text(lines_of(*[row] * 30))
    (tmp_path / "mine.py").write_text("def f(): return None")
    part = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "f"}
    (tmp_path / "mine.yaml").write_text(json.dumps({"components": {"mine": part}}))
    answer = toolrl("rescore", "b.jsonl", "--reward", "mine.yaml")
    assert answer.code == 2
    assert "b.jsonl:1: components.mine: f returned None" in answer.err
    assert "none of 20 rows can be scored" in answer.err


def test_a_reward_that_asks_for_tokens_says_so_and_takes_them_from_the_rows(
    toolrl: Toolrl, tmp_path: Path
) -> None:
    long = {"kind": "overlong", "max_length": 64, "buffer": 16}
    (tmp_path / "long.yaml").write_text(json.dumps({"components": {"long": long}}))
    rows = [{"completion": "c", "ground_truth": GOLD, "group": "a", "n": tokens} for tokens in (48, 56)]
    (tmp_path / "d.jsonl").write_text(lines_of(*rows))
    asked = toolrl("rescore", "d.jsonl", "--reward", "long.yaml")
    assert (
        asked.code == 2 and "components.long: the length of the response in tokens is not known" in asked.err
    )
    assert "a column `tokens` (rescore)" in asked.err
    given = toolrl("rescore", "d.jsonl", "--reward", "long.yaml", "--field", "tokens=n", "--json")
    assert given.code == 0 and given.json["arms"][0]["least"] == -0.5
    # a run's own reward is left out where its dump has no lengths; the others are compared
    own = toolrl("rescore", "d.jsonl", "--logged-by", "long.yaml", "--reward", "original")
    assert own.code == 0 and "the logged scores are not compared" in own.err
    (tmp_path / "c.txt").write_text("c")
    (tmp_path / "g.txt").write_text(GOLD)
    bare = toolrl("reward", "explain", "c.txt", "g.txt", "--reward", "long.yaml")
    assert bare.code == 1 and "give --tokens N (reward explain)" in bare.out + bare.err
    told = toolrl("reward", "explain", "c.txt", "g.txt", "--reward", "long.yaml", "--tokens", "56", "--json")
    assert told.json["explanations"][0]["total"] == -0.5
