"""The one logger, `toolrl`: lines for people. Silent in a library; the entry points send it to standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("toolrl")
LOG.addHandler(logging.NullHandler())  # without one, Python itself would print warnings

_LEADS = {logging.WARNING: "warning: ", logging.ERROR: "error: "}


class _StandardError(logging.Handler):
    """Writes to what `sys.stderr` is when a line comes, which live views and attempts replace."""

    def __init__(self, prefix: str, may_fail: bool) -> None:
        super().__init__()
        self._prefix, self._may_fail = prefix, may_fail

    def emit(self, record: logging.LogRecord) -> None:
        lead = self._prefix or _LEADS.get(record.levelno, "")
        try:
            print(f"{lead}{record.getMessage()}", file=sys.stderr, flush=True)
        except OSError:
            if not self._may_fail:
                raise


@contextmanager
def on_stderr(prefix: str = "", *, may_fail: bool = False) -> Iterator[None]:
    """Lines from `info` up go to standard error inside the block, and nowhere else.

    Args:
        prefix: what each line begins with; empty: nothing, `warning: ` or `error: `, by level.
        may_fail: a line that cannot be written is lost. Otherwise the `OSError` reaches whoever logged it.
    """
    handler = _StandardError(prefix, may_fail)
    before = LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False  # libraries give the root logger handlers of their own
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before[0])
        LOG.propagate = before[1]
