"""BFCL V3 with bfcl-eval itself, in the environment that toolrl makes for it.

The environment is kept in pytest's cache folder; without it and without the package index these tests are skipped.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toolrl_cli
from toolrl_cli.benchmarks.bfcl import columns
from toolrl_cli.benchmarks.bfcl.benchmark import UNANSWERABLE, Bfcl, BfclItem, reply_of
from toolrl_cli.benchmarks.bfcl.process import ask
from toolrl_cli.benchmarks.catalogue.bfcl import BENCHMARK as RLLA
from toolrl_cli.benchmarks.catalogue.bfcl_native import BENCHMARK as NATIVE
from toolrl_cli.benchmarks.catalogue.bfcl_v4 import BENCHMARK as V4
from toolrl_cli.datasets.evaluators import EVALUATORS, bring, python_of
from toolrl_cli.errors import BenchmarkError, SpecError
from toolrl_cli.spec.evaluations.benchmarks import Answer, Ask, CannotRun, EvaluationContext, Reply, Verdict

UPSTREAM = Path(__file__).parent / "upstream_evaluation.py"
CTX = EvaluationContext()
UPSTREAMS_COLUMNS = {
    "overall": "Overall Acc",
    "non_live_ast": "Non-Live AST Acc",
    "live": "Live Acc",
    "multi_turn": "Multi Turn Acc",
    "relevance": "Relevance Detection",
    "irrelevance": "Irrelevance Detection",
}
"""Our column → bfcl-eval's, in its data_overall.csv."""


def brought(pytestconfig: pytest.Config, name: str) -> Path:
    folder = pytestconfig.rootpath / ".pytest_cache" / "evaluators" / name  # 36 s, once a checkout
    try:
        return bring(EVALUATORS[name], folder)
    except SpecError as error:
        pytest.skip(f"bfcl-eval cannot be had here: {error.what}")


@pytest.fixture(scope="module")
def evaluator(pytestconfig: pytest.Config) -> Path:
    return brought(pytestconfig, "bfcl")


@pytest.fixture(scope="module")
def items(evaluator: Path) -> list[BfclItem]:
    return list(RLLA.items(None, evaluator))


@pytest.fixture(scope="module")
def native(evaluator: Path) -> list[BfclItem]:
    return list(NATIVE.items(None, evaluator))


@pytest.fixture(scope="module")
def gold(items: list[BfclItem], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reply]:
    replies = RLLA.gold_replies(items, tmp_path_factory.mktemp("gold"))
    return dict(zip((item.id for item in items), replies, strict=True))


def judged(
    benchmark: Bfcl, items: Sequence[BfclItem], replies: Sequence[Reply], scratch: Path
) -> dict[str, str]:
    """Id → what is wrong."""
    verdicts = benchmark.judge_all(items, replies, scratch)
    return {item.id: verdict.reason for item, verdict in zip(items, verdicts, strict=True)}


def test_the_data_are_4441_items_with_an_id_each(items: list[BfclItem]) -> None:
    assert len({item.id for item in items}) == len(items) == 4441
    assert Counter(item.category for item in items).keys() == set(columns.CATEGORIES)
    assert "live_relevance_3-3-0#2" in {item.id for item in items}


def test_gold_answers_score_all_that_can_be_scored(
    items: list[BfclItem], gold: dict[str, Reply], tmp_path: Path
) -> None:
    verdicts = RLLA.judge_all(items, [gold[item.id] for item in items], tmp_path)
    assert {i.id for i, v in zip(items, verdicts, strict=True) if not v.correct} == UNANSWERABLE
    metrics = RLLA.metrics(items, verdicts)
    assert (metrics["java"].correct, metrics["live_simple"].correct, metrics["live_multiple"].correct) == (
        *(97, 256, 1051),
    )
    assert all(metrics[name].value == 1.0 for name in ("multi_turn", "relevance", "irrelevance"))


def test_gold_answers_score_as_much_by_native_function_calling(
    native: list[BfclItem], tmp_path: Path
) -> None:
    items = native[::7]
    assert all(item.tools[0]["type"] == "function" for item in items if item.tools)
    wrong = judged(NATIVE, items, NATIVE.gold_replies(items, tmp_path), tmp_path / "score")
    assert {id for id, reason in wrong.items() if reason} == UNANSWERABLE & wrong.keys()


