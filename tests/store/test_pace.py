"""How fast an attempt makes its steps."""

from __future__ import annotations

from pathlib import Path

from toolrl_cli.store.progress.pace import PACE_FILE, Pace, PaceRecord, read_pace


def test_start_up_and_step_time_are_read_off_the_first_and_the_last_look(tmp_path: Path) -> None:
    record = PaceRecord(tmp_path / PACE_FILE, begun=100.0)
    for step, at in ((3, 120.0), (10, 134.0), (13, 140.0)):
        record.seen(step, at)
    record.write()
    assert read_pace(tmp_path) == Pace(start_up=20.0, per_step=2.0, steps=10)


def test_one_look_tells_no_pace(tmp_path: Path) -> None:
    record = PaceRecord(tmp_path / PACE_FILE, begun=0.0)
    record.write()
    assert not (tmp_path / PACE_FILE).exists()
    record.seen(5, 10.0)
    record.write()
    assert read_pace(tmp_path) is None


def test_a_torn_or_foreign_file_tells_no_pace(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"first": 1, "last": {}}', '{"first": {"step": 2, "after": 5}}'):
        (tmp_path / PACE_FILE).write_text(text)
        assert read_pace(tmp_path) is None
