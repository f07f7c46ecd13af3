"""`RESULTS/sweeps/<name>/`: the sweep as given, its plan, links from each run to its stages, and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.documents import read_document
from toolrl_cli.store.files import (
    explained,
    make_folder,
    read_json,
    read_whole,
    write_document,
    write_json,
    write_text,
)
from toolrl_cli.store.roots import NOTHING_YET
from toolrl_cli.store.schemas import PLAN, SPEC, WANDB
from toolrl_cli.wording import listed

HARNESSES = "harnesses"
LAUNCHER = "launcher.txt"
OURS = (WANDB.name,)
"""Files that toolrl leaves in a run's folder, besides links."""


@dataclass(frozen=True)
class SavedSweep:
    """A sweep as it lies under the results root."""

    name: str
    runs: tuple[PlannedRun, ...]
    tables: tuple[str, ...]
    description: str = ""
    tracking: Mapping[str, Any] = field(default_factory=dict)
    launchers: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def stages(self) -> dict[str, StageSpec]:
        """id → stage; equal stages are one."""
        return {stage.id: stage for run in self.runs for stage in run.stages}


class Freezable(Protocol):
    """What `SweepFolder.save` writes down: a plan, without where its stages stand."""

    @property
    def sweep(self) -> str: ...
    @property
    def runs(self) -> tuple[PlannedRun, ...]: ...
    @property
    def tables(self) -> tuple[str, ...]: ...
    @property
    def description(self) -> str: ...
    @property
    def tracking(self) -> Mapping[str, Any]: ...
    @property
    def launchers(self) -> Mapping[str, Any]: ...


def frozen(plan: Freezable) -> dict[str, Any]:
    """The content of `plan.json`."""
    stages: dict[str, StageSpec] = {}
    for stage in (stage for run in plan.runs for stage in run.stages):
        stages.setdefault(stage.id, stage)  # equal stages are one: the first run's
    return {
        "schema": PLAN.schema,
        "sweep": plan.sweep,
        "description": plan.description,
        "tables": list(plan.tables),
        "tracking": dict(plan.tracking),
        **({"launchers": dict(plan.launchers)} if plan.launchers else {}),
        "runs": [{**r.to_json(), "settings": dict(r.settings)} for r in plan.runs],
        "stages": [SPEC.stamped(s.to_json()) for s in stages.values()],
    }


