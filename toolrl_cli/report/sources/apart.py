"""What tells imported runs apart: the settings by which runs of one name are several arms, and names of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from toolrl_cli.spec.run.run_spec import RunSpec

_NO_SETTINGS = frozenset({"seed", "resources"})
"""Parts of a dotted key that say nothing of what was trained."""


def parting(settings: Mapping[str, str], wandb: bool) -> dict[str, str]:
    """The settings that make another arm of a run under one name; never a seed.

    Args:
        settings: dotted key → value.
        wandb: whether W&B wrote them: there, what a run logged and W&B noted of it stands among the settings, and
            only keys that an experiment of toolrl has are taken.
    """
    # those hold each run's ids and folders
    known = RunSpec.model_fields.keys() - {"stages", "verl", "evaluate"}
    return {
        key: value
        for key, value in settings.items()
        if not _NO_SETTINGS.intersection(key.split(".")) and (not wandb or key.split(".")[0] in known)
    }


def differences(variants: Sequence[Mapping[str, str]]) -> list[str]:
    """For each of some settings, how they differ from the others, in few words: `model A`.

    Keys are taken in order, those of an experiment and short ones first, until all that can be told apart are.
    """

    def rank(key: str) -> tuple[bool, int, str]:
        return key.split(".")[0] not in RunSpec.model_fields, key.count("."), key

    keys = sorted({key for one in variants for key in one}, key=rank)
    told: list[list[str]] = [[] for _ in variants]
    count = 1
    for key in keys:
        longer = [[*before, f"{key} {one.get(key, '–')}"] for before, one in zip(told, variants, strict=True)]
        parts = len({tuple(one) for one in longer})
        if parts > count:
            told, count = longer, parts
    return [", ".join(one) for one in told]


def file_names(paths: Sequence[Path], taken: Collection[str] = ()) -> list[tuple[str, str]]:
    """A name for each file's sweep, and one for the file, that no other has: with folders only where it must be.

    Args:
        taken: names of sweeps that are reported beside them.
    """
    places = [path.absolute().parts for path in paths]
    found = []
    for parts in places:
        depth = next(
            (n for n in range(1, len(parts)) if sum(other[-n:] == parts[-n:] for other in places) == 1),
            len(parts),
        )
        found.append("/".join(parts[-depth:]))
    short = [name.removesuffix(path.suffix) for name, path in zip(found, paths, strict=True)]
    uses = Counter([*short, *taken])
    return [(s if uses[s] == 1 else name, name) for s, name in zip(short, found, strict=True)]
