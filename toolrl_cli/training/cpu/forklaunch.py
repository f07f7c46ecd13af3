"""Stand-in for the Python interpreter that Ray starts workers with: asks the fork host for a process.

Run as `python -I -S forklaunch.py SOCKET INTERPRETER ARGUMENTS…`, with what Ray would have given to the
interpreter. It imports little and nothing of toolrl, because it runs once for every worker. Where the host
does not serve it, it becomes the interpreter, and everything goes on as without a host, only slower.
"""

import array
import json
import os
import socket
import sys


def request(address: str, arguments: list) -> bool:
    """Have the host fork a process with these arguments and this process's streams; whether it did."""
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
    """Be served, or be the interpreter."""
    address, interpreter, *arguments = sys.argv[1:]
    # only Ray's workers are served: its agents and monitors need none of the imports
    worker = arguments and arguments[0].endswith(("setup_worker.py", "default_worker.py"))
    if worker and request(address, arguments):
        return
    os.execv(interpreter, [interpreter, *arguments])


if __name__ == "__main__":
    main()
