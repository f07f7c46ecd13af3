"""Weights on their way from the trainer to the rollout server."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.rollout_models import tiny_model
from toolrl_cli.training.rollout.weights import Bucket, WeightLoader, pack, unpack

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), min_size=0, max_size=3)), max_size=8
    ),
    st.integers(1, 400),
)
def test_tensors_arrive_as_they_were_sent(
    kinds: list[tuple[torch.dtype, list[int]]], bucket_bytes: int
) -> None:
    sent = [(str(i), (torch.randn(shape) * 9).to(dtype)) for i, (dtype, shape) in enumerate(kinds)]
    arrived = [item for bucket in pack(iter(sent), bucket_bytes) for item in unpack(bucket)]
    assert [name for name, _ in arrived] == [name for name, _ in sent]
    for (_, before), (_, after) in zip(sent, arrived, strict=True):
        assert after.dtype == before.dtype
        assert torch.equal(after, before)


def test_a_bucket_holds_more_than_its_size_only_for_one_tensor() -> None:
    sent = [(str(index), torch.zeros(25)) for index in range(9)] + [("big", torch.zeros(500))]
    for bucket in pack(iter(sent), 300):
        assert bucket.data.size <= 300 or len(bucket.specs) == 1


def test_what_is_packed_does_not_change_with_the_source() -> None:
    source = torch.ones(4)
    (bucket,) = pack(iter([("a", source)]), 1 << 20)
    source.zero_()
    assert dict(unpack(bucket))["a"].tolist() == [1, 1, 1, 1]


def test_read_only_memory_is_taken_without_a_copy_or_a_warning() -> None:
    (bucket,) = pack(iter([("a", torch.arange(4.0))]), 1 << 20)
    bucket.data.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((_, tensor),) = unpack(bucket)
    assert tensor.data_ptr() == bucket.data.ctypes.data


@pytest.mark.parametrize("family", ["qwen2", "llama"])  # tied and untied embeddings
def test_a_model_with_new_weights_is_the_trainers_model(family: str) -> None:
    trainer, server = tiny_model(family, seed=1), tiny_model(family, seed=2)
    ids = torch.tensor([[1, 2, 3]])
    assert not torch.allclose(trainer(ids).logits, server(ids).logits)
    loader = WeightLoader(server)
    for bucket in pack(iter(trainer.state_dict().items()), 1000):
        loader.load(bucket)
    loader.finish()
    assert torch.equal(trainer(ids).logits, server(ids).logits)


def test_types_are_converted_to_the_servers() -> None:
    server = tiny_model().to(torch.bfloat16)
    loader = WeightLoader(server)
    for bucket in pack(iter(tiny_model(seed=1).state_dict().items()), 1 << 20):
        loader.load(bucket)
    assert next(server.parameters()).dtype == torch.bfloat16


def test_a_parameter_left_out_is_an_error_and_the_next_transfer_starts_anew() -> None:
    weights = dict(tiny_model().state_dict())
    left_out = "model.layers.1.mlp.up_proj.weight"
    loader = WeightLoader(tiny_model())
    for bucket in pack(((k, v) for k, v in weights.items() if k != left_out), 1 << 20):
        loader.load(bucket)
    with pytest.raises(ValueError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        loader.finish()
    with pytest.raises(ValueError, match="left out"):
        loader.finish()


def test_an_unknown_name_or_another_shape_is_an_error() -> None:
    loader = WeightLoader(tiny_model())
    with pytest.raises(KeyError, match=r"adapter\.weight"):
        loader.load(next(pack(iter([("adapter.weight", torch.zeros(2))]), 100)))
    with pytest.raises(ValueError, match="does not fit"):
        loader.load(next(pack(iter([("model.norm.weight", torch.zeros(2))]), 100)))


def test_an_empty_bucket_is_nothing() -> None:
    assert list(pack(iter([]), 100)) == []
    assert list(unpack(Bucket((), np.empty(0, dtype=np.uint8)))) == []