def test_gold_answers_score_all_that_can_be_scored_in_v4(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    everything = list(V4.items(None, brought(pytestconfig, "bfcl_v4")))
    assert Counter(item.category for item in everything).keys() == set(columns.CATEGORIES_V4)
    (talk,) = [item for item in everything if item.id == "multi_turn_base_17"]
    others = [item for item in everything[::9] if item.id not in V4.unanswerable and item is not talk]
    items = [talk, *others, *(item for item in everything if item.id in V4.unanswerable)]
    gold = V4.gold_replies(items, tmp_path)
    verdicts = V4.judge_all(items, gold, tmp_path / "score")
    assert {i.id for i, v in zip(items, verdicts, strict=True) if not v.correct} == V4.unanswerable
    metrics = V4.metrics(items, verdicts)
    assert metrics["overall"].value is None and "agentic" in metrics["overall"].why
    assert metrics["multi_turn"].value == metrics["irrelevance"].value == metrics["relevance"].value == 1.0
    steps = [step for turn in gold[0].record["turns"] for step in turn]
    assert played(V4, [talk], {talk.id: steps}, tmp_path / "talk") == [gold[0]]


def fabricated(items: Sequence[BfclItem], gold: dict[str, Reply]) -> list[Any]:
    """Answers as upstream's result files hold them: a seeded third wrong, wrongly typed or hostile."""
    rng = random.Random(14)
    hostile = turn("inspect.os.system", command="touch hacked")
    wrong: list[Any] = ["", "no", turn("unknown_tool"), hostile, 123, None, {"a": 1}, 1.5, True]
    spoiled: list[Callable[[list[list[Any]]], Any]] = [
        lambda turns: turns[:-1],
        lambda turns: [[""] for _ in turns],
        lambda turns: [[steps[0], *steps] for steps in turns],
        lambda turns: [[*steps, 5, None, {}] for steps in turns],
        lambda turns: [[hostile, *steps] for steps in turns],
        lambda turns: turns[::-1],
    ]
    answers = []
    for item in items:
        reply = gold[item.id]
        answer = reply.record.get("turns", reply.output)
        if rng.random() < 1 / 3:
            several = item.category in columns.MULTI_TURN
            answer = rng.choice(spoiled)(answer) if several else rng.choice(wrong)
        answers.append(answer)
    return answers


def test_counts_are_those_of_upstreams_own_evaluation(
    evaluator: Path, items: list[BfclItem], gold: dict[str, Reply], tmp_path: Path
) -> None:
    answers = fabricated(items, gold)
    lines = [{"id": item.id, "answer": answer} for item, answer in zip(items, answers, strict=True)]
    ours = {line["id"]: line["correct"] for line in ask(evaluator, tmp_path / "ours", "score", "rlla", lines)}
    theirs = upstreams_counts(evaluator, items, answers, tmp_path / "theirs")
    counted = Counter(upstreams_category(item) for item in items if ours[item.id])
    assert counted == {name: correct for name, (correct, _) in theirs.items()}
    assert {name: total for name, (_, total) in theirs.items()} == Counter(map(upstreams_category, items))
    assert 0.5 < sum(counted.values()) / len(items) < 0.8
    verdicts = [Verdict("" if ours[item.id] else "wrong") for item in items]
    shown = {name: f"{100 * (m.value or 0):.2f}%" for name, m in RLLA.metrics(items, verdicts).items()}
    (row,) = csv.DictReader((tmp_path / "theirs" / "score" / "data_overall.csv").read_text().splitlines())
    assert {name: shown[name] for name in UPSTREAMS_COLUMNS} == {
        name: row[theirs] for name, theirs in UPSTREAMS_COLUMNS.items()
    }
    assert not list(tmp_path.rglob("hacked"))


def upstreams_category(item: BfclItem) -> str:
    return "irrelevance" if item.category == columns.IRRELEVANCE else item.category


def upstreams_counts(
    evaluator: Path, items: Sequence[BfclItem], answers: Sequence[Any], root: Path
) -> dict[str, tuple[int, int]]:
    """Category → how many are right, of how many, in the score files that bfcl-eval itself writes."""
    files: dict[str, list[str]] = defaultdict(list)
    for item, answer in zip(items, answers, strict=True):
        files[upstreams_category(item)].append(json.dumps({"id": item.id.split("#")[0], "result": answer}))
    results = root / "result" / "toolrl-rlla"
    results.mkdir(parents=True)
    for name, lines in files.items():
        (results / f"BFCL_v3_{name}_result.json").write_text("\n".join(lines))
    argv = [python_of(evaluator), "-I", UPSTREAM, Path(toolrl_cli.__file__).parent, "rlla"]
    subprocess.run(argv, env={"BFCL_PROJECT_ROOT": str(root)}, check=True)
    counts = {}
    for name in files:
        score = root / "score" / "toolrl-rlla" / f"BFCL_v3_{name}_score.json"
        head = json.loads(score.read_text().splitlines()[0])
        counts[name] = (head["correct_count"], head["total_count"])
    return counts


def turn(name: str, /, **parameters: Any) -> str:
    return RLLA.said([{"name": name, "parameters": parameters}])


def test_hostile_turns_do_nothing_and_are_failed_calls(
    items: list[BfclItem], gold: dict[str, Reply], tmp_path: Path
) -> None:
    mark = tmp_path / "hacked"
    command = f"touch {mark}"
    hostile = [
        turn("__import__('os').system", command=command),
        turn("inspect.os.system", command=command),
        turn("importlib.import_module", name="antigravity"),
        turn("open", file=str(mark), mode="w"),
        turn("class_instance.__init__"),
        turn("func_call_list.clear"),
        turn("ls", **{f"a=__import__('os').system('{command}'), b": 1}),
        turn("ls", a=f"__import__('os').system('{command}')"),
        turn("mean", numbers=[1] * 100_000),
        turn("logarithm", value=10, base=3, precision=10**9),
        turn("a" * 1_000_000),
        "<tool_call>\n" + "[" * 100_000,
        "<tool_call>" * 100_000,
        '<tool_call>\n{"name": "exit", "parameters": {}}\n{"name": "importlib.sys.exit", "parameters": {}}',
    ]
    asked = [item for item in items if item.category == "multi_turn_base"][100 : 100 + len(hostile)]
    replies = []
    for item, text in zip(asked, hostile, strict=True):
        turns = gold[item.id].record["turns"]
        replies.append(reply_of([[text, *turns[0]], *turns[1:]]))
    assert set(judged(RLLA, asked, replies, tmp_path / "scratch").values()) == {""}
    alone = [
        reply_of([[text]] * len(reply.record["turns"])) for text, reply in zip(hostile, replies, strict=True)
    ]
    assert all(judged(RLLA, asked, alone, tmp_path / "again").values())
    assert not mark.exists()


@pytest.mark.parametrize("rows", [["simple_0", "simple_0"], ["simple_9999"]])
def test_answers_to_no_item_and_two_to_one_are_refused(
    items: list[BfclItem], rows: list[str], tmp_path: Path
) -> None:
    asked = [replace(items[0], id=id) for id in rows]
    with pytest.raises(BenchmarkError, match=f"{rows[0]} is"):
        RLLA.judge_all(asked, [Reply("")] * len(rows), tmp_path)


def played(
    benchmark: Bfcl, chosen: Sequence[BfclItem], texts: dict[str, list[str]], scratch: Path
) -> list[Reply]:
    """The replies to items whose questions are answered in turns, all conversations open at once."""
    replies: dict[str, Reply] = {}
    with benchmark.session(scratch, CTX) as session:
        talks = {item.id: session.converse(item) for item in chosen}
        asks: dict[str, Ask] = {id: next(talk) for id, talk in talks.items()}
        while asks:
            for id in list(asks):
                assert asks[id].messages
                try:
                    asks[id] = talks[id].send(Answer(texts[id].pop(0), "stop"))
                except StopIteration as end:
                    replies[id] = end.value
                    del asks[id]
    return [replies[item.id] for item in chosen]


def test_conversations_that_are_open_at_once_go_as_upstream_leads_them(
    items: list[BfclItem], gold: dict[str, Reply], tmp_path: Path
) -> None:
    chosen = [item for item in items if item.id.endswith("_17") or item.id.startswith("live_parallel_1-")]
    steps = {id: [step for steps in reply.record.get("turns", [[reply.output]]) for step in steps]
             for id, reply in gold.items()}  # fmt: skip
    replies = played(RLLA, chosen, steps, tmp_path)
    assert replies == [gold[item.id] for item in chosen]


def test_a_native_conversation_hands_results_to_the_template_as_messages_of_a_tool(
    native: list[BfclItem], tmp_path: Path
) -> None:
    (item,) = (item for item in native if item.id == "multi_turn_base_1")
    with NATIVE.session(tmp_path, CTX) as session:
        talk = session.converse(item)
        first = next(talk)
        assert first.tools is not None and first.tools[0]["type"] == "function"
        second = talk.send(Answer(NATIVE.said([{"name": "ls", "parameters": {}}]), "length"))
        assert [message["role"] for message in second.messages][-2:] == ["assistant", "tool"]
        assert "current_directory_content" in second.messages[-1]["content"]
        talk.close()


def test_calls_that_take_for_ever_break_a_conversation_off_and_no_other(
    items: list[BfclItem], gold: dict[str, Reply], tmp_path: Path
) -> None:
    chosen = [item for item in items if item.id in ("multi_turn_base_15", "multi_turn_base_16")]
    other = [step for steps in gold["multi_turn_base_16"].record["turns"] for step in steps]
    texts = {"multi_turn_base_15": [turn("power", base=10, exponent=10**10)], "multi_turn_base_16": other}
    stuck, fine = played(RLLA, chosen, texts, tmp_path)
    assert "more time or memory" in stuck.record["stopped"] and fine == gold["multi_turn_base_16"]
    assert "more time or memory" in RLLA.judge(chosen[0], stuck).reason


def test_an_evaluator_that_is_gone_gives_no_verdict(items: list[BfclItem], tmp_path: Path) -> None:
    (item,) = (item for item in items if item.id == "multi_turn_base_0")
    gone = replace(item, evaluator=tmp_path / "gone")
    (tmp_path / "gone" / "bin").mkdir(parents=True)
    python_of(gone.evaluator).write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    python_of(gone.evaluator).chmod(0o755)
    with RLLA.session(tmp_path / "scratch", CTX) as session, pytest.raises(CannotRun, match="broken"):
        next(session.converse(gone))
    with pytest.raises(BenchmarkError, match="ended with status 3: broken"):
        RLLA.judge(replace(items[0], evaluator=gone.evaluator), Reply(""))
