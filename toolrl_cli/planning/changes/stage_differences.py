"""What differs between two stages, field by field, and what kind of change each difference is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toolrl_cli.spec.run.training_settings import SftSpec
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.sweeps.fields import defaults
from toolrl_cli.training.models.model_fingerprint import PREFIX
from toolrl_cli.wording import cut

Group = Literal[
    "configuration",
    "row order",
    "exported precision",
    "data",
    "model",
    "fingerprint",
    "verl",
    "reward",
    "reward code",
    "input",
    "code",
]
EXPLANATIONS: Mapping[Group, str] = {
    "configuration": "other settings: another experiment",
    "row order": "the seed draws the order of the rows now; before, every seed was the same training",
    "exported precision": "what trained in fp32 is exported in fp32 now; before, it was rounded to bf16",
    "data": "the rows are others",
    "model": "it starts from another model",
    "fingerprint": "toolrl 0.1 read only the ends of weight files, so whether the model is the same cannot be told",
    "verl": "another version of the trainer",
    "reward": "the reward is composed otherwise",
    "reward code": "a source file of a component has changed",
    "input": "an earlier stage of its chain is another one",
    "code": "toolrl or a library has changed",
}
_OF_0_1 = re.compile("[0-9a-f]{16}")
ABSENT = "–"
LONGEST = 60


@dataclass(frozen=True)
class Difference:
    """One field that is not the same.

    Attributes:
        group: the kind of change.
        field: dotted path.
        old, new: its values as text; `–` where there is none.
    """

    group: Group
    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.field}: {self.old} → {self.new}"

    def to_json(self) -> dict[str, str]:
        """Stable keys."""
        return {"group": self.group, "field": self.field, "old": self.old, "new": self.new}


def identity_differences(old: StageSpec, new: StageSpec) -> list[Difference]:
    """What makes two stages of one kind two: fields of their identities, and their inputs.

    Where a fingerprint differs, the settings behind it are compared too, to say whether they were changed or
    the files were.
    """
    found = [
        Difference(_group(field, before, after), field, before, after)
        for field, before, after in compare(old.identity, new.identity)
    ]
    found += [
        Difference("input", f"inputs.{field}", before, after)
        for field, before, after in compare(old.inputs, new.inputs)
    ]
    explained = list(found)
    for group in ("data", "model"):
        if any(d.group == group for d in found):
            behind = compare(_settings(old, group), _settings(new, group))
            explained += [Difference(group, f"{group}.{field}", b, a) for field, b, a in behind]
            if not behind:
                explained.append(Difference(group, f"{group} files", "as they were", "changed"))
    return explained


def transport_differences(old: StageSpec, new: StageSpec) -> list[Difference]:
    """Settings that differ between two descriptions of the same stage; none of them changes its result.

    A setting that came later and stands at its default is no difference: nobody has set it.
    """
    now = dict(leaves(new.config))
    return [
        Difference("configuration", field, before, after)
        for field, before, after in compare(old.config, new.config)
        if not _place(field) and not (before == ABSENT and _at_default(field, now[field]))
    ]


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(dotted field, old value, new value) of the leaves that differ, in the order of the new mapping."""
    before, after = dict(leaves(old)), dict(leaves(new))
    fields = dict.fromkeys([*after, *before])
    return [
        (field, _text(before, field), _text(after, field))
        for field in fields
        if before.get(field, fields) != after.get(field, fields)
    ]


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of everything that is no mapping; an empty mapping is a value."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, list(value) if isinstance(value, tuple) else value


def grouped(differences: list[Difference]) -> dict[Group, list[Difference]]:
    """By kind of change, in the order of `EXPLANATIONS`."""
    groups = {group: [d for d in differences if d.group == group] for group in EXPLANATIONS}
    return {group: found for group, found in groups.items() if found}


_OF_VERSIONS: Mapping[str, Group] = {"shuffle": "row order", "dtype": "exported precision"}
"""Fields that a version of toolrl brought, and no setting does."""


def _group(field: str, old: str, new: str) -> Group:
    if field == "model.fingerprint" and new.startswith(PREFIX) and _OF_0_1.fullmatch(old):
        return "fingerprint"
    head = field.partition(".")[0]
    if field in _OF_VERSIONS:
        return _OF_VERSIONS[field]
    if head == "reward" and field.endswith(".sha256"):
        return "reward code"
    if head in ("data", "model", "verl", "reward"):
        return head  # type: ignore[return-value]
    return "configuration"


def _at_default(field: str, value: Any) -> bool:
    name = field.rpartition(".")[2]
    return any(
        key in known and known[key] == value
        for key, known in ((field, defaults()), (name, SftSpec.ADDED_LATER))
    )


def _place(field: str) -> bool:
    """Whether it only says where model, data or a user's component lie, whose content is part of the identity."""
    parts = field.split(".")
    return field in ("model.path", "model.name", "data.path") or (
        parts[:2] == ["reward", "components"] and parts[-1] in ("path", "module")
    )


def _settings(stage: StageSpec, name: str) -> Mapping[str, Any]:
    value = stage.config.get(name)
    return value if isinstance(value, Mapping) else {}


def _text(values: Mapping[str, Any], field: str) -> str:
    if field not in values:
        return ABSENT
    value = values[field]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return cut(text, LONGEST)