class SweepFolder:
    """The directory of one sweep.

    Args:
        results: the results root.
        name: the sweep's name.
    """

    def __init__(self, results: Path, name: str) -> None:
        self.results = results
        self.name = name
        self.path = results / "sweeps" / name

    def save(self, plan: Freezable, text: str | None) -> None:
        """Write the sweep file as given (None: keep the one there), the plan and the links.

        Raises:
            LedgerError: the results root cannot be written.
        """
        make_folder(self.path)
        if text is not None:
            write_text(self.path / "sweep.yaml", text)
        write_document(self.path / PLAN.name, frozen(plan))
        with explained(self.path):
            for run in plan.runs:
                self._link(run.id, run.stages)
            self._remove_links_of_others({run.id for run in plan.runs})

    def launched(self, launcher: str) -> None:
        """Keep what `--launcher` names, so that who goes on without it goes on there.

        Raises:
            LedgerError: the results root cannot be written.
        """
        write_text(self.path / LAUNCHER, launcher + "\n")

    def launcher(self) -> str:
        """The launcher that the sweep was last given to; empty before that.

        Raises:
            LedgerError: what is there cannot be read.
        """
        path = self.path / LAUNCHER
        with explained(path), suppress(FileNotFoundError):
            return read_whole(path).decode(errors="replace").strip()
        return ""

    def _link(self, run: str, stages: Sequence[StageSpec]) -> None:
        folder = self.path / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {
            f"{position}-{stage.kind}": Path("../../../../stages") / stage.kind / stage.id
            for position, stage in enumerate(stages, start=1)
        }
        for entry in folder.iterdir():
            if entry.is_symlink() and wanted.get(entry.name) != entry.readlink():
                entry.unlink()
        for name, target in wanted.items():
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(target)

    def _remove_links_of_others(self, keep: Set[str]) -> None:
        """Remove the links of runs that the sweep no longer has; the results they led to stay."""
        for folder in (self.path / "runs").iterdir():
            if folder.name in keep or folder.is_symlink() or not folder.is_dir():
                continue
            entries = list(folder.iterdir())
            if all(entry.is_symlink() or entry.name in OURS for entry in entries):
                for entry in entries:
                    entry.unlink()
                folder.rmdir()

    @contextmanager
    def attended(self, stages: Iterable[str] = ()) -> Iterator[None]:
        """Say on disk that this harness works on the sweep, for `toolrl stop`; there may be others.

        Args:
            stages: ids of those that it needs, which stay whatever plan takes the place of its own.
        """
        me = ProcessId.current()
        folder = self.path / HARNESSES
        make_folder(folder)
        self.forget(lambda harness: harness.alive() is False)
        mine = folder / f"{me.host}-{me.pid}.json"
        write_json(mine, {**me.to_json(), "stages": sorted(stages)})
        try:
            yield
        finally:
            with suppress(OSError):  # it would be found dead and removed by the next one
                mine.unlink(missing_ok=True)

    def harnesses(self) -> list[ProcessId]:
        """The harnesses that work on the sweep, as far as they are not known dead."""
        return [h for _, h in self._harness_files() if h is not None and h.alive() is not False]

    def needed(self) -> set[str]:
        """Ids of the stages that the harnesses at work need, in this plan or an earlier one."""
        found: set[str] = set()
        for path, harness in self._harness_files():
            if harness is not None and harness.alive() is not False:
                stages = (read_json(path) or {}).get("stages")
                found.update(map(str, stages) if isinstance(stages, list) else ())
        return found

    def forget(self, gone: Callable[[ProcessId], bool]) -> int:
        """Remove the records of harnesses that are gone, and those that cannot be read; how many there were.

        Raises:
            OSError: the file system refuses.
        """
        paths = [path for path, harness in self._harness_files() if harness is None or gone(harness)]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _harness_files(self) -> Iterator[tuple[Path, ProcessId | None]]:
        for path in sorted((self.path / HARNESSES).glob("*.json")):
            try:
                yield path, ProcessId.from_json(read_json(path) or {})
            except (KeyError, TypeError, ValueError):
                yield path, None

    def load(self) -> SavedSweep:
        """The sweep's frozen plan.

        Raises:
            SpecError: there is no such sweep.
            LedgerError: its plan cannot be read.
        """
        data, fault = read_document(self.path / PLAN.name)
        anew = "issue `toolrl sweep FILE` again; it writes the plan anew"
        if data is None:
            if self.path.is_dir():
                what = f"the plan is missing or torn{f': {fault}' if fault else ''}"
                raise LedgerError(what, str(self.path / PLAN.name), anew)
            known = saved_names(self.results)
            hint = hint_for(self.name, known, "sweeps") if known else NOTHING_YET
            raise SpecError(f"no sweep {self.name!r}", str(self.results), hint)
        try:
            data = PLAN.current(data)
            specs = [StageSpec.from_json(SPEC.current(s)) for s in data["stages"]]
            stages = {_name(spec.id): spec for spec in specs if _name(spec.kind)}
            runs = tuple(
                PlannedRun(
                    self.name,
                    _name(r["id"]),
                    str(r["arm"]),
                    int(r["seed"]),
                    dict(r["settings"]),
                    tuple(stages[i] for i in r["stages"]),
                )
                for r in data["runs"]
            )
            tables = data.get("tables") or []
            if not isinstance(tables, list):
                raise TypeError(f"{tables!r} is no list")
            tracking = dict(data.get("tracking") or {})
            launchers = dict(data.get("launchers") or {})
            description = str(data.get("description", ""))
            return SavedSweep(self.name, runs, tuple(map(str, tables)), description, tracking, launchers)
        except LedgerError as error:
            raise LedgerError(error.what, str(self.path / PLAN.name), error.hint) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{PLAN.name} does not hold a plan ({type(error).__name__}: {error})"
            raise LedgerError(what, str(self.path / PLAN.name), anew) from error


def _name(text: Any) -> str:
    """What names a folder below another.

    Raises:
        ValueError: it would lead elsewhere.
    """
    if not isinstance(text, str) or text in ("", ".", "..") or Path(text).name != text or "\0" in text:
        raise ValueError(f"{text!r} is no id")
    return text


def saved_names(results: Path) -> list[str]:
    """Names of the sweeps under a results root, newest plan first."""
    plans = list((results / "sweeps").glob(f"*/{PLAN.name}"))
    return [p.parent.name for p in sorted(plans, key=lambda p: p.stat().st_mtime, reverse=True)]


def find_run(results: Path, text: str) -> PlannedRun:
    """The run that `RUN` or `SWEEP/RUN` names.

    Raises:
        SpecError: none, or several in different sweeps.
        LedgerError: it is nowhere else, and the plan of a sweep that may have it cannot be read.
    """
    sweep, _, run = text.rpartition("/")
    saved, faults = [], []
    for name in [sweep] if sweep else saved_names(results):
        try:
            saved.append(SweepFolder(results, name).load())
        except LedgerError as error:  # another sweep's torn plan is no reason to hide this run
            faults.append(error)
    found = [r for s in saved for r in s.runs if r.id == run]
    if not found:
        if faults:
            raise faults[0]
        known = {r.id for s in saved for r in s.runs}
        of_arm = sorted({r.id for s in saved for r in s.runs if r.arm == run})
        hint = f"an arm; its runs: {listed(of_arm, 4)}" if of_arm else hint_for(run, known, "runs")
        raise SpecError(f"no run {run!r}", sweep or str(results), hint)
    if len({tuple(s.id for s in r.stages) for r in found}) > 1:
        places = ", ".join(f"{r.sweep}/{r.id}" for r in found)
        raise SpecError(f"{run!r} is a run of several sweeps", str(results), f"name one of {places}")
    return found[0]


def saved_sweep(results: Path, name: str | None) -> SavedSweep:
    """The sweep called so; without a name the one planned last.

    Raises:
        SpecError: there is none.
        LedgerError: its plan cannot be read.
    """
    if name is None:
        names = saved_names(results)
        if not names:
            raise SpecError("there are no sweeps", str(results), NOTHING_YET)
        name = names[0]
    return SweepFolder(results, name).load()
