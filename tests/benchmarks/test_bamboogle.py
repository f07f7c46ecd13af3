"""Bamboogle: dialogue and count as released, search, judgement, and what happens where one of them fails.

`tests/fixtures/bamboogle_released.jsonl` has 60 fabricated dialogues and what the released script (ToolRL 8cee13e,
`benchmarks/Bamboogle/generate.py`) made of them, and as its last line the leaderboard that it printed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolrl_cli.benchmarks.bamboogle import dialogue
from toolrl_cli.benchmarks.bamboogle.corpus import Corpus, Document, corpus_fingerprint, read_corpus
from toolrl_cli.benchmarks.bamboogle.judging import SYSTEM as JUDGE_SYSTEM
from toolrl_cli.benchmarks.bamboogle.judging import Judge
from toolrl_cli.benchmarks.bamboogle.matching import holds, same
from toolrl_cli.benchmarks.bamboogle.serper import Serper, serper_key
from toolrl_cli.benchmarks.catalogue.bamboogle import BENCHMARK, Bamboogle, Conversations
from toolrl_cli.errors import BenchmarkError, SpecError
from toolrl_cli.spec.evaluations.asking import Answer, CannotRun, Item, Reply
from toolrl_cli.spec.run.evaluation_settings import BamboogleSpec, EvaluateSpec, JudgeSpec

FIXTURE = Path(__file__).parents[1] / "fixtures" / "bamboogle_released.jsonl"
*CASES, TOLD = map(json.loads, FIXTURE.read_text(encoding="utf-8").splitlines())
DATA = Path(__file__).parents[2].parent / "shared/data/bamboogle/bamboogle.json"


def found(query: str) -> str:
    return f" results for {query!r}\n2. more \n"


def item(question: str = "Who?", gold: str = "Ada") -> Item:
    return Item("1", "questions", dialogue.first_messages(question), {"question": question, "answer": gold})


def converse(
    turns: list[Any], one: Item, search: Callable[[str], str] = found, judge: Any = None
) -> tuple[Reply, list[Any]]:
    """The reply where a model says these turns, and the messages that it was asked with."""
    talk = Conversations(search, judge).converse(one)
    asked = []
    try:
        ask = next(talk)
        for turn in turns:
            asked.append(ask.messages)
            ask = talk.send(turn if isinstance(turn, Answer) else Answer(turn))
    except StopIteration as end:
        return end.value, asked
    raise AssertionError("it asks on")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["gold"])
def test_a_dialogue_is_led_as_the_released_script_leads_it(case: dict[str, Any]) -> None:
    reply, asked = converse(case["turns"], item(case["question"], case["gold"]))
    assert len(asked) == case["asked"]
    assert asked[-1][1]["content"] == case["last_prompt"]
    limit = "Round Limit Exceeded, no answer is derived."
    assert (reply.record["predicted"] if reply.record["predicted"] is not None else limit) == case[
        "predicted"
    ]
    assert len(reply.record["searches"]) == case["searches"]


def test_system_prompt_and_judge_s_are_the_released_ones() -> None:
    assert hashlib.sha256(dialogue.SYSTEM.encode()).hexdigest() == TOLD["system_sha256"]
    messages = [
        {"role": "system", "content": JUDGE_SYSTEM},
        {"role": "user", "content": TOLD["judged"][0]},
    ]
    assert hashlib.sha256(json.dumps(messages).encode()).hexdigest() == TOLD["judge_sha256"]


def test_columns_are_those_of_the_released_leaderboard() -> None:
    with_judge = Bamboogle(BamboogleSpec(judge=JudgeSpec(model="gpt-4o")))
    items = [item(case["question"], case["gold"]) for case in CASES]
    judge = lambda question, gold, predicted: (gold == predicted, "")  # noqa: E731
    verdicts = [
        with_judge.judge(one, converse(case["turns"], one, judge=judge)[0])
        for case, one in zip(CASES, items, strict=True)
    ]
    assert [int(verdict.correct) for verdict in verdicts] == [case["score"] for case in CASES]
    metrics = with_judge.metrics(items, verdicts)
    board = TOLD["leaderboard"]
    accuracy, calls = metrics["accuracy"], metrics["avg_tool_calls"]
    assert (accuracy.correct, accuracy.total) == (board["correct"], board["correct"] + board["wrong"])
    assert accuracy.value is not None and round(100 * accuracy.value, 2) == board["percent"]
    assert calls.value is not None and round(calls.value, 2) == board["tool_avg"]


def test_an_item_that_could_not_be_run_leaves_no_score() -> None:
    metrics = BENCHMARK.metrics(
        [item(), item()], [None, BENCHMARK.judge(item(), Reply("", {"predicted": "Ada"}))]
    )
    assert {name: metric.value for name, metric in metrics.items()} == dict.fromkeys(metrics)
    assert metrics["avg_tool_calls"].why == metrics["accuracy"].why == "1 of 2 items could not be run"


def test_gold_answers_are_right_and_empty_ones_are_not() -> None:
    verdicts = [BENCHMARK.judge(item(), Reply("", {"predicted": said})) for said in ("Ada", "", None)]
    assert [v.reason for v in verdicts] == ["", "an empty answer", "no answer in 4 rounds"]
    if DATA.is_file():
        golds = [row["Answer"] for row in json.loads(DATA.read_text(encoding="utf-8"))]
        assert len(golds) == 125 and all(same(gold, gold) and holds(f"It is {gold}.", gold) for gold in golds)
        assert not any(holds("I do not know.", gold) for gold in golds)


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("The answer is **James Madison**.", "james madison", True),
        ("Madison", "James Madison", False),
        ("He died on June 20th, 1837", "20 June 1837", True),
        ("He died on the 20th of June, 1837", "June 20, 1837", True),
        ("21 June 1837", "20 June 1837", False),
        ("1,999", "1999", True),
        ("11999", "1999", False),
        ("José", "Jose", True),
        ("yes, they can", "Yes", True),
        ("eyes", "Yes", False),
        ("The Formation of Mould", "formation of the mould", True),
        ("anything", "", False),
    ],
)
def test_answers_are_matched_by_their_words(answer: str, gold: str, right: bool) -> None:
    assert holds(answer, gold) is right


def test_an_answer_that_is_cut_is_counted() -> None:
    reply, _ = converse([Answer("<think> on and on", "length")], item())
    assert (reply.stop, reply.record["predicted"]) == ("length", "<think> on and on")


@pytest.mark.parametrize(
    "line", ["(" * 30_000, '{"parameters": {"query": ' + "9" * 40_000 + "}}", "-" * 10_000 + "1"]
)
def test_a_hostile_call_is_no_call(line: str) -> None:
    reply, asked = converse([f"<tool_call>\n{line}\n</tool_call>"] * 4, item())
    assert (reply.record["predicted"], reply.record["searches"], len(asked)) == (None, [], 4)


def answering(*answers: Any) -> tuple[httpx.Client, list[httpx.Request]]:
    """A client whose requests get these answers: bodies, statuses or errors, the last one for ever."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx.Response(answer, text="<html>no</html>")
        return (
            httpx.Response(200, json=answer)
            if not isinstance(answer, str)
            else httpx.Response(200, text=answer)
        )

    return httpx.Client(transport=httpx.MockTransport(handle)), asked


