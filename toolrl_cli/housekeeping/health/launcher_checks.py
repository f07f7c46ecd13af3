"""`toolrl doctor --launcher NAME`: a probe is sent where attempts would run, and says what is there."""

from __future__ import annotations

import fcntl
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.attempt.environment import describe_environment
from toolrl_cli.harness.launcher import Launcher, LaunchPlan, Seen
from toolrl_cli.harness.launcher_settings import chosen_launcher
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.housekeeping.health import probe
from toolrl_cli.housekeeping.health.check import Check
from toolrl_cli.housekeeping.health.host import GIB
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.files import make_folder, read_json
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.schemas import ENVIRONMENT
from toolrl_cli.store.state import Handle

WAIT = 300.0
"""Seconds for the probe to start and end."""

LATE, FAR = 5.0, 30.0
"""Seconds by which a file may be seen late, and clocks may differ, before it is worth a word."""

SCRATCH = 20 * GIB


def check_launcher(
    chosen: str,
    results: Path,
    *,
    of_sweep: Mapping[str, Mapping[str, Any]] | None = None,
    wait: float = WAIT,
    kind: str = "export",
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> list[Check]:
    """Send a probe and judge what comes back; it leaves nothing behind.

    Args:
        chosen: as with `--launcher`.
        results: the results root, on whose file system the probe's own folder is made.
        of_sweep: what a sweep says under `launchers`.
        wait: seconds for it to come back.
        kind, device: of the stage that it stands for, whose settings it is submitted with.
        say: told what the probe waits for.

    Raises:
        SpecError, LaunchError: there is no such launcher, or it takes no attempt.
        LedgerError: the results root cannot be written.
    """
    launcher_kind, settings = chosen_launcher(chosen, of_sweep)
    spec = StageSpec(f"probe-{secrets.token_hex(5)}", kind, {}, {}, {"resources": {"device": device}})
    launcher = launcher_kind.open(LaunchPlan("toolrl doctor", [spec], 1, settings=settings))
    make_folder(results)
    root = results.resolve() / f".probe-{secrets.token_hex(4)}"
    root.mkdir()
    try:
        (root / probe.ASKED).write_text(spec.id, encoding="utf-8")
        with (root / probe.LOCKED).open("w+b") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX)
            return list(_probed(launcher, Ledger(root).folder(spec), spec, wait, say))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _probed(
    launcher: Launcher, folder: StageFolder, spec: StageSpec, wait: float, say: Callable[[str], None]
) -> Iterator[Check]:
    options = AttemptOptions({spec.kind: f"{probe.__name__}:run"})
    slots = tuple(launcher.pool.slots[:1]) if launcher.pool else ()
    began = time.monotonic()
    started = start_attempt(folder, spec, launcher, slots, options)
    handle = started.state.launcher if isinstance(started, Started) else None
    yield Check(launcher.kind, "ok", f"took the probe in {time.monotonic() - began:.1f} s: {_named(handle)}")
    answer, seen, late = _awaited(launcher, handle or {}, folder, wait, say)
    took = time.monotonic() - began
    if answer is None:
        if handle is not None and seen.phase != "ended":
            launcher.cancel(handle, kill=True)
        yield _no_answer(launcher, handle or {}, folder, seen, took)
        return
    yield Check("probe", "ok", f"ran on {answer['host']}, {took:.1f} s after it was asked for")
    yield from _files(folder, spec, answer, late)
    yield from _machine(folder, answer)


def _awaited(
    launcher: Launcher, handle: Handle, folder: StageFolder, wait: float, say: Callable[[str], None]
) -> tuple[dict[str, Any] | None, Seen, float]:
    """The probe's answer, how its attempt stands, and how late the answer was seen; None where there was none."""
    path = folder.attempt(1) / probe.FOUND
    deadline, told, seen = time.monotonic() + wait, "", Seen("unknown")
    while True:
        next(path.parent.iterdir(), None)  # has NFS ask anew
        answer = read_json(path)
        if answer is not None:
            return answer, seen, max(0.0, time.time() - float(answer["written"]))
        (seen,) = launcher.poll([handle])
        if seen.told and seen.told != told:
            say(seen.told)
            told = seen.told
        if time.monotonic() > deadline:
            return None, seen, 0.0
        if seen.phase == "ended":
            time.sleep(launcher.delay)
            answer = read_json(path)
            return answer, seen, launcher.delay if answer else 0.0
        time.sleep(min(0.5, launcher.interval))


