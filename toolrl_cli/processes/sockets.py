"""Where a socket's file may be: Linux takes no path of over 107 bytes, and a cluster's $TMPDIR may be half of that."""

from __future__ import annotations

import os
import tempfile

LONGEST = 107


def folder_for_sockets(below: int) -> str:
    """The folder for temporary files where a socket's path fits, else `/tmp`.

    Args:
        below: bytes of the path that come after it.
    """
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) + below <= LONGEST else "/tmp"