ORGANIC = [{"title": f"T{n}", "snippet": f"s{n}"} for n in range(9)]


def test_results_of_serper_are_shown_as_the_released_script_shows_them() -> None:
    client, asked = answering(
        {"answerBox": {"title": "B", "snippet": "x", "answer": "42"}, "organic": ORGANIC}
    )
    assert Serper(client, "secret")("who") == "1. B\n- Answer: 42\n" + "\n".join(
        f"{n + 2}. T{n}\n- Snippet: s{n}" for n in range(4)
    )
    assert json.loads(asked[0].content) == {"q": "who", "num": 15}
    assert asked[0].headers["X-API-KEY"] == "secret"
    assert Serper(answering({"organic": []})[0], "k")("who") == "Search Error: Timeout"


def test_a_search_is_tried_again_where_that_may_help() -> None:
    waited: list[float] = []
    client, asked = answering(429, httpx.ConnectError("refused"), {"organic": ORGANIC})
    assert Serper(client, "k", waited.append)("who").startswith("1. T0")
    assert (len(asked), waited) == (3, [2.0, 4.0])


@pytest.mark.parametrize(
    ("answer", "tries", "told"),
    [
        (403, 1, "the search failed: HTTP 403 '<html>no</html>'"),
        (500, 4, "HTTP 500"),
        (httpx.ReadTimeout("timed out"), 4, "timed out"),
        ("<html>", 4, "it answers no JSON object"),
    ],
)
def test_a_search_that_fails_leaves_the_item_without_a_verdict_and_the_key_untold(
    answer: Any, tries: int, told: str
) -> None:
    client, asked = answering(answer)
    with pytest.raises(CannotRun) as failed:
        converse(
            ['<tool_call>\n{"parameters": {"query": "x"}}\n</tool_call>'],
            item(),
            Serper(client, "secret", lambda seconds: None),
        )
    assert told in str(failed.value) and "secret" not in str(failed.value)
    assert len(asked) == tries


def said(text: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}}]}


