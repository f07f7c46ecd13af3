"""The W&B client: the one module that imports it, and turns what it raises into a line.

What the client says of a run that it was given proves nothing: `log` and `finish` raise nothing where rows are lost. So
what the server has is asked of the server.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import wandb
from wandb.sdk.lib.service.service_connection import WandbApiFailedError
from wandb.sdk.mailbox.mailbox import MailboxClosedError
from wandb.sdk.mailbox.mailbox_handle import HandleAbandonedError, ServerResponseError

from toolrl_cli.errors import TrackingError
from toolrl_cli.spec.secrets import scrubbed
from toolrl_cli.tracking.place import Place
from toolrl_cli.tracking.told import MINUTES, ROW, STEP, Outcome, Told
from toolrl_cli.wording import first_line

FAULTS = (
    wandb.Error,
    ServerResponseError,
    WandbApiFailedError,
    MailboxClosedError,
    HandleAbandonedError,
    OSError,
    TypeError,  # a table or a value of a kind that it does not take
    ValueError,  # pydantic's, for a tag or a name that it refuses
)
PATIENCE = 20  # seconds for the server to answer
FLUSH = 5  # seconds between two sendings of an open run; W&B's own is 15
FLUSH_VARIABLE = "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL"
PAGE = 100
FOLDERS_AT_A_TIME = 16
RETRIED = ("graphql", "file_stream", "file_transfer")
EXIT_CODES: Mapping[Outcome, int] = {"finished": 0, "failed": 1, "stopped": 255}
"""What W&B makes a run's state of: 255 is the client's own for Ctrl-C, and becomes `killed`."""
LOGIN_WORDS = ("API key", "not logged in", "credentials")

P = ParamSpec("P")
T = TypeVar("T")


def _explained(function: Callable[P, T]) -> Callable[P, T]:
    """Whatever the client raises becomes one line."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except FAULTS as error:
            what = first_line(error)
            login = any(word in what for word in LOGIN_WORDS) and "wandb login" not in what
            hint = "wandb login" if login else ""
            raise TrackingError(scrubbed(what), hint=hint) from error

    return call


@dataclass(frozen=True)
class Seen:
    """What the server has of a run.

    Attributes:
        lines: of its history.
        summary: its summary.
    """

    lines: int
    summary: Mapping[str, Any]


def _begin_service() -> None:
    with suppress(*FAULTS):  # told by whoever needs it
        wandb.setup().ensure_service()


def _without_secrets(data: bytes) -> bytes:
    try:
        return str(scrubbed(data.decode())).encode()
    except UnicodeDecodeError:  # a figure
        return data


