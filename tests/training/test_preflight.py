"""Real rows under a stage's limits, by a tokenizer: what is counted, said and refused, and what is remembered."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.datasets import toolworld
from toolrl_cli.datasets.repeats import find_repeats
from toolrl_cli.datasets.verl_rows import write_parquet
from toolrl_cli.errors import StageError
from toolrl_cli.spec.kind_configs import EvaluateConfig, RlConfig, SftConfig
from toolrl_cli.spec.run.data_settings import RllaData, ToolWorldData, VerlData
from toolrl_cli.spec.run.model_settings import EndpointModel, HuggingFaceModel, TinyModel
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.training.models.tiny_tokenizer import write_tokenizer
from toolrl_cli.training.preflight import answers, measuring, row_questions, tokenizer_files
from toolrl_cli.training.preflight.measuring import measure
from toolrl_cli.training.preflight.question import Answer, Measures, Question
from toolrl_cli.training.preflight.row_checks import TINY_GOLD, TINY_PROMPT, check_before_start, check_rows

GOLD = "<think> t </think>\n<tool_call>\n{}\n</tool_call>"
ROWS = [([{"role": "user", "content": f"{'word ' * n}end"}], GOLD) for n in (0, 3)]


class Words:
    """A tokenizer with a token a word or gap; a template that can begin the answer, or leave thoughts out."""

    def __init__(self, lead: str = "", *, thoughts: bool = True, loses: str = "", special: str = "") -> None:
        self.lead, self.thoughts, self.missing, self.special = lead, thoughts, loses, special
        self.words: list[str] = []

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool, **other: Any
    ) -> str:
        if messages[0]["content"].startswith("refuse"):
            raise ValueError("System role not supported\nat line 3")
        text = "".join(f"[{m['role']}] {m['content']}\n" for m in messages)
        if not self.thoughts:
            text = re.sub("<think>.*</think>\n", "", text)
        return text + (f"[assistant] {self.lead}" if add_generation_prompt else "")

    def __call__(self, texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        found = [re.findall(r"\s+|\S+", text) for text in texts]
        self.words = sorted({word for words in found for word in words})
        return {"input_ids": [[self.words.index(word) for word in words] for words in found]}

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        left_out = {self.missing, self.special if skip_special_tokens else ""}
        return "".join("" if self.words[n] in left_out else self.words[n] for n in ids)


def test_prompts_are_counted_with_the_beginning_of_the_answer_and_gold_answers_by_themselves() -> None:
    found = measure(Words(), ROWS, {}, trained=False)
    assert (found.lengths, found.golds, found.changed) == ([6, 12], [11, 11], [])


def test_conversations_are_counted_without_the_line_end_behind_them() -> None:
    assert measure(Words(), ROWS, {}, trained=True).lengths == [17, 23]


def test_a_template_that_begins_the_answer_with_the_tag_is_seen() -> None:
    assert measure(Words("<think>\n"), ROWS, {}, trained=False).opened == "<think>"
    assert not measure(Words("<think>\n\n</think>\n\n"), ROWS, {}, trained=False).opened


def test_a_template_that_leaves_thoughts_out_of_what_is_trained_is_seen() -> None:
    assert measure(Words(thoughts=False), ROWS, {}, trained=True).dropped == [0, 1]


def test_a_tag_that_the_tokenizer_does_not_give_back_is_seen() -> None:
    found = measure(Words(loses="<tool_call>"), ROWS, {}, trained=False)
    assert (found.changed, found.lost) == ([0, 1], ["<tool_call>"])


def test_a_tag_that_is_a_special_token_is_no_loss_but_told_of_rollouts(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = measure(Words(special="<think>"), ROWS, {}, trained=False)
    assert (found.changed, found.special) == ([], ["<think>"])
    monkeypatch.setattr(answers, "_ask", lambda questions: [Answer(found) for _ in questions])
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(answers, "_seen", {})
    assert not lines(evaluate(model, max_response_length=100))
    assert lines(rl(model, max_response_length=100)) == [
        "model: the tokenizer of mine holds <think> for special, and verl's dumps leave them out: training is as it "
        "should be, `rescore` is not"
    ]


def test_a_row_that_the_template_refuses_is_named() -> None:
    rows = [*ROWS, ([{"role": "system", "content": "refuse"}], GOLD)]
    found = measure(Words(), rows, {}, trained=False)
    assert (found.problem, found.blamed) == (
        "the chat template refuses row 2: System role not supported",
        "template",
    )


def test_rows_that_come_twice_or_are_tested_are_found() -> None:
    a, b = ("s", "a", "1"), ("s", "b", "1")
    found = find_repeats({"train": [a, b, a, ("s", "a", "2"), ("s", "c", "x\r\ny")], "val": [b, b]}, "val")
    assert (found["train"].double, found["train"].disputed) == ([2], [3])
    assert (found["train"].tested, found["train"].crlf) == ([1], [4])
    assert (found["val"].double, found["val"].tested) == ([1], [])
    assert not find_repeats({"train": [b], "val": [b]}, None)["train"].tested


# --- what is said of what was counted -----------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> HuggingFaceModel:
    """A folder with the tiny model's tokenizer, and a model of few positions."""
    folder = tmp_path / "mine"
    folder.mkdir()
    write_tokenizer(folder, 8192)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "llama", "max_position_embeddings": 200}), encoding="utf-8"
    )
    return HuggingFaceModel(kind="huggingface", name="mine", path=str(folder))


