"""Packed batches against ordinary passes, sequence by sequence."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.rollout_models import tiny_model
from toolrl_cli.training.cpu.packing import ATTENTION_NAME, PackedBatch, pack

MODELS = {family: tiny_model(family) for family in ("qwen2", "llama")}


def packed_model(family: str) -> torch.nn.Module:
    model = copy.deepcopy(MODELS[family])
    model.set_attn_implementation(ATTENTION_NAME)
    return model


def run(model: torch.nn.Module, batch: PackedBatch) -> torch.Tensor:
    return model(
        input_ids=batch.tokens.unsqueeze(0),
        position_ids=batch.positions.unsqueeze(0),
        attention_mask=None,
        use_cache=False,
        logits_to_keep=batch.scored,
        toolrl_batch=batch,
    ).logits[0]


def layout(
    prompts: list[list[int]], responses: list[list[int]]
) -> tuple[PackedBatch, list[torch.Tensor], list[torch.Tensor]]:
    sequences = [torch.tensor(p + r) for p, r in zip(prompts, responses, strict=True)]
    scored = [torch.arange(len(p) - 1, len(p) + len(r) - 1) for p, r in zip(prompts, responses, strict=True)]
    return pack(sequences, [len(p) for p in prompts], scored), sequences, scored


def scores(model: torch.nn.Module, sequence: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    log_probs = model(sequence.unsqueeze(0)).logits[0].log_softmax(-1)
    return log_probs[places].gather(1, sequence[places + 1].unsqueeze(1)).squeeze(1)


token = st.integers(0, 90)
prompt = st.lists(token, min_size=1, max_size=9)
response = st.lists(token, min_size=1, max_size=7)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(prompt, st.lists(response, min_size=1, max_size=4)), min_size=1, max_size=4))
def test_scores_are_those_of_each_sequence_alone(groups: list[tuple[list[int], list[list[int]]]]) -> None:
    prompts = [p for p, members in groups for _ in members]
    responses = [r for _, members in groups for r in members]
    batch, sequences, scored = layout(prompts, responses)
    with torch.no_grad():
        log_probs = run(packed_model("qwen2"), batch).log_softmax(-1)
        found = torch.zeros(batch.size)
        found[batch.places] = log_probs.gather(1, batch.labels.unsqueeze(1)).squeeze(1)
        start = 0
        for sequence, places in zip(sequences, scored, strict=True):
            expected = scores(MODELS["qwen2"], sequence, places)
            assert found[start : start + len(sequence)][places] == pytest.approx(expected, abs=2e-5)
            start += len(sequence)


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_gradients_are_those_of_the_sequences_together(family: str) -> None:
    prompts = [[3, 4, 5, 6]] * 3 + [[7, 8]] + [[9] * 6] * 2
    responses = [[1, 2], [3], [4, 5, 6, 7], [8, 9, 1], [2], [3, 3]]
    batch, sequences, scored = layout(prompts, responses)
    weights = torch.randn(len(batch.places))

    ours = packed_model(family)
    log_probs = run(ours, batch).log_softmax(-1).gather(1, batch.labels.unsqueeze(1)).squeeze(1)
    (log_probs * weights).sum().backward()

    theirs = copy.deepcopy(MODELS[family])
    parts = [scores(theirs, sequence, places) for sequence, places in zip(sequences, scored, strict=True)]
    (torch.cat(parts) * weights).sum().backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, atol=1e-4, rtol=1e-3), name


def test_a_shared_prompt_is_run_once() -> None:
    prompts = [[3, 4, 5, 6]] * 3 + [[7, 8]]
    batch, _, _ = layout(prompts, [[1, 2], [3], [4, 5, 6], [8]])
    assert len(batch.tokens) == 4 + (2 + 1 + 3) + (2 + 1)
    assert len(batch.trunks) == 2
    assert len(batch.branches) == 3


def test_sequences_without_prompts_are_packed_as_they_are() -> None:
    sequences = [torch.tensor([1, 2, 3]), torch.tensor([1, 2, 3]), torch.tensor([4, 5])]
    batch = pack(sequences, [0, 0, 0], [torch.tensor([1]), torch.tensor([0, 1]), torch.tensor([0])])
    assert len(batch.tokens) == 8
    assert batch.labels.tolist() == [3, 2, 3, 5]
    assert batch.places.tolist() == [1, 3, 4, 6]
    assert len(batch.branches) == 0


def test_without_a_packed_batch_the_attention_is_the_ordinary_one() -> None:
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    with torch.no_grad():
        expected = MODELS["qwen2"](ids, attention_mask=mask).logits
        found = packed_model("qwen2")(ids, attention_mask=mask).logits
    assert torch.allclose(found[0], expected[0], atol=1e-5)
    assert torch.allclose(found[1, :2], expected[1, :2], atol=1e-5)
