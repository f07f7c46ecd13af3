"""One token per row: which one, and how probable it was."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from toolrl_cli.training.rollout.sampling import SamplingParams, sample_rows


def rows(*logits: list[float]) -> torch.Tensor:
    return torch.tensor(logits)


def test_a_parameter_the_engine_lacks_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'beam_width'"):
        SamplingParams.from_request({"beam_width": 4}, 10)
    with pytest.raises(ValueError, match=r"repetition_penalty=1\.2"):
        SamplingParams.from_request({"repetition_penalty": 1.2}, 10)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_values_out_of_range_are_refused(params: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SamplingParams.from_request(params, 10)


def test_what_verl_sends_is_read() -> None:
    params = SamplingParams.from_request(
        {"temperature": 0.7, "top_p": 0.9, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}, 64
    )
    assert params == SamplingParams(max_tokens=64, temperature=0.7, top_p=0.9, top_k=-1)


def test_the_smallest_limit_on_the_length_holds() -> None:
    assert SamplingParams.from_request({"max_tokens": 5}, 64).max_tokens == 5
    assert SamplingParams.from_request({"max_new_tokens": 500}, 64).max_tokens == 64


def test_a_uniform_number_picks_the_token_whose_share_holds_it() -> None:
    logits = torch.log(torch.tensor([[0.2, 0.5, 0.3]] * 5))
    uniforms = torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71])
    tokens, log_probs = sample_rows(logits, torch.ones(5), uniforms)
    assert tokens.tolist() == [0, 0, 1, 1, 2]
    assert log_probs.exp().tolist() == pytest.approx([0.2, 0.2, 0.5, 0.5, 0.3])


def test_temperature_scales_the_distribution_and_the_log_probabilities() -> None:
    logits = rows([0.0, 2.0])
    _, log_probs = sample_rows(logits, torch.tensor([2.0]), torch.tensor([0.99]))
    assert log_probs.item() == pytest.approx(torch.tensor([0.0, 1.0]).log_softmax(-1)[1].item())


def test_rows_that_are_all_greedy_are_answered_as_beside_one_that_samples() -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    ones, uniforms = torch.ones(3), torch.full((3,), 0.5)
    beside = sample_rows(logits, ones, uniforms, greedy=torch.tensor([True, True, False]))
    alone = sample_rows(logits, ones, uniforms, greedy=torch.tensor([True, True, True]))
    for mixed, whole in zip(beside, alone, strict=True):
        assert torch.equal(mixed[:2], whole[:2])


def test_greedy_rows_take_the_most_probable_token_beside_rows_that_sample() -> None:
    logits = torch.log(torch.tensor([[0.4, 0.6], [0.4, 0.6]]))
    tokens, _ = sample_rows(
        logits, torch.ones(2), torch.tensor([0.1, 0.1]), greedy=torch.tensor([True, False])
    )
    assert tokens.tolist() == [1, 0]


def test_top_k_leaves_the_k_most_probable_tokens() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.5, 0.4]] * 3))
    tokens, log_probs = sample_rows(
        logits,
        torch.ones(3),
        torch.tensor([0.0, 0.55, 0.999]),
        top_p=torch.ones(3),
        top_k=torch.tensor([2, 2, 2]),
    )
    assert tokens.tolist() == [1, 1, 2]
    # the trainer knows nothing of the cut, so the log-probability is that of the whole distribution
    assert log_probs.exp().tolist() == pytest.approx([0.5, 0.5, 0.4])


def test_top_p_keeps_the_token_that_crosses_the_mass_and_always_the_first() -> None:
    logits = torch.log(torch.tensor([[0.6, 0.3, 0.1]] * 3))
    tokens, _ = sample_rows(
        logits,
        torch.ones(3),
        torch.tensor([0.99, 0.99, 0.99]),
        top_p=torch.tensor([0.1, 0.7, 1.0]),
        top_k=torch.tensor([3, 3, 3]),
    )
    assert tokens.tolist() == [0, 1, 2]


@example([-2.5045970776082418e-45, 0.0], 0, 1, 1.0)  # one probability for two logits
@given(
    st.lists(st.floats(-30, 30), min_size=2, max_size=12),
    st.integers(0, 2**24 - 1),
    st.integers(1, 12),
    st.floats(0.01, 1.0),
)
def test_a_token_outside_the_cut_is_never_taken(
    logits: list[float], numerator: int, top_k: int, top_p: float
) -> None:
    row = torch.tensor([logits])
    tokens, _ = sample_rows(
        row,
        torch.ones(1),
        torch.tensor([numerator / 2**24]),
        top_p=torch.tensor([top_p]),
        top_k=torch.tensor([top_k]),
    )
    rank = row[0].sort(descending=True, stable=True).indices.tolist().index(tokens.item())
    probabilities = row[0].softmax(-1).sort(descending=True).values
    assert rank < top_k
    assert probabilities[:rank].sum().item() < top_p + 1e-6


def test_samples_follow_the_distribution() -> None:
    probabilities = torch.tensor([0.05, 0.15, 0.3, 0.5])
    uniforms = (torch.arange(10_000) + 0.5) / 10_000
    tokens, _ = sample_rows(probabilities.log().expand(10_000, 4), torch.ones(10_000), uniforms)
    assert torch.bincount(tokens, minlength=4).tolist() == pytest.approx([500, 1500, 3000, 5000], abs=1)
