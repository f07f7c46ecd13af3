"""The one logger."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from toolrl_cli.log import LOG, on_stderr

FULL = Path("/dev/full")


def test_a_library_hears_nothing_and_an_entry_point_prints_by_level(
    capfd: pytest.CaptureFixture[str],
) -> None:
    LOG.warning("unheard")
    with on_stderr():
        LOG.info("done")
        LOG.warning("slow")
        LOG.error("lost")
    LOG.error("unheard again")
    assert capfd.readouterr() == ("", "done\nwarning: slow\nerror: lost\n")


def test_an_attempt_s_lines_have_its_prefix_whatever_their_level(capfd: pytest.CaptureFixture[str]) -> None:
    with on_stderr("toolrl: "):
        LOG.info("begun")
        LOG.error("failed (%s): %s", "oom", "100 % full")
    assert capfd.readouterr().err == "toolrl: begun\ntoolrl: failed (oom): 100 % full\n"


def test_a_library_s_handler_on_the_root_logger_doubles_no_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler()])
    with on_stderr():
        LOG.warning("once")
    assert capfd.readouterr().err == "warning: once\n"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_a_full_disk_ends_an_attempt_for_no_line_and_a_command_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr("sys.stderr", full)
        with on_stderr("toolrl: ", may_fail=True):
            LOG.info("lost")
        with pytest.raises(OSError, match="No space left"), on_stderr():
            LOG.info("lost")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # what is left in the buffer can be written
