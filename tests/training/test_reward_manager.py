"""verl's reward manager over toolrl's rewards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config
from verl import DataProto

from toolrl_cli.errors import StageError
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.training.reward_manager import ToolrlRewardManager
from toolrl_cli.training.scoring_failure import ScoringFailure

GOLD = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """Bytes as tokens, with tags that are special tokens, as in Qwen's tokenizer."""
    alphabet = {character: index for index, character in enumerate(pre_tokenizers.ByteLevel.alphabet())}
    bare = Tokenizer(models.BPE(alphabet, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    special = ["<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>"]
    bare.add_special_tokens([AddedToken(tag, normalized=False) for tag in special])
    fast = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<|im_end|>")
    fast.name_or_path = str(tmp_path_factory.mktemp("model"))
    Qwen2Config().save_pretrained(fast.name_or_path)
    return fast


def manager(
    tmp_path: Path, tokenizer: Any, reward: object = "original", **settings: object
) -> ToolrlRewardManager:
    (tmp_path / "reward.json").write_text(json.dumps(reward), encoding="utf-8")
    toolrl = {
        "spec": str(tmp_path / "reward.json"),
        "failure_file": str(tmp_path / "failure.json"),
        "total_steps": 100,
    }
    config = OmegaConf.create(
        {
            "reward": {"toolrl": toolrl | settings},
            "trainer": {"total_training_steps": 7},
            "actor_rollout_ref": {"model": {"path": tokenizer.name_or_path}},
        }
    )
    return ToolrlRewardManager(config, tokenizer)


def sample(tokenizer: Any, text: str, step: int = 1, pad: int = 0, gold: str = GOLD) -> DataProto:
    response = torch.tensor([tokenizer.encode(text, add_special_tokens=False) + [0] * pad])
    mask = torch.ones((1, 3 + response.shape[1]), dtype=torch.int64)
    mask[0, response.shape[1] - pad + 3 :] = 0
    fields = {"reward_model": {"ground_truth": gold}, "data_source": "test", "global_steps": step}
    return DataProto(
        batch=TensorDict(
            {"prompts": torch.ones((1, 3), dtype=torch.int64), "responses": response, "attention_mask": mask},
            batch_size=1,
        ),
        non_tensor_batch={key: np.array([value], dtype=object) for key, value in fields.items()},
    )


def score(subject: ToolrlRewardManager, data: DataProto) -> dict[str, Any]:
    return asyncio.run(subject.run_single(data))


def test_a_perfect_response_gets_the_most_and_its_parts_are_reported(tmp_path: Path, tokenizer: Any) -> None:
    result = score(manager(tmp_path, tokenizer), sample(tokenizer, GOLD + "<|im_end|>"))
    assert result["reward_score"] == get_reward("original").max_total(1, 100, GOLD)
    info = result["reward_extra_info"]
    assert info["total"] == result["reward_score"]
    assert info["format/raw"] == info["format/weighted"] == 1.0
    assert all(isinstance(value, float) for value in info.values())


def test_tags_that_are_special_tokens_are_read(tmp_path: Path, tokenizer: Any) -> None:
    """verl's own managers would decode the response to a text without any tag."""
    assert "<think>" not in tokenizer.decode(tokenizer.encode(GOLD), skip_special_tokens=True)
    result = score(manager(tmp_path, tokenizer), sample(tokenizer, GOLD))
    assert result["reward_extra_info"]["format/raw"] == 1.0


def test_what_follows_the_end_of_the_turn_does_not_count(tmp_path: Path, tokenizer: Any) -> None:
    tail = "<|im_end|>\nassistant <think> again"
    subject = manager(tmp_path, tokenizer)
    assert score(subject, sample(tokenizer, GOLD + tail)) == score(subject, sample(tokenizer, GOLD))


def test_padding_does_not_count(tmp_path: Path, tokenizer: Any) -> None:
    subject = manager(tmp_path, tokenizer)
    assert score(subject, sample(tokenizer, GOLD, pad=9)) == score(subject, sample(tokenizer, GOLD))


def test_the_score_is_that_of_the_samples_step(tmp_path: Path, tokenizer: Any) -> None:
    subject = manager(tmp_path, tokenizer, "dynamic")
    reward = get_reward("dynamic")
    for step in (0, 1, 60, 100):
        expected = reward.score(GOLD, GOLD, step=step, total_steps=100).total
        assert score(subject, sample(tokenizer, GOLD, step))["reward_score"] == expected
    assert reward.score(GOLD, GOLD, step=1, total_steps=100) != reward.score(
        GOLD, GOLD, step=100, total_steps=100
    )


def test_the_length_of_the_run_comes_from_the_trainer_where_it_is_not_given(
    tmp_path: Path, tokenizer: Any
) -> None:
    assert manager(tmp_path, tokenizer, total_steps=None)._total_steps == 7


def test_a_fault_of_the_scorer_is_raised_and_the_completion_kept(tmp_path: Path, tokenizer: Any) -> None:
    (tmp_path / "mine.py").write_text("def mine(completion):\n    return 1 / 0\n", encoding="utf-8")
    reward = {
        "components": {"mine": {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "mine"}}
    }
    subject = manager(tmp_path, tokenizer, reward)
    with pytest.raises(RewardError, match="ZeroDivisionError"):
        score(subject, sample(tokenizer, "first", step=5))
    with pytest.raises(RewardError):
        score(subject, sample(tokenizer, "second", step=5))
    failure = ScoringFailure.load(tmp_path / "failure.json")
    assert failure is not None
    assert (failure.completion, failure.ground_truth, failure.step) == ("first", GOLD, 5)
    assert "ZeroDivisionError" in failure.error
    assert "return 1 / 0" in failure.traceback
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failure.json", "mine.py", "reward.json"]


@pytest.mark.parametrize("body", ["os._exit(0)", "sys.exit(0)", "raise ValueError('\\ud800')"])
def test_a_scorer_that_ends_its_process_leaves_the_trainers_alone_and_the_completion_kept(
    tmp_path: Path, tokenizer: Any, body: str
) -> None:
    source = f"import os, sys\ndef mine(tokens, data_source, extra_info):\n    {body}\n"
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    mine = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "mine"}
    subject = manager(tmp_path, tokenizer, {"components": {"mine": mine}})
    with pytest.raises(RewardError, match=r"components\.mine: mine .*mine\.py"):
        score(subject, sample(tokenizer, "abc", step=5))
    failure = ScoringFailure.load(tmp_path / "failure.json")
    assert failure is not None
    assert (failure.completion, failure.tokens, failure.data_source) == ("abc", 3, "test")


def test_a_function_gets_the_rows_data_source_extra_info_and_prompt(tmp_path: Path, tokenizer: Any) -> None:
    source = "def mine(data_source, solution_str, ground_truth, extra_info=None, prompt=None):\n"
    source += "    return extra_info['bonus'] * len(prompt[-1]['content'])\n"
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    mine = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "mine"}
    subject = manager(tmp_path, tokenizer, {"components": {"mine": mine}})
    data = sample(tokenizer, "abc")
    data.non_tensor_batch["extra_info"] = np.array([{"bonus": np.float32(0.5)}], dtype=object)
    messages = [{"role": "system", "content": "tools"}, {"role": "user", "content": "ab"}]
    data.non_tensor_batch["raw_prompt"] = np.array([None], dtype=object)
    data.non_tensor_batch["raw_prompt"][0] = messages
    assert score(subject, data)["reward_score"] == 1.0


