"""The Ray that an attempt's trainer starts for itself."""

from __future__ import annotations

import os
import secrets

from toolrl_cli.processes.sockets import folder_for_sockets

SOCKET = "/toolrl-ray-12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


def own_ray() -> dict[str, str]:
    """Environment variables with which a trainer starts a Ray of its own, that no other process may use.

    Without an address it would join one that was started on this machine. Without a token, Ray since 2.60 keeps one
    for all in `~/.ray/auth_token`: a home that cannot be written ends the attempt, and of two attempts that start at
    once on a new machine each would write its own there and read the other's.
    """
    return {
        "RAY_ADDRESS": "local",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_TMPDIR": os.environ.get("RAY_TMPDIR") or folder_for_sockets(len(SOCKET)),
    }
