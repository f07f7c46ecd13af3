"""Whether a stage is a harness's to run: what is unknown is not failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.fake_launcher import FakeLauncher
from tests.support.stages import Stages
from toolrl_cli.harness.launcher import Seen
from toolrl_cli.harness.starting import Busy, Started, start_attempt
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import StageState


class Blind(FakeLauncher):
    """A launcher that says of every attempt of another harness what the test tells it to."""

    verdict: bool | None = None

    def seen(self, handle: Mapping[str, Any]) -> Seen:
        return Seen("unknown" if self.verdict is None else "running" if self.verdict else "ended")


@pytest.mark.parametrize(("verdict", "started"), [(None, False), (True, False), (False, True)])
def test_an_attempt_is_started_again_only_where_the_one_before_is_known_dead(
    ledger: Ledger, stages: Stages, verdict: bool | None, started: bool
) -> None:
    spec = stages("a")
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True)
    folder.attempt(1).mkdir(parents=True)
    handle = {"kind": "fake", "slots": ["a"]}
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(StageState(spec.id, spec.kind).begun(1, handle), lease)
    launcher = Blind()
    launcher.verdict = verdict
    result = start_attempt(folder, spec, launcher, ("a",))
    assert isinstance(result, Started if started else Busy)
    assert [n for _, _, n in launcher.starts] == ([2] if started else [])
    assert folder.state().attempt == (2 if started else 1)
    if isinstance(result, Busy):
        assert result.alive is verdict