def test_a_judge_is_asked_once_and_its_word_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    client, asked = answering(said("- Thought: fits\n- Judgment: Yes"))
    reply, _ = converse(
        ["<response> the first {gold} </response>"], item(), judge=Judge(client, JudgeSpec(model="m"))
    )
    assert (reply.record["judged"], reply.record["judge"]) == (True, "- Thought: fits\n- Judgment: Yes")
    body = json.loads(asked[0].content)
    assert (body["model"], body["temperature"]) == ("m", 0) and "the first {gold}" in body["messages"][1][
        "content"
    ]
    judged = Bamboogle(BamboogleSpec(judge=JudgeSpec(model="m"))).judge(item(), reply)
    assert judged.correct and not BENCHMARK.judge(item(), reply).correct
    assert str(asked[0].url) == "https://api.openai.com/v1/chat/completions"
    assert converse([""], item(), judge=Judge(client, JudgeSpec(model="m")))[0].record["predicted"] == ""
    assert len(asked) == 1  # an empty answer is wrong without a judge, as released


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (said("Maybe."), "the judge m gives no judgment: 'Maybe.'"),
        (said(None), "the judge m answers no chat completion"),
        ({"error": "x"}, "the judge m answers no chat completion"),
        (401, "the judge m failed: HTTP 401"),
    ],
)
def test_a_judge_that_fails_leaves_the_item_without_a_verdict(answer: Any, told: str) -> None:
    judge = Judge(answering(answer)[0], JudgeSpec(model="m", key_env=None), lambda seconds: None)
    with pytest.raises(CannotRun, match=told):
        converse(["<response> Ada </response>"], item(), judge=judge)


def test_without_a_key_nothing_begins_and_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERPER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        BenchmarkError, match=r"SERPER_API_KEY is not set.*evaluation.bamboogle.search: FOLDER"
    ):
        serper_key()
    with pytest.raises(BenchmarkError, match=r"OPENAI_API_KEY is not set.*evaluation.bamboogle.judge: null"):
        Judge(answering({})[0], JudgeSpec(model="m"))


def test_a_key_that_is_not_set_is_named_before_anything_begins(
    documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SERPER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    judged = Bamboogle(BamboogleSpec(judge=JudgeSpec(model="m")))
    assert judged.lacking().startswith("SERPER_API_KEY and OPENAI_API_KEY are not set here")
    assert "search: FOLDER searches documents of your own; judge: null matches words" in judged.lacking()
    monkeypatch.setenv("SERPER_API_KEY", "k")
    assert judged.lacking().startswith("OPENAI_API_KEY is not set here") and BENCHMARK.lacking() == ""
    local = BamboogleSpec(search=str(documents), judge=JudgeSpec(model="m", key_env=None))
    assert Bamboogle(local).lacking() == ""


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    rows = [
        {"title": "Citibank", "text": "Citibank was founded in 1812 as the City Bank of New York."},
        {"title": "1812", "contents": "In 1812 James Madison was president of the United States."},
        {"id": 7, "text": "Nothing of that. " * 80 + "The founder of Citibank was Samuel Osgood."},
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "b.txt").write_text("Rome is the capital of Italy.", encoding="utf-8")
    (folder / "c.pdf").write_bytes(b"%PDF")
    return folder


def test_documents_are_ranked_and_shown_by_their_best_passage(documents: Path) -> None:
    search = Corpus(read_corpus(documents))
    first, *others = search("When was Citibank founded?").split("\n")
    assert first == "1. Citibank" and others[0].startswith("- Snippet: Citibank was founded in 1812")
    assert "Samuel Osgood" in search("founder of Citibank, Osgood").split("\n")[1]
    assert search("capital italy") == "1. b\n- Snippet: Rome is the capital of Italy."
    assert search("zebra") == "Search Error: Timeout"
    ties = Corpus([Document(f"d{n}", "same words") for n in range(9)])("words")
    assert [line for line in ties.split("\n") if line[0].isdigit()] == [f"{n + 1}. d{n}" for n in range(5)]


def test_what_is_no_document_is_named_with_its_line(documents: Path, tmp_path: Path) -> None:
    (documents / "a.jsonl").write_text('{"text": "x"}\n{"txt": "y"}\n', encoding="utf-8")
    with pytest.raises(SpecError, match=r"a.jsonl:2: is no document"):
        read_corpus(documents)
    with pytest.raises(SpecError, match="no such file or folder"):
        read_corpus(tmp_path / "none")
    with pytest.raises(SpecError, match="holds no documents"):
        (tmp_path / "empty").mkdir()
        read_corpus(tmp_path / "empty")


def test_the_protocol_is_named_by_who_searches_and_who_judges(documents: Path) -> None:
    def protocol(**settings: Any) -> str:
        spec = EvaluateSpec(bamboogle=BamboogleSpec.model_validate(settings))
        return BENCHMARK.configured(spec).protocol

    local = f"documents {corpus_fingerprint(documents)}"
    judge = {"model": "qwen", "url": "http://localhost:8000/v1"}
    assert protocol(judge={"model": "gpt-4o"}) == "bamboogle"  # the paper's
    assert protocol() == "bamboogle, Serper, matching words"
    assert protocol(search=str(documents)) == f"bamboogle, {local}, matching words"
    assert protocol(search=str(documents), judge=judge) == f"bamboogle, {local}, judge qwen at localhost:8000"
    before = corpus_fingerprint(documents)
    (documents / "b.txt").write_text("Rome is the capital of Italy!", encoding="utf-8")
    assert corpus_fingerprint(documents) != before