def test_numbers_beside_a_functions_score_are_reported_and_texts_are_not(
    tmp_path: Path, tokenizer: Any
) -> None:
    (tmp_path / "mine.py").write_text("def mine():\n    return {'score': 1, 'style': 2, 'pred': 'x'}\n")
    mine = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "mine"}
    found = score(manager(tmp_path, tokenizer, {"components": {"mine": mine}}), sample(tokenizer, "abc"))
    assert found["reward_extra_info"] == {
        "total": 1.0,
        **{"mine/raw": 1.0, "mine/weight": 1.0, "mine/weighted": 1.0, "mine/style": 2.0},
    }


def together(subject: ToolrlRewardManager, *samples: tuple[str, DataProto]) -> list[Any]:
    """Samples with the ids of their prompts, as verl's reward worker has them scored that come in one call."""

    async def scored() -> list[Any]:
        tasks = []
        for uid, data in samples:
            data.non_tensor_batch["uid"] = np.array([uid], dtype=object)
            tasks.append(asyncio.create_task(subject.run_single(data)))
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(scored())


def comparing(tmp_path: Path, tokenizer: Any, source: str) -> ToolrlRewardManager:
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    mine = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "mine", "batch": True}
    return manager(tmp_path, tokenizer, {"components": {"mine": mine}})


