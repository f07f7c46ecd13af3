"""The versions that installed packages ask of each other: what `pyproject.toml` declares is stated only there."""

from __future__ import annotations

import shlex
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement


def declared(name: str) -> Requirement:
    """What toolrl-cli asks of a package; any version where toolrl-cli itself is not installed."""
    return requirement("toolrl-cli", name) or Requirement(name)


def requirement(owner: str, name: str) -> Requirement | None:
    """The range that a package asks of another, in an extra or not; None where it is not installed or has none."""
    try:
        lines = metadata.requires(owner) or []
    except metadata.PackageNotFoundError:
        return None
    for line in lines:
        try:
            found = Requirement(line)
        except InvalidRequirement:
            continue
        if found.name == name and found.specifier:
            return found
    return None


def pip_install(wanted: Requirement, *options: str) -> str:
    """The command that installs a version in range."""
    return shlex.join(["pip", "install", *options, str(wanted)])
