from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.stages import Stages
from toolrl_cli.errors import LedgerError
from toolrl_cli.store import state
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.migration import migrated
from toolrl_cli.store.schemas import Document
from toolrl_cli.store.state import StageState


def rename(data: dict[str, Any]) -> dict[str, Any]:
    data["new"] = data.pop("old")
    return data


def double(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "new": data["new"] * 2}


def test_a_document_is_brought_up_one_schema_at_a_time() -> None:
    before = {"schema": 1, "old": 4}
    assert migrated(before, 3, {1: rename, 2: double}, "x") == {"schema": 3, "new": 8}
    assert migrated({"schema": 2, "new": 4}, 3, {1: rename, 2: double}, "x") == {"schema": 3, "new": 8}
    assert before == {"schema": 1, "old": 4}


def test_a_document_of_today_is_as_it_is() -> None:
    assert migrated({"schema": 3, "new": 8}, 3, {}, "x") == {"schema": 3, "new": 8}


@pytest.mark.parametrize(
    ("schema", "says"),
    [(4, r"x is of schema 4.*a later version wrote it"), (0, r"no longer reads.*that wrote")],
)
def test_a_document_of_another_age_is_refused_in_one_line(schema: int, says: str) -> None:
    with pytest.raises(LedgerError, match=says):
        migrated({"schema": schema}, 3, {2: double}, "x")


def test_an_earlier_versions_state_is_read_and_written_again_in_todays_form(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the next version called the failure class otherwise."""
    folder = ledger.folder(stages("a"))
    folder.path.mkdir(parents=True)
    old = StageState(folder.id, folder.kind).begun(1, {"kind": "local"})
    old = old.over("failed", Failure.of("oom", "CUDA out of memory"))
    (folder.path / "state.json").write_text(json.dumps(old.to_json()))

    def reclass(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "failure": {**data["failure"], "class": "infra"}}

    monkeypatch.setattr(state, "STATE", Document("state.json", 2, {1: reclass}))
    read = folder.state()
    assert read.failure is not None and read.failure.kind == "infra"
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(read.begun(2, None), lease)
    assert json.loads((folder.path / "state.json").read_text())["schema"] == 2
    assert [attempt.n for attempt in folder.state().attempts] == [1, 2]
