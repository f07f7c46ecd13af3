"""The root cause in the output of verl, Ray, vLLM, Hydra and torchrun.

The last line of such a log is almost never it: Ray prints the driver's traceback first and nests the worker's
inside, vLLM logs its engine's line by line and then raises that the engine is gone, Hydra and Ray add advice after
it, the other ranks complain that their peer is gone, and torchrun closes with a table. What is shown is the last
of those exceptions that explain most: see `Raised.weight`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_STREAM = re.compile(
    r"^((?:(?:\([^()]*\b(?:pid|ip)=[^()]*\)|\((?:raylet|autoscaler|gcs_server)[^()]*\)|\[[a-z]+\d+\]:) ?)+)"
)
# vLLM: `ERROR 11-20 13:48:41 [core.py:842] `, and `… core.py:842] ` in earlier versions
_LOGGED = re.compile(r"^(?:ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (\[?[\w./]+\.py:\d+\]) ?")
# the margin of exceptions that a group holds
_MARGIN = re.compile(r"^ +(?:\| ?|\+ (?=Exception Group)|\+[-+]+(?: \d+ -+)?$)")
_REPEATED = re.compile(r" \[repeated \d+x across cluster\].*$")
_START = re.compile(r"^(?:(?:Exception Group )?Traceback \(most recent call last\):|ray::\S.*\(pid=\d+)")
_RAISED = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*(?:\([\w.]+\))?)(?::\s*(?P<message>.*))?$")
_FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line (?P<line>\d+)')
_FATAL = "Fatal Python error"
_NATIVE = re.compile(
    rf"^(?:terminate called after throwing an instance of '(?P<type>[^']+)'|{_FATAL}: (?P<why>.+))"
)
_WHAT = "what():"
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
_ASIDE = re.compile(
    r"^(?:Exception ignored (?:in|on)|Error in atexit|Exception in thread|--- Logging error ---"
    r"|(?:Task|Future) exception was never retrieved)"
)
_HYDRA_ADVICE = "Set the environment variable HYDRA_FULL_ERROR=1"
_REFUSAL = re.compile(
    r"^(?:Could not|You must specify|Error (?:merging|parsing|when)|Key '|Value '|In '|Missing|Interpolation"
    r"|Primary config|Multiple values|Unable to|LexerNoViable|no viable|mismatched|extraneous|token rec|missing)"
)
_LOG_LINE = re.compile(r"^(?:\W*\d{4}-\d\d-\d\d|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b)")

_REPORTS = re.compile(
    r"(?:^|\.)(?:RayTaskError|RayActorError|ActorDiedError|ActorUnavailableError|WorkerCrashedError"
    r"|OwnerDiedError|ChildFailedError|ChildFailed|CalledProcessError|ProcessRaisedException"
    r"|ProcessExitedException|SystemExit|KeyboardInterrupt|SignalException|BrokenPipeError"
    r"|ConnectionResetError|EOFError|CancelledError|EngineDeadError|(?:Base)?ExceptionGroup)(?:\(|$)"
)
_PEER_GONE = re.compile(
    r"closed by peer|reset by peer|Broken pipe|[Pp]rocess group .*aborted|peer .*disconnect"
    r"|[Ss]ee (?:root cause|stack trace)|DataLoader worker \(pid\(s\) .*exited unexpectedly"
)
_IN_CREATION = "an error raised in its creation task"
_ACTOR_DIED = "The actor died unexpectedly before finishing this task."
_GUESSES = re.compile(r" (?:There are some potential root|Some common) causes.*$")


@dataclass(frozen=True)
class Raised:
    """One exception as a log shows it.

    Attributes:
        kind: type as printed, such as `torch.OutOfMemoryError`; empty for Hydra's compact refusals.
        message: its message in one line; may be empty.
        frames: `file:line` of its frames, outermost first.
        line: number of its line in the log, from 0.
        linked: it was raised from, or while handling, the exception before it in the same stream.
        native: no Python exception: what a process said when it was aborted.
        aside: printed by something that does not end the program (a destructor, a thread, an exit hook).
        cause: the exception that the chain began with, if there is another.
    """

    kind: str
    message: str
    frames: tuple[str, ...] = ()
    line: int = 0
    linked: bool = False
    native: bool = False
    aside: bool = False
    cause: Raised | None = None

    @property
    def is_report(self) -> bool:
        """Whether it only tells that something else failed."""
        return self.aside or bool(_REPORTS.search(self.kind) or _PEER_GONE.search(self.message))

    @property
    def weight(self) -> int:
        """How much it explains: nothing; that something else failed; how a process was aborted; why; a cause.

        A rank is aborted, too, when it has waited too long for another one, whose exception is the cause.
        """
        if self.is_report:
            return 0 if self.aside else 1
        if self.native:
            return 2 if self.kind == _FATAL else 3
        return 4

    @property
    def words(self) -> str:
        """Types and messages of it and of what it began with, for telling its class."""
        own = f"{self.kind}: {self.message}" if self.kind else self.message
        return f"{own} {self.cause.words}" if self.cause else own

    def __str__(self) -> str:
        name = self.kind.rpartition(".")[2]
        text = f"{name}: {self.message}" if name and self.message else name or self.message
        if not self.message and self.frames:
            text += f" at {self.frames[-1].rpartition('/')[2]}"
        if self.cause is None or (self.cause.message and self.cause.message in self.message):
            return text
        return f"{text} (caused by {self.cause})"


def root_cause(log: str) -> Raised | None:
    """The exception that a log is about, or None when it shows none."""
    lines = list(_plain_lines(log))
    refusal = _hydra_refusal(lines)
    if refusal:
        return refusal
    raised = sorted((r for stream in _streams(lines).values() for r in _parse(stream)), key=lambda r: r.line)
    last = max(reversed(raised), key=lambda r: r.weight, default=None)
    return last if last is not None and last.weight else None


def _plain_lines(log: str) -> Iterator[str]:
    """Lines without colours, and without what a progress bar has overwritten."""
    for line in _ANSI.sub("", log).split("\n"):
        yield _MARGIN.sub("", _REPEATED.sub("", line.rstrip("\r").rpartition("\r")[2]))


def _streams(lines: list[str]) -> dict[str, list[tuple[int, str]]]:
    """Lines by the process that wrote them, as far as Ray's and torchrun's prefixes tell."""
    streams: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, line in enumerate(lines):
        prefix = _STREAM.match(line)
        who, text = (prefix.group(1), line[prefix.end() :]) if prefix else ("", line)
        logged = _LOGGED.match(text)
        if logged:
            who, text = who + logged.group(1), text[logged.end() :]
        streams[who].append((number, text))
    return streams


def _parse(stream: list[tuple[int, str]]) -> Iterator[Raised]:
    """The exceptions of one stream in order, each knowing what its chain began with."""
    chain: Raised | None = None
    inside = linked = aside = False
    frames: list[str] = []
    for position, (number, line) in enumerate(stream):
        if _START.match(line):
            inside, frames = True, []
        elif _ASIDE.match(line):
            aside = True
        elif line in (_CAUSE, _CONTEXT):
            linked = True
        elif inside and (frame := _FRAME.match(line)):
            frames.append(f"{frame['file']}:{frame['line']}")
        elif inside and line[:1].strip() and (found := _RAISED.match(line)):
            message = _message(found["message"] or "", stream[position + 1 : position + 12])
            raised = Raised(found["kind"], message, tuple(frames), number, linked, aside=aside)
            if linked and chain is not None and not chain.is_report:
                raised = replace(raised, cause=chain)
            yield raised
            chain = (raised.cause or raised) if not raised.is_report else None
            # Ray prints the worker's traceback as the message of the driver's exception
            inside = "RayTaskError" in raised.kind or _IN_CREATION in raised.message
            frames, linked = [], False
            aside = aside and inside
        elif native := _NATIVE.match(line):
            what = stream[position + 1][1].strip() if stream[position + 1 :] else ""
            said = what.removeprefix(_WHAT).strip() if what.startswith(_WHAT) else ""
            kind = (native["type"] or _FATAL).replace("::", ".")
            yield Raised(kind, native["why"] or said, line=number, native=True)


def _message(first: str, following: list[tuple[int, str]]) -> str:
    """The first line that says something; a line that ends with a colon announces the next."""
    if first == _ACTOR_DIED:  # Ray says why after a list of the actor's names
        why = next((line for _, line in following if line.startswith("The actor ")), first)
        return _GUESSES.sub("", why)
    words = [first.strip()]
    for _, line in following[:2]:
        if (words[-1] and not words[-1].endswith(":")) or not line.strip():
            break
        words.append(line.strip())
    return " ".join(word for word in words if word)


def _hydra_refusal(lines: list[str]) -> Raised | None:
    """Hydra reports a bad setting without a traceback, in the paragraph above its advice."""
    advice = max((n for n, line in enumerate(lines) if line.startswith(_HYDRA_ADVICE)), default=0)
    paragraph: list[str] = []
    for line in reversed(lines[:advice]):
        if _LOG_LINE.match(line) or (paragraph and not line.strip()):
            break
        if line.strip():
            paragraph.insert(0, line)
    if not paragraph or not _REFUSAL.match(paragraph[0]) or any(_START.match(line) for line in paragraph):
        return None
    said = "; ".join(line.strip().rstrip(".") for line in paragraph if not line[:1].isspace())
    return Raised("", said, line=advice)
