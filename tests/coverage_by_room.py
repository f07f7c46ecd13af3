"""Print the share of lines that `.coverage` says were run, room by room; for `python3 -m nox -s coverage`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter


def main() -> int:
    """Print one line a room and one for all; the exit status of `coverage json`."""
    done = subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"], stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        return done.returncode
    lines: Counter[str] = Counter()
    run: Counter[str] = Counter()
    for name, file in json.loads(done.stdout)["files"].items():
        for room in (name.split("/")[1], "all"):
            lines[room] += file["summary"]["num_statements"]
            run[room] += file["summary"]["covered_lines"]
    for room in sorted(lines, key=lambda room: (room == "all", room)):
        print(f"{room:16} {run[room]:6} of {lines[room]:6} lines  {run[room] / max(lines[room], 1):4.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
