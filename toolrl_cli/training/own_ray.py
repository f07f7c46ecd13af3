"""The Ray that an attempt's trainer starts for itself."""

from __future__ import annotations

import secrets


def own_ray() -> dict[str, str]:
    """Environment variables with which a trainer starts a Ray of its own, that no other process may use.

    Without an address it would join one that was started on this machine. Without a token, Ray since 2.60 keeps one
    for all in `~/.ray/auth_token`: a home that cannot be written ends the attempt, and of two attempts that start at
    once on a new machine each would write its own there and read the other's.
    """
    return {"RAY_ADDRESS": "local", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