NOWHERE = Path("/nowhere")
WORLD = ToolWorldData(kind="toolworld", sft=4, train=4, val=2, benchmark=12)


def stage(
    kind: str, config: SftConfig | RlConfig | EvaluateConfig, inputs: Mapping[str, str] | None = None
) -> StageSpec:
    return StageSpec.of(config, id=f"{kind}-x", kind=kind, identity={}, inputs=inputs or {})


def sft(model: Any, data: Any = WORLD, **settings: Any) -> StageSpec:
    return stage("sft", SftConfig(model=model, data=data, sft=settings))


def rl(model: Any, data: Any = WORLD, options: Mapping[str, Any] | None = None, **settings: Any) -> StageSpec:
    more = {"resources": settings.pop("resources", {}), "verl_options": dict(options or {})}
    settings = {"prompts": 1, "mini_batch": 1, **settings}
    config = RlConfig(model=model, data=data, algorithm="grpo", reward={}, rl=settings, **more)
    return stage("rl", config)


def evaluate(model: Any, **settings: Any) -> StageSpec:
    return stage(
        "evaluate", EvaluateConfig(model=model, benchmark="toolworld", evaluation=settings, data=WORLD)
    )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Question]:
    """Every set of rows has prompts of 50 and 120 tokens and gold answers of 10 and 30; what was asked."""
    asked: list[Any] = []

    def ask(questions: list[Any]) -> list[Answer]:
        asked.extend(questions)
        return [
            Answer(Measures([50, 120], [10, 30])) if isinstance(q, Question) else Answer() for q in questions
        ]

    monkeypatch.setattr(answers, "_ask", ask)
    monkeypatch.setattr(answers, "_seen", {})
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    return asked


def lines(*stages: StageSpec) -> list[str]:
    found, missing = check_rows(stages, NOWHERE)
    assert not missing
    return [f"{'refused: ' if one.fault.refused else ''}{one.fault}" for one in found]


def test_sft_rows_that_lose_gold_are_refused_with_what_suffices(
    model: HuggingFaceModel, counted: list[Question]
) -> None:
    assert lines(sft(model, max_length=60)) == [
        "refused: sft.max_length: 1 of 2 sft rows are longer than 60 tokens and lose the end of their gold answer, "
        "1 of them all of it; the longest has 120; row 1 (--set sft.max_length=120, or go on with "
        "--set sft.allow_cut_gold=true)"
    ]
    assert lines(sft(model, max_length=60, allow_cut_gold=True))[0].endswith("(--set sft.max_length=120)")
    assert lines(sft(model, max_length=120)) == []
    assert "all of it" not in lines(sft(model, max_length=100))[0]


def test_the_tiny_model_s_pretraining_is_told_by_its_own_setting(counted: list[Question]) -> None:
    (line,) = lines(sft(TinyModel(kind="tiny"), split="base", max_length=60))
    assert line.startswith("refused: model.pretrain.max_length: 1 of 2 base rows")
    assert "--set model.pretrain.allow_cut_gold=true" in line


def test_gold_that_cannot_be_generated_is_refused_and_long_prompts_are_told(
    model: HuggingFaceModel, counted: list[Question]
) -> None:
    data = ToolWorldData(kind="toolworld", train=4, val=2)
    assert lines(rl(model, data, max_prompt_length=100, max_response_length=20)) == [
        "rl.max_prompt_length: 1 of 2 train and 1 of 2 val prompts are longer than 100 tokens and lose their "
        "beginning, where the tools are listed; the longest has 120; train row 1 (--set rl.max_prompt_length=120)",
        "refused: rl.max_response_length: 1 of 2 train and 1 of 2 val rows have a gold answer of more than 20 "
        "tokens, which cannot be generated; the longest has 30; train row 1 (--set rl.max_response_length=31, or "
        "go on with --set rl.allow_cut_gold=true)",
    ]
    filtered = rl(
        model, data, {"+data.filter_overlong_prompts": True}, max_prompt_length=100, max_response_length=50
    )
    assert "prompts are longer than 100 tokens and are left out; " in lines(filtered)[0]