class Live:
    """A W&B run that is open."""

    def __init__(self, run: Any) -> None:
        self._run = run

    @property
    def url(self) -> str:
        """Where it can be looked at; empty offline."""
        return str(scrubbed(self._run.url or ""))

    @_explained
    def log(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Give rows to the client, which sends them in its own time."""
        for row in rows:
            self._run.log(dict(row))

    @_explained
    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Set values of the summary."""
        self._run.summary.update(scrubbed(summary))

    @_explained
    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table."""
        data: list[Iterable[Any]] = [list(row) for row in rows]
        self._run.log({name: wandb.Table(list(columns), data, allow_mixed_types=True)})

    @_explained
    def artifact(self, name: str, kind: str, folder: Path, *, texts: bool = False) -> None:
        """Send a folder as an artifact; `texts`: small files, of which those that are text may quote a secret."""
        artifact = wandb.Artifact(name, type=kind)
        if not texts:
            artifact.add_dir(str(folder))
        for path in sorted(folder.rglob("*")) if texts else ():
            if path.is_file():
                with artifact.new_file(str(path.relative_to(folder)), mode="wb") as copy:
                    copy.write(_without_secrets(path.read_bytes()))
        self._run.log_artifact(artifact)

    @_explained
    def finish(self, outcome: Outcome = "finished") -> None:
        """Send what is left; how much arrived is not known then."""
        self._run.finish(EXIT_CODES[outcome])


class Client:
    """Talks to W&B for one sweep.

    Args:
        place: where the sweep is.
        mode: whether runs are sent, or kept.
        folder: where offline runs are kept.
    """

    def __init__(self, place: Place, mode: Literal["online", "offline"], folder: Path) -> None:
        logging.raiseExceptions = False  # on a full disk the client's log would print a traceback a line
        for name, value in (("WANDB_ERROR_REPORTING", "false"), ("WANDB_SILENT", "true"), ("GOGC", "400")):
            os.environ.setdefault(name, value)
        self._place, self._mode, self._folder = place, mode, folder
        self._api: Any = None
        self._lock = threading.RLock()
        self._scratch: Path | None = None

    @_explained
    def seen(self, ids: Sequence[str]) -> dict[str, Seen]:
        """What the server has of runs, asked in pages; one that it does not know is left out."""
        found: dict[str, Seen] = {}
        for start in range(0, len(ids), PAGE):
            wanted = {"name": {"$in": list(ids[start : start + PAGE])}}
            with self._lock:
                runs = self._asked().runs(self._path(), filters=wanted, per_page=PAGE, lazy=False)
            for run in runs:
                found[run.id] = Seen(int(run.historyLineCount or 0), dict(run.summary_metrics or {}))
        return found

    @_explained
    def row_keys(self, wandb_id: str) -> list[int]:
        """The keys of all rows that the server has of a run, in the order of its history."""
        with self._lock:
            run = self._asked().run(f"{self._path()}/{wandb_id}")
        rows = run.scan_history(keys=["_step", ROW], page_size=10_000, use_cache=False)
        return [int(row[ROW]) for row in sorted(rows, key=lambda row: int(row["_step"]))]

    @_explained
    def open(self, told: Told) -> Live:
        """Open a W&B run, which goes on where the server has one of the id."""
        online = self._mode == "online"
        live = wandb.init(
            entity=self._place.entity,
            project=self._place.project,
            id=told.id,
            name=told.name,
            group=told.group,
            job_type=told.job_type,
            tags=scrubbed(told.tags),  # whoever made them
            notes=scrubbed(told.notes) or None,
            config=scrubbed(told.config),
            dir=str(self._scratch_folder() if online else self._folder),
            mode=self._mode,
            resume="allow" if online else None,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_disable_meta=True,  # every SLURM_* variable and the arguments, secrets included
                x_disable_machine_info=True,
                x_save_requirements=False,
                init_timeout=PATIENCE,
                finish_timeout=PATIENCE,
                x_graphql_retry_max=3,
                x_file_stream_transmit_interval=float(os.environ.get(FLUSH_VARIABLE) or FLUSH),
            ),
        )
        if not online and not Path(live.dir).is_relative_to(self._folder):
            live.finish()
            raise OSError(f"{self._folder} cannot be written, and W&B took {live.dir}")
        live.define_metric(STEP)
        live.define_metric("*", step_metric=STEP, step_sync=False)
        live.define_metric("sft/step")
        live.define_metric("sft/*", step_metric="sft/step", step_sync=False)
        live.define_metric(MINUTES)
        live.define_metric("system/*", step_metric=MINUTES, step_sync=False)
        live.define_metric(ROW, hidden=True)
        return Live(live)

    @_explained
    def send_folders(self, folders: Sequence[Path]) -> None:
        """Send offline runs by the client's own command, which says nothing that can be trusted of what arrived.

        It runs in this process, because a new one would take a second to import the client. To be called from the main
        thread alone.
        """
        from wandb.cli.cli import sync as send_by_command  # what else is in there takes a while to import

        place = ["--project", self._place.project]
        place += ["--entity", self._place.entity] if self._place.entity else []
        options = ["--include-synced", "-n", str(FOLDERS_AT_A_TIME), *place]
        wandb.setup(wandb.Settings(**{f"x_{what}_retry_max": 3 for what in RETRIED}))
        limit = threading.Timer(3 * PATIENCE + 10 * len(folders), self.reset)
        limit.daemon = True
        limit.start()
        try:
            send_by_command.main([*options, *map(str, folders)])
        except SystemExit as ended:
            if ended.code:
                raise OSError(f"`wandb sync` ended with {ended.code}") from None
        finally:
            limit.cancel()

    def reset(self) -> None:
        """End whatever is open. After a failed init the client refuses that id (`in use`) until this."""
        self._api = None
        try:
            wandb.teardown()
        except FAULTS as error:  # the client's own process is gone, and the next `open` starts another
            logging.getLogger(__name__).debug("teardown: %s", error)

    def close(self) -> None:
        """End whatever is open, and remove the client's own files of runs that were sent."""
        self.reset()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _scratch_folder(self) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="toolrl-wandb-"))
        return self._scratch

    def _asked(self) -> Any:
        if self._api is None:
            service = threading.Thread(target=_begin_service)
            service.start()
            make = wandb.Api  # which is imported now, for as long as the client's process takes to begin
            service.join()
            self._api = make(timeout=PATIENCE)
        self._api.flush()  # it would show again what it was told the last time
        return self._api

    def _path(self) -> str:
        with self._lock:
            entity = self._place.entity or self._asked().default_entity
        return f"{entity}/{self._place.project}"


@_explained
def project_runs(entity: str, project: str, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All runs of a project that a filter matches, in pages: id, name, state, tags, group, config and summary.

    Raises:
        TrackingError: W&B refuses, or does not answer.
    """
    api = wandb.Api(timeout=60)  # the client tries again within that time
    found = api.runs(f"{entity}/{project}", filters=dict(filters), per_page=PAGE, lazy=False)
    return [
        {
            "id": run.id,
            "name": run.name,
            "state": run.state,
            "tags": list(run.tags or ()),
            "group": run.group,
            "config": {key: value for key, value in run.config.items() if not key.startswith("_")},
            "summary": {k: v for k, v in (run.summary_metrics or {}).items() if not k.startswith("_")},
        }
        for run in found
    ]
