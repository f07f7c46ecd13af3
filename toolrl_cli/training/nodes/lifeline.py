"""A connection between an attempt and its part on each other node, by which each knows that the other has gone.

Nothing is told by it but who there is, and in the end the exit status of its part. The kernel closes it however a
process dies; where a whole machine dies, keep-alive packets stay unanswered.
"""

from __future__ import annotations

import contextlib
import secrets
import selectors
import socket
import threading

ADDRESS = "TOOLRL_LIFELINE"
"""Variable of the parts: `host:port:token`."""

PATIENCE = 60.0
"""Seconds for a part to reach the first node, and to say who it is."""


class Lifeline:
    """The attempt's end, on the first node.

    Attributes:
        address: the value of `ADDRESS` for the parts.
        host: this node, as the others know it.
    """

    def __init__(self) -> None:
        self.host = own_address()
        self._token = secrets.token_hex(16)
        self._listener = socket.create_server(("", 0))
        self.address = f"{self.host}:{self._listener.getsockname()[1]}:{self._token}"
        self._names: dict[int, str] = {}
        self._ended: dict[int, int | None] = {}
        self._lock = threading.Lock()
        self._over, self._wake = socket.socketpair()
        threading.Thread(target=self._serve, name="toolrl-lifeline", daemon=True).start()

    @property
    def names(self) -> list[str]:
        """The nodes whose parts have come, in the order of their numbers."""
        with self._lock:
            return list(self._names.values())

    @property
    def ended(self) -> list[tuple[str, int | None]]:
        """Nodes whose parts have ended, with the exit status; None where one has gone without a word.

        Two may have one name (containers, or nodes called `localhost`).
        """
        with self._lock:
            return [(self._names[number], status) for number, status in self._ended.items()]

    def close(self) -> None:
        """Let the parts end."""
        self._wake.close()

    def _serve(self) -> None:
        parts: dict[socket.socket, int] = {}
        with self._listener, self._over, selectors.DefaultSelector() as selector:
            for waiting in (self._listener, self._over):
                selector.register(waiting, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._over:
                        for part in parts:
                            part.close()
                        return
                    if key.fileobj is self._listener:
                        newest = self._welcomed(len(parts) + 1)
                        if newest is not None:
                            parts[newest] = len(parts) + 1
                            selector.register(newest, selectors.EVENT_READ)
                        continue
                    assert isinstance(key.fileobj, socket.socket)
                    word = _received(key.fileobj).strip()
                    selector.unregister(key.fileobj)  # whatever it was, it was the last
                    with self._lock:
                        self._ended[parts[key.fileobj]] = int(word) if word.isdigit() else None

    def _welcomed(self, number: int) -> socket.socket | None:
        """A part that has just connected; None for somebody else."""
        part, _ = self._listener.accept()
        try:
            part.settimeout(PATIENCE)
            token, _, name = part.makefile().readline().strip().partition(" ")
            if not secrets.compare_digest(token, self._token):
                part.close()
                return None
            with self._lock:
                self._names[number] = name  # before it is told, and may ask or end
            part.sendall(f"{number}\n".encode())
            keep_alive(part)
        except (OSError, ValueError):
            part.close()
            with self._lock:
                self._names.pop(number, None)
            return None
        return part


def join(address: str, name: str) -> tuple[socket.socket, int]:
    """A part's end: the connection, and the number of its node, from 1 on.

    Args:
        address: the value of `ADDRESS`.
        name: what people call this node.

    Raises:
        OSError: nobody answers there.
    """
    host, port, token = address.rsplit(":", 2)
    line = socket.create_connection((host, int(port)), timeout=PATIENCE)
    try:
        line.sendall(f"{token} {name}\n".encode())
        number = line.makefile().readline()
        if not number.strip():
            raise ConnectionError(f"{host}:{port} does not know this node")
    except BaseException:
        line.close()
        raise
    line.settimeout(None)
    keep_alive(line)
    return line, int(number)


def wait_for_end(line: socket.socket) -> None:
    """Return once the other side has gone."""
    while _received(line):
        continue


def keep_alive(line: socket.socket) -> None:
    """Have the kernel find out within a minute that the other machine is dead."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def own_address() -> str:
    """This machine's address in the network that its packets leave by; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("8.8.8.8", 1))
        return str(probe.getsockname()[0])
    with contextlib.suppress(OSError):
        return socket.gethostbyname(socket.gethostname())
    return "127.0.0.1"


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(4096)
    except OSError:
        return b""
