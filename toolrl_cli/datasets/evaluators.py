"""Released evaluators: Python packages that pin what toolrl's own environment cannot have, each in one of its own.

bfcl-eval pins numpy 1.26 and a dozen clients of services, which verl's environment cannot hold and scoring never
imports. So the package is installed without them, beside the few that its checkers and simulators do import, and is
compared with the released one to the byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.errors import SpecError

LICENCE = "Apache-2.0"
INSTALL_SECONDS = 900.0


@dataclass(frozen=True)
class Evaluator:
    """One release of an evaluator.

    Attributes:
        name: of the released data that its package holds.
        package: name of the distribution.
        release: its version.
        module: the folder that it installs.
        needs: what it imports while it evaluates, pinned, as `name==version`.
        digest: `digest_of` the installed folder.
    """

    name: str
    package: str
    release: str
    module: str
    needs: tuple[str, ...]
    digest: str

    def pins(self) -> tuple[str, ...]:
        """Everything that is installed, as pip's requirements."""
        return (f"{self.package}=={self.release}", *self.needs)


_PARSERS = ("tree-sitter==0.21.3", "tree-sitter-java==0.21.0", "tree-sitter-javascript==0.21.4")
_TOOLS = ("mpmath==1.3.0", "tenacity==9.0.0", "overrides==7.7.0")

EVALUATORS: Mapping[str, Evaluator] = {
    evaluator.name: evaluator
    for evaluator in (
        Evaluator(
            "bfcl",
            "bfcl-eval",
            "2025.6.8",
            "bfcl_eval",
            (*_PARSERS, *_TOOLS),
            "0c9c7fe34c239c31a1b06f2aab2d1d2a30d3c8fd8e1b3d316227c7b4b6ef8846",
        ),
        Evaluator(
            "bfcl_v4",
            "bfcl-eval",
            "2026.3.23",
            "bfcl_eval",
            (*_PARSERS, *_TOOLS, "filelock==3.20.0"),
            "299d9a686fd82ba2d5f8a24dbfc6a9e025ec17838b5b7f38ebc1040ec31c6223",
        ),
    )
}
"""Name of released data → the evaluator whose package holds them."""


def python_of(folder: Path) -> Path:
    """The interpreter of an evaluator's environment."""
    return folder / "bin" / "python"


def missing(evaluator: Evaluator, folder: Path) -> str:
    """What an environment lacks, in a few words; empty where it is the released evaluator."""
    if not folder.is_dir():
        return f"{evaluator.package} {evaluator.release} is not installed"
    if not python_of(folder).exists():
        return f"the Python that {evaluator.package} was installed for is gone"
    packages = _packages(folder)
    for pin in evaluator.pins():
        name, version = pin.split("==")
        if packages is None or not (packages / f"{name.replace('-', '_')}-{version}.dist-info").is_dir():
            return f"{name} {version} is missing"
    assert packages is not None
    if digest_of(packages / evaluator.module) != evaluator.digest:
        return f"the files of {evaluator.package} are not those of {evaluator.release}"
    return ""


def bring(
    evaluator: Evaluator,
    folder: Path,
    origin: Path | None = None,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Make an evaluator's environment, whole or not at all; one that is right is kept.

    Args:
        evaluator: which.
        folder: where; replaced if it is there and is not the evaluator.
        origin: a folder of wheels, used instead of the package index.
        tell: called with one line before anything is installed.

    Returns:
        `folder`.

    Raises:
        SpecError: pip cannot install it, or what it installs is not the pinned release.
        OSError: the file system refuses.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _only_maker(folder):
        if not missing(evaluator, folder):
            return folder
        making = folder.with_name(f".{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)  # of a maker that was killed; pip keeps what it downloaded
        try:
            tell(f"installing {evaluator.package} {evaluator.release} in an environment of its own")
            _install(evaluator, making, origin)
            lacks = missing(evaluator, making)
            if lacks:
                raise SpecError(f"{lacks} after it was installed", str(folder), _by_hand(evaluator))
            shutil.rmtree(folder, ignore_errors=True)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder


def digest_of(folder: Path) -> str:
    """SHA-256 over the names and contents of a package's files, compiled ones aside."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def _packages(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("lib/python3*/site-packages"))), None)


@contextlib.contextmanager
def _only_maker(folder: Path) -> Iterator[None]:
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(evaluator: Evaluator, folder: Path, origin: Path | None) -> None:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    packages = _packages(folder)
    assert packages is not None
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    argv += ["--no-deps", "--only-binary", ":all:", "--target", str(packages)]
    if origin is not None:
        argv += ["--no-index", "--find-links", str(origin)]
    try:
        done = subprocess.run(
            [*argv, *evaluator.pins()], capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        what = f"pip did not end within {INSTALL_SECONDS:.0f} s"
        raise SpecError(what, str(folder), _by_hand(evaluator)) from error
    if done.returncode:
        faults = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["pip failed"]
        raise SpecError(
            f"{evaluator.package} cannot be installed: {faults[-1]}",
            str(origin or "the package index"),
            _by_hand(evaluator),
        )


def _by_hand(evaluator: Evaluator) -> str:
    pins = " ".join(evaluator.pins())
    return (
        f"on a machine with the package index, same system and Python: pip download --no-deps -d WHEELS {pins}; "
        f"then toolrl data prepare {evaluator.name} --from WHEELS"
    )
