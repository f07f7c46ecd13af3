"""Settings of verl on the CPU, as Hydra and as the shell see them."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from toolrl_cli.training.cpu import cpu_options as overrides
from toolrl_cli.training.cpu.cpu_options import (
    cpu_command,
    cpu_environment,
    cpu_rl_overrides,
    cpu_sft_overrides,
    decoding_threads,
    hydra_arguments,
)

PARSER = OverridesParser.create()

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"])),
)


@given(st.one_of(scalars, st.lists(scalars, max_size=4)))
def test_hydra_reads_every_value_as_it_was_meant(value: Any) -> None:
    (parsed,) = PARSER.parse_overrides(hydra_arguments({"some.key": value}))
    assert parsed.key_or_group == "some.key"
    read = parsed.value()
    if isinstance(value, list):
        assert [getattr(item, "text", item) for item in read] == value
    else:
        assert getattr(read, "text", read) == value
        assert type(getattr(read, "text", read)) is type(value)


@pytest.mark.parametrize("critic", [False, True])
@pytest.mark.parametrize("ranks", [1, 2])
def test_every_override_is_one_that_hydra_can_read(critic: bool, ranks: int) -> None:
    arguments = hydra_arguments(cpu_rl_overrides(critic=critic, ranks=ranks) | cpu_sft_overrides(ranks=ranks))
    assert len(PARSER.parse_overrides(arguments)) == len(arguments)


def test_ray_is_given_more_logical_processors_than_verl_asks_for() -> None:
    """verl hangs without a word otherwise: a placement group takes 3 a rank, the TransferQueue and actors one."""
    for ranks in (1, 2, 4):
        assert cpu_rl_overrides(ranks=ranks)["ray_kwargs.ray_init.num_cpus"] >= 3 * ranks + 8


@pytest.mark.parametrize(
    ("cpus", "ranks", "threads"), [(2, 1, 2), (2, 2, 1), (2, 4, 1), (64, 1, 8), (16, 4, 4)]
)
def test_ranks_share_the_processors(
    monkeypatch: pytest.MonkeyPatch, cpus: int, ranks: int, threads: int
) -> None:
    monkeypatch.setattr(overrides, "usable_cpus", lambda: cpus)
    assert cpu_environment(ranks=ranks)["OMP_NUM_THREADS"] == str(threads)


@pytest.mark.parametrize(("parameters", "threads"), [(200_000, 1), (19_999_999, 1), (134_515_008, 6)])
def test_a_small_model_decodes_with_one_thread_and_a_larger_one_with_all_that_it_may_have(
    parameters: int, threads: int
) -> None:
    assert decoding_threads(parameters, 6) == threads


def test_threads_can_be_chosen() -> None:
    assert cpu_environment(threads=3)["OMP_NUM_THREADS"] == "3"


def test_the_environment_chooses_the_platform_and_hides_no_gpus() -> None:
    """CUDA_VISIBLE_DEVICES="" would make Ray refuse the logical GPUs that stand for ranks."""
    environment = cpu_environment()
    assert environment["VERL_PLATFORM"] == "cpu"
    assert "CUDA_VISIBLE_DEVICES" not in environment


def test_processes_are_forked_where_the_system_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    host = [sys.executable, "-m", "toolrl_cli.training.cpu.forkhost"]
    assert cpu_command("m.rl", ["a=1"]) == [*host, "m.rl", "a=1"]
    assert cpu_command("m.sft", ["a=1"], ranks=2) == [*host, "--ranks", "2", "m.sft", "a=1"]
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cpu_command("m.rl", ["a=1"]) == [sys.executable, "-m", "m.rl", "a=1"]
    assert "--nproc_per_node=2" in cpu_command("m.sft", ["a=1"], ranks=2)
