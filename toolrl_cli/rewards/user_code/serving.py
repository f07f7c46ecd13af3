"""The process in which users' functions run: whatever they do to it, the process that asks goes on.

It is started by `runner`, imports a function when it is first asked about it, and answers one request after the other.
Its standard input is empty. What is printed goes to the standard error of the process that asks, up to a limit.
"""

from __future__ import annotations

import importlib.util
import io
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import takewhile
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from toolrl_cli.rewards.errors import RewardError, one_line
from toolrl_cli.rewards.reading import Reading
from toolrl_cli.rewards.user_code.loading import function_of
from toolrl_cli.rewards.user_code.sources import Where
from toolrl_cli.rewards.user_code.values import Returned, called, inputs_of

MOST_PRINTED = 100_000
"""Bytes that functions may print in the life of the process; the rest is left out."""

MOST_TRACED = 20_000
"""Characters of a trace-back."""

SPAWNED = "toolrl_cli.rewards.user_code.spawned"
"""What processes that functions start import first."""

_GRACE = 60  # seconds after which the process ends itself


class Request(NamedTuple):
    """One call, with the arguments of each `Reading`; or, without them, an import, with its folders."""

    where: Where
    readings: Sequence[tuple[Any, ...]] | None
    timeout: float
    folders: list[str]


class Answer(NamedTuple):
    """What came of a request.

    Attributes:
        values: what the function returned, for each reading.
        fault, hint: why there is none, as in `RewardError`; empty where there is.
        trace: the trace-back of the user's code, if it raised.
    """

    values: list[Returned] | None
    fault: str = ""
    hint: str = ""
    trace: str = ""


def serve(descriptor: int) -> None:
    """Answer requests until the other end is closed."""
    os.set_inheritable(descriptor, False)
    sys.stdout = sys.stderr = _printing()
    sys.modules["__main__"].__spec__ = importlib.util.find_spec(SPAWNED)
    connection = Connection(descriptor)
    functions: dict[Where, tuple[Callable[..., Any], tuple[str, ...]]] = {}
    while True:
        try:
            request: Request = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        signal.alarm(int(request.timeout) + _GRACE)  # where nobody is left to end what does not return
        answer = _answer(request, functions)
        signal.alarm(0)
        connection.send_bytes(pickle.dumps(tuple(answer)))


def _answer(request: Request, functions: dict[Where, Any]) -> Answer:
    where = request.where
    doing = "cannot be imported:"
    try:
        if request.readings is None:
            _look_in(request.folders)
        if where not in functions:
            found = function_of(where)
            doing = "cannot be inspected:"
            functions[where] = (found, inputs_of(found, "", where.batch))
        doing = "raised"
        if request.readings is None:
            return Answer(None)
        function, inputs = functions[where]
        readings = [Reading(*each) for each in request.readings]
        return Answer(called(function, inputs, readings, where.batch))
    except RewardError as fault:
        return Answer(None, one_line(fault.what), one_line(fault.hint))
    except BaseException as fault:  # a user's function may raise SystemExit, and more
        return Answer(None, one_line(f"{doing} {_told(fault)}"), "", _trace(fault))


def _look_in(folders: Sequence[str]) -> None:
    """Import from the folders of the process that asks; what functions have put before or after them stays."""
    first = list(takewhile(lambda entry: entry not in folders, sys.path))
    rest = [entry for entry in sys.path[len(first) :] if entry not in folders]
    sys.path[:] = [*first, *folders, *rest]


def _told(fault: BaseException) -> str:
    """Type and text of an exception; it may be of a class whose text raises in its turn."""
    name = type(fault).__name__
    try:
        text = str(fault)
    except BaseException as second:
        return f"{name}, whose text raises {type(second).__name__}"
    return f"{name}: {text}" if text else name


def _trace(fault: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(type(fault), fault, fault.__traceback__))
    except BaseException as second:
        return f"(no trace-back: {type(second).__name__})"
    return text[-MOST_TRACED:].encode("utf-8", "backslashreplace").decode()


class _Limited(io.RawIOBase):
    """Standard error up to a limit."""

    left = MOST_PRINTED

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, data: Any) -> int:
        text = bytes(data)
        if self.left > 0:
            os.write(2, text[: self.left])
            self.left -= len(text)
            if self.left <= 0:
                os.write(2, b"\ntoolrl: what reward functions print from here on is left out\n")
        return len(text)


def _printing() -> io.TextIOWrapper:
    writer = io.BufferedWriter(_Limited())
    return io.TextIOWrapper(writer, "utf-8", errors="backslashreplace", line_buffering=True)
