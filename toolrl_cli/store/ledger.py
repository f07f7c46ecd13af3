"""What is on disk about stages: where each one's files are, and its state read and written.

    RESULTS/stages/<kind>/<id>/spec.json, state.json, lease, attempts/<n>/, checkpoints/, output/

`Ledger` is the collection, `StageFolder` one directory of it. Reading needs nothing; whoever writes holds the
stage's lease (`toolrl_cli.store.lease`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import STAGE_KINDS
from toolrl_cli.store import lease as leases
from toolrl_cli.store.documents import read_document
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.files import explained, read_json, write_json
from toolrl_cli.store.lease import Lease, LeaseInfo
from toolrl_cli.store.progress.metrics import attempt_folders
from toolrl_cli.store.schemas import SPEC
from toolrl_cli.store.state import AttemptRecord, StageState


class StageFolder:
    """The directory of one stage.

    Attributes:
        path: `RESULTS/stages/<kind>/<id>`; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """The stage's id."""
        return self.path.name

    @property
    def kind(self) -> str:
        """The stage's kind."""
        return self.path.parent.name

    @property
    def results(self) -> Path:
        """The results root it belongs to."""
        return self.path.parents[2]

    def attempt(self, n: int) -> Path:
        """The directory of attempt `n`; need not exist."""
        return self.path / "attempts" / str(n)

    def attempts(self) -> list[Path]:
        """The directories of all attempts, oldest first."""
        return attempt_folders(self.path)

    def spec(self) -> StageSpec:
        """What the stage is.

        Raises:
            LedgerError: `spec.json` is missing, torn or of another version.
        """
        path = self.path / "spec.json"
        data = SPEC.load(path)
        hint = "issue the command again that planned it; it writes the file anew"
        if data is None:
            raise LedgerError("missing or not JSON", str(path), hint)
        try:
            return StageSpec.from_json(data)
        except (KeyError, TypeError) as error:
            raise LedgerError(f"not a stage: {error}", str(path), hint) from error

    def write_spec(self, spec: StageSpec) -> None:
        """Write `spec.json`, or renew it where only transport has changed (paths, devices, batch sizes).

        Raises:
            LedgerError: the directory belongs to a different stage, a later version wrote it, or it cannot be written.
        """
        path = self.path / "spec.json"
        wanted = json.loads(json.dumps(SPEC.stamped(spec.to_json())))
        found = SPEC.load(path)
        if found == wanted:
            return
        if found is not None:
            differing = [key for key in ("id", "kind", "identity", "inputs") if found.get(key) != wanted[key]]
            if differing:
                raise LedgerError(
                    f"holds another stage (differs in {', '.join(differing)})",
                    str(path),
                    "two stages must not share an id; choose another results folder with --results",
                )
        write_json(path, wanted)

    def state(self) -> StageState:
        """What has happened to it; `pending` when nothing has.

        A torn `state.json` (a power cut on a file system that reorders writes, an editor) is told as a failed
        attempt, so that the stage is owed and goes on from its checkpoints.

        Raises:
            LedgerError: a later version wrote it, or the file system does not give it.
        """
        path = f"{self.path}/state.json"  # `/` takes as long as opening the file
        data = read_json(path)
        if data is None and not Path(path).exists():
            return StageState(self.id, self.kind)
        try:
            return StageState.from_json(data or {})
        except (KeyError, TypeError, ValueError, AttributeError):
            return self._unreadable(read_document(Path(path))[1] or "state.json has no known status")

    def write_state(self, state: StageState, lease: Lease) -> None:
        """Replace `state.json`.

        Raises:
            LedgerError: the lease is lost, or the file system refuses.
        """
        if not lease.mine():
            raise LedgerError("another process has taken this stage over", str(self.path))
        write_json(self.path / "state.json", state.to_json())

    def lease(self) -> LeaseInfo | None:
        """Who holds the stage, if anybody does."""
        return leases.read(self.path)

    def _unreadable(self, fault: str) -> StageState:
        failure = Failure.of("infra", "state.json cannot be read; it was torn or edited")
        numbers = [int(folder.name) for folder in self.attempts()]
        return StageState(
            self.id,
            self.kind,
            "failed",
            attempt=max(numbers, default=0),
            failure=failure,
            attempts=tuple(AttemptRecord(n, "failed", failure) for n in numbers),
            fault=fault,
        )


class Ledger:
    """All stages under one results root.

    Args:
        results: the root; need not exist until something is written.
    """

    def __init__(self, results: Path) -> None:
        self.results = results.absolute()
        self._stages = self.results / "stages"
        # a path takes as long as reading what lies there
        self._known: dict[tuple[str, str], StageFolder] = {}

    def folder(self, spec: StageSpec) -> StageFolder:
        """The directory of a stage; need not exist."""
        return self.at(spec.kind, spec.id)

    def at(self, kind: str, stage_id: str) -> StageFolder:
        """The same from kind and id."""
        folder = self._known.get((kind, stage_id))
        if folder is None:
            folder = self._known[kind, stage_id] = StageFolder(self._stages.joinpath(kind, stage_id))
        return folder

    def read(self, spec: StageSpec) -> StageState:
        """The state of a stage as written; see `aftermath.observed` for what has become of it since.

        Raises:
            LedgerError: as `StageFolder.state`.
        """
        return self.folder(spec).state()

    def find(self, stage_id: str) -> StageFolder | None:
        """The directory of the stage with this id, whatever its kind; None when there is none."""
        folders = (self.at(kind, stage_id) for kind in self._kinds())
        return next((folder for folder in folders if folder.path.is_dir()), None)

    def names(self) -> dict[str, set[str]]:
        """Kind → ids of the stages that have a directory: one look at each kind, however many stages there are.

        Raises:
            LedgerError: the file system does not give them.
        """
        found: dict[str, set[str]] = {}
        for kind in self._kinds():
            place = self._stages / kind
            with explained(place):
                found[kind] = {entry.name for entry in os.scandir(place) if entry.is_dir()}
        return found

    def _kinds(self) -> list[str]:
        """The kinds that there are stages of; a folder of another name is not toolrl's."""
        with explained(self._stages):
            try:
                folders = [entry.name for entry in os.scandir(self._stages) if entry.is_dir()]
            except FileNotFoundError:
                return []
        return sorted(name for name in folders if name in STAGE_KINDS)

    def folders(self) -> Iterator[StageFolder]:
        """The directories of all stages, by kind and id.

        Raises:
            LedgerError: the file system does not give them.
        """
        for kind, names in self.names().items():
            for name in sorted(names):
                yield self.at(kind, name)

    def states(self) -> Iterator[StageState]:
        """The state of every stage as written; see `aftermath.observed` for what has become of it since."""
        return (folder.state() for folder in self.folders())
