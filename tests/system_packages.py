"""Install the Debian packages that a few tests use: a small TeX, a browser, and Slurm.

Needs apt-get and root. Where either is missing nothing is installed, and the tests that need the programs are
skipped with that reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PACKAGES = {
    "pdflatex": ("texlive-latex-base", "texlive-latex-recommended"),
    "chromium": ("chromium",),
    "slurmctld": ("slurmctld", "slurmd", "slurm-client", "munge"),
}


def main() -> int:
    """Install what is missing; 0 also where it cannot be installed."""
    missing = [p for program, packages in PACKAGES.items() if shutil.which(program) is None for p in packages]
    if not missing:
        return 0
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        print(f"not installed (needs apt-get and root): {', '.join(missing)}; their tests are skipped")
        return 0
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *missing]):
        done = subprocess.run([apt, *arguments], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(f"apt-get {arguments[0]} failed; the tests that need {', '.join(missing)} are skipped")
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