def test_an_evaluation_is_checked_like_a_training(model: HuggingFaceModel, counted: list[Question]) -> None:
    found = lines(evaluate(model, max_prompt_length=100, max_response_length=20))
    assert found[0].startswith(
        "evaluation.max_prompt_length: 1 of 2 toolworld prompts are longer than 100 tokens"
    )
    assert "are not asked at all" in found[0]
    assert found[1].startswith(
        "refused: evaluation.max_response_length: 1 of 2 toolworld rows have a gold answer"
    )
    assert not lines(evaluate(model, max_prompt_length=120, max_response_length=30))


def test_items_that_are_not_asked_are_not_counted(model: HuggingFaceModel, counted: list[Question]) -> None:
    check_rows([evaluate(model), evaluate(model, limit=1)], NOWHERE)
    every, few = (measuring._items(question.rows) for question in counted)
    assert len(few) < len(every) == WORLD.benchmark and few[0] == every[0]


def test_sequences_beyond_the_model_s_positions_are_told(
    model: HuggingFaceModel, counted: list[Question]
) -> None:
    short = {"max_prompt_length": 160, "max_response_length": 60}
    assert not lines(rl(model, resources={"rollout": "transformers"}, **short))
    assert "up to 220 tokens" in lines(rl(model, resources={"rollout": "vllm"}, **short))[0]
    assert lines(evaluate(model, max_prompt_length=4096, max_response_length=100)) == [
        "evaluation.max_response_length: sequences have up to 220 tokens, and the model has 200 positions "
        "(lower it, or take a model with more (max_position_embeddings))"
    ]


def test_what_tokenizer_and_template_do_to_gold_is_told(
    model: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = Measures([5], [5], dropped=[0], changed=[0], lost=["<think>"], opened="<think>")
    monkeypatch.setattr(answers, "_ask", lambda questions: [Answer(bad) for _ in questions])
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(answers, "_seen", {})
    assert lines(sft(model)) == [
        "model: the chat template of mine begins the answer with <think> itself, so that no answer meets the format "
        "(take a chat template without it)",
        "model: the chat template of mine changes the gold answer of 1 of 1 sft rows: what it leaves out is not "
        "learned; row 0",
        "model: the tokenizer of mine loses <think> in 1 of 1 sft rows, whose format can never be met; row 0",
    ]


def test_the_tiny_model_on_toolworld_under_its_limits_is_not_asked_about(counted: list[Question]) -> None:
    tiny = TinyModel(kind="tiny")
    limits = {"max_prompt_length": 256, "max_response_length": 64}
    assert lines(sft(tiny, max_length=512), rl(tiny, **limits), evaluate(tiny, **limits)) == []
    assert not counted
    assert lines(rl(tiny, max_prompt_length=100, max_response_length=64))
    assert counted


def test_equal_rows_are_asked_about_once_whatever_the_limits(
    model: HuggingFaceModel, counted: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [rl(model, max_response_length=n) for n in range(100, 140)]
    check_rows(many, NOWHERE)
    assert len(counted) == 2  # train and val
    monkeypatch.setattr(answers, "_seen", {})  # as a later command has it
    check_rows([*many, rl(model, max_response_length=7)], NOWHERE)
    assert len(counted) == 2
    Path(model.path, "tokenizer_config.json").write_text("{}", encoding="utf-8")
    check_rows(many, NOWHERE)
    assert len(counted) == 4


def test_a_model_that_is_out_of_reach_is_named_and_nothing_is_refused(counted: list[Question]) -> None:
    away = HuggingFaceModel(kind="huggingface", name="away", path="org/away")
    endpoint = EndpointModel(kind="endpoint", name="e", url="http://there/v1", model="m")
    found, missing = check_rows([sft(away), rl(away), evaluate(away), evaluate(endpoint)], NOWHERE)
    assert (found, missing, counted) == ([], ["away"], [])


def test_the_tokenizer_of_a_model_on_the_hub_is_fetched_without_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: dict[str, Any] = {}

    def download(name: str, *, local_dir: Path, **asked: Any) -> str:
        fetched.update(asked, name=name)
        local_dir.mkdir(parents=True)
        (local_dir / "config.json").write_text('{"text_config": {"max_position_embeddings": 77}}')
        return str(local_dir)

    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(tokenizer_files, "hub_config", lambda name, revision: (None, {"model_type": "llama"}))
    model = HuggingFaceModel(kind="huggingface", name="far", path="org/far", revision="c0ffee")
    found = tokenizer_files.tokenizer_of(model)
    assert found is not None and found.positions == 77
    assert Path(found.folder).parent == tmp_path / "tokenizers"
    assert fetched["revision"] == "c0ffee" and not any("safetensors" in p for p in fetched["allow_patterns"])
    away = model.model_copy(update={"path": "org/further"})
    monkeypatch.setattr(tokenizer_files, "hub_config", lambda name, revision: None)
    assert tokenizer_files.tokenizer_of(away) is None


def test_a_stage_is_checked_again_before_it_starts(model: HuggingFaceModel, counted: list[Question]) -> None:
    check_before_start(sft(model), NOWHERE, model.path)
    with pytest.raises(StageError, match=r"sft\.max_length: 1 of 2 sft rows") as fault:
        check_before_start(sft(model, max_length=60), NOWHERE, model.path)
    assert fault.value.failure_class == "config"


def test_repeated_rows_of_a_training_are_told(
    model: HuggingFaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[Question]
) -> None:
    repeats = find_repeats({"train": [("s", "a", "1")] * 3, "val": [("s", "a", "2")]}, "val")
    monkeypatch.setattr(
        answers,
        "_ask",
        lambda asked: [
            Answer(None, repeats) if not isinstance(q, Question) else Answer(Measures()) for q in asked
        ],
    )
    monkeypatch.setattr(row_questions, "dataset_fingerprint", lambda kind, params: "f")
    assert lines(rl(model, RllaData(kind="rlla", path=str(tmp_path)))) == [
        "data.path: 3 of 3 train rows have a prompt of the test set (val); rows 0, 1, 2",
        "data.path: 2 of 3 train rows are equal to an earlier one; rows 1, 2",
    ]


def test_repeated_rows_of_ones_own_are_told(
    model: HuggingFaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    for name, questions in (("train", "aabc"), ("val", "c"), ("sft", "dd")):
        told = [{"role": "user", "content": q} for q in questions]
        rows: list[dict[str, object]] = [
            {"messages": [one, {"role": "assistant", "content": GOLD}]}
            if name == "sft"
            else {"data_source": "x", "prompt": [one], "reward_model": {"ground_truth": GOLD}}
            for one in told
        ]
        lines_of = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines_of, encoding="utf-8")
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "val", "sft")}
    found = [line for line in lines(rl(model, VerlData(kind="verl", **files))) if line.startswith("data.")]
    assert found == [
        "data.train: 1 of 4 train rows have a prompt of the test set (val); row 3",
        "data.train: 1 of 4 train rows are equal to an earlier one; row 1",
    ]
    sft_stage = sft(model, data=VerlData(kind="verl", **files))
    found = [line for line in lines(sft_stage) if line.startswith("data.")]
    assert found == ["data.sft: 1 of 2 sft rows are equal to an earlier one; row 1"]