def test_the_responses_to_a_prompt_are_scored_together(tmp_path: Path, tokenizer: Any) -> None:
    source = (
        "def mine(completions, tokens):\n    return [t / max(tokens) + len(completions) for t in tokens]\n"
    )
    subject = comparing(tmp_path, tokenizer, source)
    texts = [("a", "xx"), ("b", "x"), ("a", "xxxx"), ("b", "xx"), ("a", "x")]
    found = together(subject, *((uid, sample(tokenizer, text)) for uid, text in texts))
    assert [one["reward_score"] for one in found] == [3.5, 2.5, 4.0, 3.0, 3.25]
    again = together(subject, ("a", sample(tokenizer, "x")))  # what came before is scored and gone
    assert again[0]["reward_score"] == 2.0


def test_a_group_that_cannot_be_scored_is_kept_whole(tmp_path: Path, tokenizer: Any) -> None:
    source = "def mine(completions):\n    return [1 if c != 'bad' else float('nan') for c in completions]\n"
    subject = comparing(tmp_path, tokenizer, source)
    found = together(
        subject, *(("a", sample(tokenizer, text)) for text in ("x", "bad")), ("b", sample(tokenizer, "y"))
    )
    assert [isinstance(one, RewardError) for one in found] == [True, True, False]
    failure = ScoringFailure.load(tmp_path / "failure.json")
    assert failure is not None and "nan for response 2 of 2" in failure.error
    assert (failure.completion, failure.others, failure.place) == ("x", [["bad", 3]], 0)


def test_a_total_that_is_no_finite_number_is_a_fault_and_no_score(tmp_path: Path, tokenizer: Any) -> None:
    (tmp_path / "mine.py").write_text("def mine(completion):\n    return 100.0\n", encoding="utf-8")
    mine = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "mine", "weight": 1e308}
    subject = manager(tmp_path, tokenizer, {"components": {"mine": mine}})
    with pytest.raises(RewardError, match="the total is inf"):
        score(subject, sample(tokenizer, "large", step=5))
    failure = ScoringFailure.load(tmp_path / "failure.json")
    assert failure is not None and (failure.completion, failure.step) == ("large", 5)


def test_where_no_scorer_failed_there_is_no_failure(tmp_path: Path) -> None:
    assert ScoringFailure.load(tmp_path / "failure.json") is None


@pytest.mark.parametrize(
    ("content", "match"),
    [("{", "reward.json"), ('"orignal"', "original"), ('{"components": {}}', "reward.json")],
)
def test_a_specification_that_cannot_be_read_names_its_file(
    tmp_path: Path, tokenizer: Any, content: str, match: str
) -> None:
    path = tmp_path / "broken"
    path.mkdir()
    (path / "reward.json").write_text(content, encoding="utf-8")
    with pytest.raises(StageError, match=match) as caught:
        manager(tmp_path, tokenizer, spec=str(path / "reward.json"))
    assert caught.value.failure_class == "config"


def test_a_configuration_without_a_reward_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(StageError, match=r"reward\.toolrl\.spec"):
        manager(tmp_path, tokenizer, spec=None)
