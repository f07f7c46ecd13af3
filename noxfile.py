"""The project's jobs, each in an environment of its own: `python3 -m nox -s NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
DEV = nox.project.dependency_groups(PROJECT, "dev")
BENCH = nox.project.dependency_groups(PROJECT, "bench")
CODE = ("toolrl_cli", "tests", "benches", "noxfile.py")


def install(session: nox.Session, *more: str) -> None:
    """The project (editable) and what a job needs besides."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        session.error(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is not supported: verl's dependencies have "
            "builds for 3.10 to 3.12; run nox with one of these"
        )
    session.install("-e", ".", *more)


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train and evaluate the quickstart's arms on CPU and print the comparison table."""
    install(session)
    session.run("toolrl", "sweep", "sweeps/quickstart.yaml", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Ruff, mypy, then every test, the real trainers included; `-- -m 'not e2e'` leaves those out."""
    install(session, *DEV)
    session.run("python", "tests/system_packages.py")
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    session.run("mypy")
    session.run("pytest", "-n", "2", *session.posargs)  # two: the trainers in one, all else in the other


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff alone, without the project's dependencies."""
    session.install(*[d for d in DEV if d.startswith("ruff")])
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)


@nox.session
def coverage(session: nox.Session) -> None:
    """Share of lines that the tests that train nothing run, by room; not in `tests`, which it makes twice as long."""
    install(session, *DEV)
    session.run("python", "tests/system_packages.py")
    session.run("pytest", "-n", "2", "-m", "not e2e", "--cov=toolrl_cli", "--cov-report=", *session.posargs)
    session.run("python", "tests/coverage_by_room.py")


@nox.session
def types(session: nox.Session) -> None:
    """mypy; strict in all rooms but those that pyproject leaves out."""
    install(session, *DEV)
    session.run("mypy")


@nox.session
def benches(session: nox.Session) -> None:
    """Every speed measurement beside its peer; results are printed, not judged."""
    install(session, *DEV, *BENCH)
    for bench in sorted(ROOT.glob("benches/bench_*.py")):
        session.run("python", str(bench), *session.posargs)