def _no_answer(launcher: Launcher, handle: Handle, folder: StageFolder, seen: Seen, took: float) -> Check:
    if seen.phase != "ended":
        why = seen.told or {"queued": "waits in the queue", "running": "runs"}.get(
            seen.phase, "is out of sight"
        )
        fix = "ask for less, or another partition or queue; --wait SECONDS waits longer"
        return Check("probe", "error", f"has not ended after {took:.0f} s: {why}", fix)
    log = launcher.log(handle)
    last = ""
    for path in (folder.attempt(1) / "log.txt", log):
        if path is not None and path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else last
    why = seen.failure.message if seen.failure else f"ended with status {seen.returncode}"
    if not last:
        why += "; it left no log, so that this folder may not be on a file system that the nodes share"
    fix = "results on a shared file system, and the same Python by the same path (or the launcher's `python`)"
    return Check("probe", "error", f"{why}{f': {last}' if last else ''}", fix)


def _files(folder: StageFolder, spec: StageSpec, answer: dict[str, Any], late: float) -> Iterator[Check]:
    if answer["asked"] != spec.id:
        yield Check(
            "shared files", "error", "the probe did not see a file from here", "share the results root"
        )
    elif late > LATE:
        fix = f"set the launcher's `delay` to {late + 5:.0f} or more"
        yield Check("shared files", "warning", f"what the probe wrote was seen {late:.1f} s later", fix)
    else:
        yield Check("shared files", "ok", f"seen both ways, {late:.1f} s late")
    locks = {"held": "ok", "free": "warning"}.get(answer["lock"], "warning")
    seen_lock = {"held": "seen there", "free": "not seen there"}.get(answer["lock"], answer["lock"])
    fix = (
        ""
        if locks == "ok"
        else "mount the results with locks (NFS: without nolock); stages are kept apart by links"
    )
    yield Check("locks", "ok" if locks == "ok" else "warning", f"a lock from here is {seen_lock}", fix)
    if answer["link"]:
        yield Check("links and renames", "error", answer["link"], "results on another file system")
    else:
        yield Check("links and renames", "ok", "hard links and atomic renames work there")
    apart = answer["clock"] - probe.offset(folder.path / "clock")
    if abs(apart) > FAR:
        fix = "set the clocks by NTP (timedatectl, chronyc)"
        yield Check("clock", "warning", f"{apart:+.0f} s against this machine", fix)
    else:
        yield Check("clock", "ok", f"{apart:+.1f} s against this machine")


def _machine(folder: StageFolder, answer: dict[str, Any]) -> Iterator[Check]:
    there, here = probe.figures(answer, "python"), ".".join(map(str, sys.version_info[:3]))
    fix = "one environment on the shared file system, or the launcher's `python`"
    same = there.rpartition(".")[0] == here.rpartition(".")[0]
    yield Check(
        "Python there", "ok" if same else "error", f"{there}, {answer['executable']}", "" if same else fix
    )
    theirs = (read_json(folder.attempt(1) / ENVIRONMENT.name) or {}).get("versions", {})
    ours = describe_environment()["versions"]
    other = [
        f"{name} {theirs.get(name)}, here {ours.get(name)}" for name in ours if theirs.get(name) != ours[name]
    ]
    if other:
        yield Check("versions there", "error", "; ".join(other), fix)
    else:
        yield Check("versions there", "ok", "as here")
    gpus = ", ".join(answer["gpus"]) or "none"
    yield Check("GPUs there", "ok", f"{gpus} (CUDA_VISIBLE_DEVICES={answer['devices']})")
    if answer["hub"]:
        fix = "fetch models and data here first (HF_HOME on the shared file system), with HF_HUB_OFFLINE=1"
        yield Check("network there", "warning", f"{probe.HUB[0]}: {answer['hub']}", fix)
    else:
        yield Check("network there", "ok", f"{probe.HUB[0]} answers")
    free = answer["scratch"]["free"]
    found = f"{answer['scratch']['folder']}: {free / GIB:.1f} GiB free"
    few = free < SCRATCH
    yield Check(
        "scratch there", "warning" if few else "ok", found, "export TMPDIR=DIR in the prologue" if few else ""
    )


def _named(handle: Handle | None) -> str:
    handle = handle or {}
    return next((f"{key} {handle[key]}" for key in ("job", "id", "pid") if key in handle), "started")
