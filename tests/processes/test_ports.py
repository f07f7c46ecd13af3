"""A port that another process will listen on is not one that the kernel gives away meanwhile."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from toolrl_cli.processes import ports
from toolrl_cli.processes.ports import free_port


def test_it_is_outside_of_what_the_kernel_gives_to_those_who_ask_for_any(tmp_path: Path) -> None:
    kernels = tmp_path / "range"
    kernels.write_text("20050\t65535\n")
    chosen = {free_port(kernels) for _ in range(50)}
    assert chosen <= set(range(20_000, 20_050))
    assert len(chosen) > 10  # two who choose at once seldom get the same


def test_one_that_somebody_has_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = tmp_path / "range"
    monkeypatch.setattr(ports, "CHOSEN", range(free_port(), 65_536))
    taken = ports.CHOSEN.start
    with socket.create_server(("", taken)):
        kernels.write_text(f"{taken + 1} 65535\n")  # only the one that is taken is left
        assert free_port(kernels) not in (0, taken)  # then one of the kernel's


@pytest.mark.parametrize("text", ["1024 65535\n", "20000 65535\n"])
def test_where_the_kernel_gives_all_away_it_chooses(tmp_path: Path, text: str) -> None:
    kernels = tmp_path / "range"
    kernels.write_text(text)
    assert free_port(kernels) > 0


@pytest.mark.parametrize("text", ["", "one two\n", None])
def test_a_range_that_cannot_be_read_is_the_one_of_the_standard(tmp_path: Path, text: str | None) -> None:
    kernels = tmp_path / "range"
    if text is not None:
        kernels.write_text(text)
    assert all(free_port(kernels) < 49_152 for _ in range(20))