def test_rows_that_cannot_be_read_are_refused_in_one_line(
    model: HuggingFaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    half = {"instruction": "s", "input": "cut: \ud83d", "output": GOLD}
    (tmp_path / "rlla_sft.json").write_text(json.dumps([half]), encoding="utf-8")
    rows = [
        {
            "prompt": [{"role": r, "content": r} for r in ("system", "user")],
            "reward_model": {"ground_truth": GOLD},
        }
    ]
    write_parquet(rows, tmp_path / "test.parquet")
    data = RllaData(kind="rlla", path=str(tmp_path))
    assert [line.partition(": row")[0] for line in lines(sft(model, data), rl(model, data))] == [
        f"refused: data: {tmp_path}/rlla_sft.json"
    ]


# --- the child ----------------------------------------------------------------------------------------------------


def test_the_child_counts_with_the_folder_s_own_tokenizer_and_says_what_it_cannot_read(
    model: HuggingFaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(answers, "_seen", {})
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tokenizer.json").write_text("{", encoding="utf-8")
    other = model.model_copy(update={"name": "broken", "path": str(broken)})
    found = lines(sft(model, max_length=50), evaluate(model, max_response_length=10), sft(other), rl(other))
    assert re.match(r"refused: sft\.max_length: \d of 4 sft rows are longer than 50 tokens", found[0])
    assert re.match(r"refused: evaluation\.max_response_length: \d+ of 12 toolworld rows", found[1])
    assert len(found) == 3 and found[2].startswith("model: tokens are not counted for broken: ")


def test_the_bounds_of_toolworld_in_the_tiny_tokenizer_hold(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path, 8192)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for split in toolworld.SPLITS:
        rows = [
            ([{"role": "system", "content": e.system}, {"role": "user", "content": e.user}], e.answer)
            for e in toolworld.generate(split, 7, 100)
        ]
        found = measure(tokenizer, rows, {}, trained=False)
        assert max(found.lengths) <= TINY_PROMPT and max(found.golds) <= TINY_GOLD
        assert not found.changed and not found.opened
