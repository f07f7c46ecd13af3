"""What has changed since results were made: on a second look at a sweep, stage by stage.

Only identity makes a stage new. So there are two questions. Of a stage that was never run: which earlier one is it
nearest to, and what makes it another? Of one that is done: what is not as it was when it ran, although that does not
make it new: transport settings, toolrl's code, versions of libraries?
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.planning.changes.previous_plan import Earlier, read_earlier
from toolrl_cli.planning.changes.stage_differences import (
    EXPLANATIONS,
    Difference,
    Group,
    identity_differences,
    leaves,
    transport_differences,
)
from toolrl_cli.planning.forecasts.calibration import newest_folders
from toolrl_cli.planning.plan import Plan, PlannedStage
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import kind_of
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import ENVIRONMENT

LOOKED_AT = 200
"""Most stages, finished and replaced ones each, whose files are read where nobody asked for an explanation."""
NEARBY = 64
"""Most earlier stages of one kind that a new one is compared with."""
_HEX = re.compile(r"-[0-9a-f]{10}$")


@dataclass(frozen=True)
class StageDrift:
    """What has changed about one stage.

    Attributes:
        stage: its id.
        earlier: the stage that it is compared with; itself where it is done.
        new: whether the differences make it a new stage.
        differences: field by field.
    """

    stage: str
    earlier: str
    new: bool
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """The value of `drift` in `plan --json`."""
        return {
            "earlier": self.earlier,
            "new": self.new,
            "differences": [difference.to_json() for difference in self.differences],
        }


@dataclass(frozen=True)
class Drift:
    """What has changed about a sweep.

    Attributes:
        replaced: owed stage → finished stage that had its place in its run when the sweep was last started.
        stages: stage → what has changed; of new stages without an earlier one in their place only where an
            explanation was asked for.
        gone: finished stages that the sweep had and has no more.
        looked: how many finished stages were looked at for changed code and settings.
        finished: how many there are.
    """

    replaced: Mapping[str, str]
    stages: Mapping[str, StageDrift]
    gone: tuple[str, ...]
    looked: int
    finished: int

    def why_new(self) -> list[Group]:
        """The kinds of change that made stages new; that an input is another one, only where nothing else did."""
        found = {
            d.group for stage in self.replaced if stage in self.stages for d in self.stages[stage].differences
        }
        return [group for group in EXPLANATIONS if group in found and (group != "input" or len(found) == 1)]

    @property
    def changed(self) -> list[StageDrift]:
        """Finished stages that were made with other code, versions or transport settings."""
        return [drift for drift in self.stages.values() if not drift.new]


def find_drift(
    plan: Plan,
    ledger: Ledger,
    code: Mapping[str, str],
    versions: Mapping[str, str],
    *,
    explain: bool = False,
    whole: Plan | None = None,
) -> Drift:
    """Compare a plan with what is on disk.

    Args:
        plan: with the ledger's states.
        ledger: where results are.
        code: room → digest, as it is now (`code.code_identity`).
        versions: package → version, as installed now.
        explain: read everything, and compare every stage that was never run with its nearest earlier one.
        whole: the sweep that `plan` is a part of; None for itself.

    Raises:
        LedgerError: a file is there and the file system does not give it.
    """
    whole = whole or plan
    earlier = read_earlier(ledger, plan, whole)
    replaced = _replaced(plan, whole, earlier)
    finished = [s for s in plan.stages.values() if s.status == "succeeded"]
    stages: dict[str, StageDrift] = {}
    for stage in finished if explain else finished[:LOOKED_AT]:
        found = _since(stage, ledger, code, versions)
        if found:
            stages[stage.spec.id] = StageDrift(stage.spec.id, stage.spec.id, False, tuple(found))
    pending = [s.spec for s in plan.stages.values() if s.state is None or s.state.status == "pending"]
    fresh = pending if explain else [spec for spec in pending if spec.id in replaced][:LOOKED_AT]
    stages |= _nearest(fresh, replaced, ledger)
    gone = tuple(filter(earlier.has_lost, earlier.gone))
    looked = len(finished) if explain else min(len(finished), LOOKED_AT)
    return Drift(replaced, stages, gone, looked, len(finished))


def _replaced(plan: Plan, whole: Plan, earlier: Earlier) -> dict[str, str]:
    """Owed stages whose place in their run another, finished stage had."""

    def kind(stage_id: str) -> str:
        now = whole.stages.get(stage_id)
        return now.spec.kind if now is not None else earlier.gone.get(stage_id, "")

    found: dict[str, str] = {}
    for run in plan.runs:
        then = earlier.runs.get(run.id)
        if then is None:
            continue
        places = _places(then, kind)
        for place, stage_id in _places([s.id for s in run.stages], kind).items():
            old = places.get(place)
            if old is None or old in plan.stages or not plan.stages[stage_id].owed:
                continue
            if earlier.finished(old, kind(old)):
                found.setdefault(stage_id, old)
    return found


def _places(chain: Sequence[str], kind: Any) -> dict[tuple[str, str, int], str]:
    """(kind, what an evaluation is of, which of its like) → stage, for the stages of one run."""
    found: dict[tuple[str, str, int], str] = {}
    for stage_id in chain:
        name = kind(stage_id)
        what = stage_id.partition("-")[0] if name == "evaluate" else ""
        number = sum(place[:2] == (name, what) for place in found)
        found[(name, what, number)] = stage_id
    return found


def _since(
    stage: PlannedStage, ledger: Ledger, code: Mapping[str, str], versions: Mapping[str, str]
) -> list[Difference]:
    """What is not as it was when a stage ran, without making it new."""
    folder = ledger.folder(stage.spec)
    attempt = stage.state.attempt if stage.state else 0
    environment = ENVIRONMENT.load(folder.attempt(attempt) / ENVIRONMENT.name) or {}
    kind = kind_of(stage.spec)
    found = _changed("code", environment.get("code"), code, kind.rooms)
    found += _changed("version", environment.get("versions"), versions, kind.libraries)
    if found:
        toolrl = _changed("version", environment.get("versions"), versions, ("toolrl-cli",))
        found = [*toolrl, *_changed("code", environment.get("code"), code, ("commit",)), *found]
    with contextlib.suppress(LedgerError):  # the result is whole without its description
        found += transport_differences(folder.spec(), stage.spec)
    return found


def _changed(what: str, old: Any, new: Mapping[str, str], names: Iterable[str]) -> list[Difference]:
    """What an attempt wrote down and is not so now; what it did not write down cannot be said."""
    known = old if isinstance(old, Mapping) else {}
    return [
        Difference("code", f"{what} of {name}", str(known[name]), str(new.get(name, "–")))
        for name in names
        if name in known and known[name] != new.get(name)
    ]


def _nearest(
    fresh: Sequence[StageSpec], replaced: Mapping[str, str], ledger: Ledger
) -> dict[str, StageDrift]:
    """For each stage that was never run, the earlier one that differs in the fewest fields."""
    pools: dict[str, _Pool] = {}
    found = {}
    for spec in fresh:
        old = _spec(ledger, spec.kind, replaced[spec.id]) if spec.id in replaced else None
        if old is None:
            if spec.kind not in pools:
                pools[spec.kind] = _Pool(ledger, spec.kind)
            old = pools[spec.kind].nearest(spec)
        if old is None:
            continue
        differences = identity_differences(old, spec)
        # that it reads what another stage wrote is no news, unless it did otherwise before
        if spec.id in replaced or any(d.group != "input" for d in differences):
            found[spec.id] = StageDrift(spec.id, old.id, True, tuple(differences))
    return found


class _Pool:
    """The newest stages of a kind that were ever started, to find the nearest among."""

    def __init__(self, ledger: Ledger, kind: str) -> None:
        specs = (_spec(ledger, kind, folder.id) for folder in newest_folders(ledger, kind, NEARBY))
        self._all = [(spec, _fields(spec)) for spec in specs if spec is not None]
        self._by_slug: defaultdict[str, list[tuple[StageSpec, frozenset[tuple[str, str]]]]]
        self._by_slug = defaultdict(list)
        for entry in self._all:
            self._by_slug[_HEX.sub("", entry[0].id)].append(entry)

    def nearest(self, spec: StageSpec) -> StageSpec | None:
        """The one of the same slug, or else of all, with the fewest other fields; the newest of equals."""
        fields = _fields(spec)
        near = self._by_slug.get(_HEX.sub("", spec.id)) or self._all
        return min(near, key=lambda entry: len(fields ^ entry[1]), default=(None,))[0]


def _fields(spec: StageSpec) -> frozenset[tuple[str, str]]:
    whole = {**spec.identity, "inputs": spec.inputs}
    return frozenset((field, str(value)) for field, value in leaves(whole))


def _spec(ledger: Ledger, kind: str, stage_id: str) -> StageSpec | None:
    folder = ledger.at(kind, stage_id)
    try:
        return folder.spec() if (folder.path / "state.json").exists() else None
    except LedgerError:  # torn, or of another version: nothing to compare with
        return None
