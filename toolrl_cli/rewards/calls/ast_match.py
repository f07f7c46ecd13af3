"""BFCL's check of a call against accepted values: every parameter known, of its type, and one of its accepted values.

As ShishirPatil/gorilla@6ea5797 checks Python's calls (bfcl_eval/eval_checker/ast_eval/ast_checker.py), whose types may
also be JSON Schema's. A parameter without a type has any; one level of lists is looked into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.rewards.calls.equality import folded
from toolrl_cli.rewards.calls.style import Call
from toolrl_cli.rewards.errors import shown

LEFT_OUT = ""
"""Among accepted values: the parameter, or the key, may be left out."""
TYPES: Mapping[Any, type] = {
    **{"string": str, "any": str, "integer": int, "float": float, "number": float, "boolean": bool},
    **{"array": list, "tuple": list, "dict": dict, "object": dict},
}


@dataclass(frozen=True)
class Accepted:
    """What a parameter may have.

    Attributes:
        values: any of these; in a mapping every key has a list of values again.
        optional: it may be left out.
    """

    values: Sequence[Any]
    optional: bool


def accepted_only(value: Any) -> Accepted:
    """The value of a gold call as the only one that is accepted."""
    return Accepted([_alone(value)], optional=False)


def _alone(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: [each] for key, each in value.items()}
    if isinstance(value, list):
        return [_alone(each) if isinstance(each, Mapping) else each for each in value]
    return value


def fault_of(name: str, accepted: Mapping[str, Accepted], schema: Mapping[str, Any], call: Call) -> str:
    """Why a call does not pass; empty where it does.

    Args:
        name: of the wanted tool.
        accepted: parameter → what it may have.
        schema: JSON schema of the tool's parameters.
        call: the predicted one.
    """
    if call.name != name:
        return f"calls {call.name} and not {name}"
    lacks = [key for key in schema.get("required") or () if key not in call.arguments]
    lacks += [key for key, may in accepted.items() if not may.optional and key not in call.arguments]
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    for key, value in call.arguments.items():
        if lacks:
            break
        if key not in known or key not in accepted:
            return f"{key} is no parameter that is wanted"
        if not _passes(value, accepted[key].values, known[key]):
            return f"{key}: {shown(value)} is not accepted"
    return f"lacks {lacks[0]}" if lacks else ""


def _passes(value: Any, accepted: Sequence[Any], schema: Any) -> bool:
    wanted = _declared(schema)
    own = _type_of(accepted)
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is None:
        wanted = type(value)
    elif type(value) is not wanted:
        # a variable's name, say, where a number is wanted
        return own is not None and type(value) is own and value in accepted
    inner = _declared(schema.get("items")) if wanted is list and isinstance(schema, Mapping) else None
    if inner is not None and not any(_all_of(value, inner, each) for each in accepted):
        return False
    if own is not None and own is not wanted:
        return value in accepted
    if wanted is dict:
        return any(_dict_passes(value, each) for each in accepted)
    if inner is dict:
        return any(_dicts_pass(value, each) for each in accepted)
    if wanted is str:
        return folded(value) in [folded(each) for each in accepted if isinstance(each, str)]
    if wanted is list:
        return _folded_items(value) in [
            _folded_items(each) for each in accepted if isinstance(each, (list, str))
        ]
    return value in accepted


def _declared(schema: Any) -> type | None:
    """The type that a schema declares; None where it declares none, or several."""
    named = schema.get("type") if isinstance(schema, Mapping) else None
    return TYPES.get(named) if isinstance(named, str) else None


def _type_of(accepted: Sequence[Any]) -> type | None:
    return next((type(each) for each in accepted if each != LEFT_OUT), None)


def _all_of(values: Sequence[Any], wanted: type, accepted: Any) -> bool:
    """Whether the items of a list have the type, or that of an accepted list's items."""
    if not isinstance(accepted, list):
        return True
    return all(type(each) in (wanted, _type_of(accepted)) for each in values)


def _folded_items(values: Sequence[Any]) -> list[Any]:
    return [folded(each) if isinstance(each, str) else each for each in values]


def _dict_passes(value: Any, accepted: Any) -> bool:
    if not isinstance(accepted, Mapping) or not isinstance(value, Mapping):
        return False
    for key, each in value.items():
        known = accepted.get(key)
        if not isinstance(known, list) or _folded_items([each])[0] not in _folded_items(known):
            return False
    return all(key in value or LEFT_OUT in known for key, known in accepted.items())


def _dicts_pass(values: Sequence[Any], accepted: Any) -> bool:
    return (
        isinstance(accepted, (list, str))
        and len(values) == len(accepted)
        and all(map(_dict_passes, values, accepted))
    )
