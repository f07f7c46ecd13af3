"""The launcher: attempts as jobs whose ids are the attempts' own, seen with one question for all."""

from __future__ import annotations

import select
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LaunchError, LedgerError
from toolrl_cli.harness.launcher import LaunchLater, LaunchRequest, Seen, SlotPool
from toolrl_cli.harness.ray import states
from toolrl_cli.harness.ray.jobs_api import WHERE, NoAnswer, Refused, Site, default_address, exists
from toolrl_cli.harness.ray.lost import Lost
from toolrl_cli.harness.ray.request import LOG, asked_of, job_request, lacking, nodes_of, request_of
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.harness.ray.stopping import NAME, ask_to_stop
from toolrl_cli.harness.ray.view import View
from toolrl_cli.store.state import Handle


class RayLauncher:
    """Submits attempts to a Ray cluster and says how their jobs stand.

    Args:
        settings: the user's; None where nothing is submitted, and handles say whom to ask.
    """

    kind = "ray"
    pool: SlotPool | None = None

    def __init__(self, settings: RaySettings | None = None) -> None:
        self._submits = settings is not None
        self._settings = settings or RaySettings()
        self.delay = self._settings.delay
        self._watched = 0
        self._views: dict[Site, View] = {}
        self._lost = Lost(self._settings.lost_after)

    @property
    def interval(self) -> float:
        """See `Launcher.interval`."""
        return self._settings.poll or 2.0 + self._watched / 100

    def submit(self, request: LaunchRequest) -> Handle:
        """See `Launcher.submit`; Ray itself refuses an id that it has had."""
        site = site_of(self._settings)
        try:
            self._submit(self._view(site), request)
        except NoAnswer as error:
            hint = (
                "it is asked again; where this is not its dashboard, set `address` of `launchers: {ray: …}`"
            )
            raise LaunchLater(f"Ray does not answer: {error.what}", WHERE, hint) from error
        except Refused as error:
            hint = error.hint or "see `launchers: {ray: …}` of the sweep, or launchers/ray.yaml"
            raise LaunchError(f"Ray refuses: {error}", f"stage {request.spec.id}", hint) from error
        return {
            "kind": self.kind,
            "job": request.id,
            "cluster": site.address,
            "token_file": site.token_file,
            "certificates": site.certificates,
            "stage": str(request.stage_dir.absolute()),
            "attempt": request.attempt,
            "slots": [],
            "harness": request.harness.to_json(),
        }

    def _submit(self, view: View, request: LaunchRequest) -> None:
        body = job_request(request, self._settings)
        try:
            view.api.submit(body)
            return
        except Refused as error:
            if not exists(error):
                raise
        job = view.api.job(request.id)
        if job is not None and job["status"] in ("PENDING", "RUNNING"):
            if request.again:
                return
            hint = f"end it first: ray job stop --address {site_of(self._settings).address} {request.id}"
            raise LaunchError("a job of an earlier attempt in this folder still runs", request.id, hint)
        # nothing that has ended did the work of this attempt, which its stage does not name yet
        if job is not None:
            view.api.delete(request.id)
        view.api.submit(body)

    def poll(self, handles: Sequence[Handle]) -> list[Seen]:
        """See `Launcher.poll`."""
        self._watched = len(handles)
        by_site: dict[Site, list[Handle]] = {}
        for handle in handles:
            by_site.setdefault(site_of(handle), []).append(handle)
        told: dict[Site, tuple[Mapping[str, Mapping[str, Any]], str]] = {}
        for site, theirs in by_site.items():
            try:
                told[site] = self._view(site).jobs([str(handle["job"]) for handle in theirs]), ""
            except LaunchError as error:
                told[site] = {}, f"Ray does not answer: {error}"
        return [self._seen(handle, *told[site_of(handle)]) for handle in handles]

    def _seen(self, handle: Handle, jobs: Mapping[str, Mapping[str, Any]], fault: str) -> Seen:
        if fault:
            return Seen("unknown", told=fault)
        job, folder = jobs.get(str(handle["job"])), attempt_dir(handle)
        if job is None:
            return self._lost.seen(handle)
        waits = job["status"] == "PENDING" or states.waited_too_long(job)
        if (
            (folder / NAME).exists()
            and (waits or not (folder / "log.txt").exists())
            and job["status"] != "RUNNING"
        ):
            return Seen("ended", failure=states.CANCELLED)  # it would find the file at its start
        if states.waited_too_long(job):
            return self._waits_again(handle, job)
        began = (folder / "log.txt").exists()
        said = "" if began or job["status"] != "FAILED" else _last_words(folder / LOG)
        seen = states.seen(job, began=began, said=said)
        if seen is None:
            return self._lost.seen(handle)
        if seen.phase == "running" and nodes_of(job) > 1 and not began:
            seen = Seen("queued")  # the job itself runs, and waits for its nodes
        if seen.phase == "queued" and (totals := self._view(site_of(handle)).totals()):
            missing = lacking(asked_of(job), nodes_of(job), totals)
            return Seen("queued", told=f"job {handle['job']} waits: {missing}" if missing else "")
        return seen

    def _waits_again(self, handle: Handle, job: Mapping[str, Any]) -> Seen:
        """Put a job into the queue again that Ray has given up for its waiting."""
        called = f"job {handle['job']} waited longer than RAY_JOB_START_TIMEOUT_SECONDS of the head"
        if not self._submits:
            return Seen("queued", told=f"{called}; the next harness submits it again")
        view = self._view(site_of(handle))
        view.forget()
        try:
            view.api.delete(str(job["submission_id"]))
            view.api.submit(request_of(job))
        except LaunchError as error:  # another harness was faster, or nobody answers: the next look tells
            return Seen("queued", told=f"{called}: {error.what}")
        return Seen("queued", told=f"{called}, and was submitted again")

    def cancel(self, handle: Handle, *, kill: bool = False) -> None:
        """See `Launcher.cancel`."""
        view, unwritten = self._view(site_of(handle)), ""
        view.forget()
        try:
            ask_to_stop(attempt_dir(handle), at_once=kill)
        except LedgerError as error:
            unwritten = str(error)
        if kill or unwritten:
            try:
                view.api.stop(str(handle["job"]))
            except Refused as error:  # it has ended by now, or the cluster has forgotten it
                if unwritten:
                    raise LaunchError(unwritten, WHERE) from error
            except NoAnswer:
                if unwritten:
                    raise

    def log(self, handle: Handle) -> Path | None:
        """See `Launcher.log`."""
        return attempt_dir(handle) / LOG

    def wait(self, handles: Sequence[Handle], wake: int, timeout: float) -> None:
        """See `Launcher.wait`."""
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        poller.poll(1000 * min(timeout, self.interval))

    def _view(self, site: Site) -> View:
        if site not in self._views:
            self._views[site] = View(site)
        return self._views[site]


def site_of(told: RaySettings | Handle) -> Site:
    """Whom to ask, by the settings or by a handle."""
    if isinstance(told, RaySettings):
        files = (
            str(Path(file).expanduser().absolute()) if file else ""  # a later command may be elsewhere
            for file in (told.token_file, told.certificates)
        )
        return Site(told.address or default_address(), *files)
    return Site(str(told["cluster"]), str(told.get("token_file", "")), str(told.get("certificates", "")))


def attempt_dir(handle: Handle) -> Path:
    """The attempt's folder."""
    return Path(str(handle["stage"])) / "attempts" / str(handle["attempt"])


def _last_words(log: Path) -> str:
    """The last line of what the shell said; Ray's own message ends with the command."""
    from toolrl_cli.attempt.classify import tail  # its patterns take time to compile

    try:
        return tail(log).strip().rpartition("\n")[2]
    except OSError:
        return ""
