"""Program that Ray starts instead of the Python interpreter: it requests a forked worker from the fork host.

Run as `python -I -S forklaunch.py SOCKET INTERPRETER ARGUMENTS…`, with the arguments that Ray gives to the
interpreter. It runs once for every worker, so it imports little, and nothing of toolrl. If the host refuses, it
executes the interpreter, which only takes longer.
"""

import array
import json
import os
import socket
import sys


def request(address: str, arguments: list) -> bool:
    """Ask the host to fork a process with these arguments and this process's streams; returns whether it did."""
    # pathlib would take longer to import than everything else here
    fields = {"arguments": arguments, "environment": dict(os.environ), "cwd": os.getcwd()}  # noqa: PTH109
    message = json.dumps(fields).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(address)
            streams = array.array("i", [0, 1, 2])
            header = len(message).to_bytes(4, "big")
            connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
            connection.sendall(message)
            return connection.recv(1) == b"+"
    except OSError:
        return False


def main() -> None:
    """Wait for the forked worker, or execute the interpreter."""
    address, interpreter, *arguments = sys.argv[1:]
    # for Ray's workers only: its agents and monitors need none of the imports
    worker = arguments and arguments[0].endswith(("setup_worker.py", "default_worker.py"))
    if worker and request(address, arguments):
        return
    os.execv(interpreter, [interpreter, *arguments])


if __name__ == "__main__":
    main()
