"""What succeeded stages have lost since or never had, and which of them are owed again for it.

An evaluation without its scores, or with items that were never answered, is owed, and so is whatever an owed
stage would read and not find: an exported model, or the checkpoint of a training (`toolrl gc` may remove
those once they are exported). What is gone and wanted by nothing that is owed stays done; nobody wants a GPU
spent on it. `rewinding.renew` sets the owed ones back when a command starts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.harness.reach import Reach
from toolrl_cli.spec.evaluations.benchmarks import why_blocked
from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.kind_configs import ExportConfig
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import StageConfig
from toolrl_cli.spec.stage_kind import settings_of, trains
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.liveness import observed
from toolrl_cli.store.outputs import what_is_gone, what_is_owed
from toolrl_cli.store.state import StageState
from toolrl_cli.training.checkpointing.chosen_checkpoint import lost_checkpoint


@dataclass(frozen=True)
class Loss:
    """What a succeeded stage does not have any more.

    Attributes:
        what: in one clause.
        reader: the owed stage that needs it; empty where it is itself a result.
        owed: it has to be made again.
        step: of a training, the step whose checkpoint is gone, where that is known.
        follows: the input that is owed again and takes this stage with it; empty where it has lost something itself.
    """

    what: str
    reader: str = ""
    owed: bool = True
    step: int | None = None
    follows: str = ""

    def __str__(self) -> str:
        if not self.owed:
            return f"{self.what}, and nothing that is owed needs it"
        return f"{self.what}, and {self.reader} needs it" if self.reader else self.what


def look(
    specs: Mapping[str, StageSpec],
    ledger: Ledger,
    set_back: Mapping[str, str] | None = None,
    *,
    unreadable: dict[str, LedgerError | SpecError] | None = None,
) -> tuple[dict[str, StageState], dict[str, Loss]]:
    """id → how a stage that was ever started stands now, and what succeeded ones have lost; nothing is written.

    Args:
        specs: id → stage, inputs before what reads them.
        ledger: where they are.
        set_back: id → why, of stages to be taken as set back already.
        unreadable: takes id → why, of stages that cannot be read, for those who only show; None to refuse them.

    Raises:
        LedgerError: the results root cannot be read.
    """
    present = ledger.names()
    states, reach = {}, Reach()
    for stage_id in (i for i, spec in specs.items() if i in present.get(spec.kind, ())):
        try:
            states[stage_id] = observed(ledger.folder(specs[stage_id]), alive=reach.alive)
        except LedgerError as error:
            _note(stage_id, error, unreadable)
    for stage_id, why in (set_back or {}).items():
        if stage_id in states and states[stage_id].attempt:
            states[stage_id] = states[stage_id].set_back(why)
    return states, find_losses(specs, states, ledger, unreadable=unreadable)


def _note(
    stage_id: str, error: LedgerError | SpecError, unreadable: dict[str, LedgerError | SpecError] | None
) -> None:
    if unreadable is None:
        raise error
    unreadable[stage_id] = error


def find_losses(
    specs: Mapping[str, StageSpec],
    states: Mapping[str, StageState],
    ledger: Ledger,
    *,
    unreadable: dict[str, LedgerError | SpecError] | None = None,
) -> dict[str, Loss]:
    """id → what a succeeded stage has lost. What reads a training that is owed again is owed with it.

    Args:
        specs: id → stage, inputs before what reads them.
        states: of those that were ever started.
        ledger: where they are.
        unreadable: see `look`.

    Raises:
        LedgerError: the results root cannot be read.
    """
    found: dict[str, Loss] = {}
    done = {i for i, state in states.items() if state.status == "succeeded"}
    if not done:
        return found
    graph = StageGraph(specs.values())

    def wants(reader: str) -> bool:
        if reader in found:
            return found[reader].owed
        at_work = reader in states and states[reader].active
        return reader not in done and not at_work and why_blocked(specs[reader]) is None

    for stage_id in reversed(graph):
        if stage_id in done:
            users = graph.readers(stage_id)
            wanting = [specs[i] for i in users if wants(i)]
            folder = ledger.folder(specs[stage_id])
            try:
                loss = _loss(folder, specs[stage_id], states[stage_id], wanting, is_result=not users)
            except (LedgerError, SpecError) as error:
                _note(stage_id, error, unreadable)
                continue
            if loss is not None:
                found[stage_id] = loss
    again = {i for i, loss in found.items() if loss.owed and trains(specs[i].kind)}
    for stage_id in graph if again else ():
        changed = again & set(graph.inputs(stage_id))
        if changed and stage_id in done:
            again.add(stage_id)
            first = min(changed)
            found[stage_id] = Loss(f"what it reads, {first}, is made again", follows=first)
    return found


def _loss(
    folder: StageFolder,
    spec: StageSpec,
    state: StageState,
    wanting: Collection[StageSpec],
    *,
    is_result: bool,
) -> Loss | None:
    if not trains(spec.kind):
        gone = what_is_gone(folder, state)
        reader = next((user.id for user in wanting), "")
        if gone:
            return Loss(gone, reader, owed=is_result or bool(reader))
        asked_again = what_is_owed(folder, state)
        return Loss(asked_again) if asked_again else None
    exports = {user.id: _as_export(settings_of(user)) for user in wanting}
    # a training is not made again for a point of a curve that somebody asked for after it was done
    exports = {reader: export for reader, export in exports.items() if export.step is None}
    for reader, export in (exports or ({"": ExportConfig()} if is_result else {})).items():
        with explained(folder.path):
            lost = lost_checkpoint(folder.path / "checkpoints", spec, export)
        if lost is not None:
            return Loss(lost.what, reader, step=lost.step)
    return None


def _as_export(config: StageConfig) -> ExportConfig:
    """Which checkpoint a reader of a training needs: what an export says, else the last."""
    return config if isinstance(config, ExportConfig) else ExportConfig()
