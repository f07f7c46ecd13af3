"""The JSON Schema of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolrl_cli.rewards.component_kind import COMPONENT_KINDS
from toolrl_cli.rewards.components import FIDELITIES
from toolrl_cli.rewards.designs import AXES
from toolrl_cli.rewards.resolve import COMMON, COMPOSITION
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.sweeps import presets
from toolrl_cli.spec.sweeps.fields import SEED, schema_at
from toolrl_cli.spec.sweeps.sweep_file import SweepFile

Schema = dict[str, Any]

FREE = r"^(verl\.(rl|sft)|reward|data\.(limit|at_least)|rl\.gdpo_weights)\."
"""Dotted keys below which the run spec has no fields of its own."""


def sweep_schema() -> Schema:
    """The sweep file's schema; everything that holds settings completes and checks the keys of the run spec.

    The run spec's own requirements are not imposed on parts of it.
    """
    schema = SweepFile.model_json_schema()
    run = RunSpec.model_json_schema()
    blocks = run.pop("$defs", {})
    for block in blocks.values():
        block.pop("required", None)  # a setting may name any part of a block
        block["properties"] = {key: _or_interpolated(value) for key, value in block["properties"].items()}
        block["patternProperties"] = {r"\.": {}}  # deeper parts, dotted
    settings = _settings(run["properties"])
    same = {key: _ref(f"Settings/properties/{key}") for key in settings}
    lists = {key: {"type": "array", "minItems": 1, "items": value} for key, value in same.items()}
    conditions: Schema = {key: {} for key in settings}
    schema["$defs"] = {
        **blocks,
        **schema.get("$defs", {}),
        "Interpolation": {"type": "string", "pattern": r"\$\{"},
        "Reward": {
            "description": "a name, names joined by +, a file, or a composition",
            "anyOf": [{"type": "string"}, _composition()],
        },
        "Component": _component(),
        "Settings": _object("settings of a run, nested or dotted", settings),
        "Cell": _object("a cell of its own", {**same, "arm": {"type": ["string", "integer"]}}),
        "Condition": _object("settings and the value, or values, that they must have", conditions, 1),
        "Axes": _object(
            "settings and the values that they take", lists, free={"type": "array", "minItems": 1}
        ),
    }
    properties = schema["properties"]
    properties["base"] |= _ref("Settings")
    properties["arms"]["additionalProperties"] = _ref("Settings")
    for key in ("axes", "zip"):
        properties[key] = {"description": properties[key]["description"], **_ref("Axes")}
    properties["when"]["additionalProperties"] = _ref("Condition")
    properties["exclude"]["items"] = _ref("Condition")
    properties["include"]["items"] = _ref("Cell")
    properties["models"]["items"] = _model({"type": "object"})
    schema["$defs"]["OverSteps"]["properties"]["benchmark"] = {"enum": BENCHMARKS.names()}
    schema["$defs"]["OverSteps"]["required"] = ["benchmark", "every"]
    file = {"type": "string", "pattern": r"\.py$", "description": "an evaluation of one's own"}
    command = {
        "type": "object",
        "required": ["command"],
        "properties": {
            "command": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "name": {"type": "string"},
        },
        "additionalProperties": False,
    }
    entry = {"anyOf": [{"enum": BENCHMARKS.names()}, _ref("OverSteps"), file, command]}
    properties["evaluate"] |= {"items": entry, "uniqueItems": True}
    properties["tables"]["uniqueItems"] = True
    properties["seeds"]["anyOf"][0] |= {"minItems": 1, "uniqueItems": True}
    ablate = schema["$defs"]["Ablate"]["properties"]
    ablate["baseline"] |= _ref("Settings")
    ablate["change"] |= {"additionalProperties": _ref("Settings"), "minProperties": 1}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "toolrl sweep", **schema}


def _settings(properties: Mapping[str, Schema]) -> Schema:
    """Every setting of the run spec, nested and dotted, with the schema of its value."""
    one = {"enum": list(presets.names())}
    found: Schema = {
        **{key: _or_interpolated(value) for key, value in properties.items() if key != SEED},
        "model": _model(*properties["model"]["oneOf"]),
        "data": {"anyOf": properties["data"]["oneOf"]},  # a part of a block fits several kinds
        "reward": _ref("Reward"),
        "preset": {"anyOf": [one, {"type": "array", "items": one}]},
    }
    for key in properties:
        found |= _dotted((key,))
    return found


def _composition() -> Schema:
    """A reward as a mapping; parts of one, which are laid over another, too."""
    parts = {"type": "object", "additionalProperties": _ref("Component")}
    return {
        "type": "object",
        "properties": {
            **{key: {} for key in COMPOSITION},
            **{
                axis: _or_interpolated({"enum": list(values)})
                for axis, values in AXES.items()
                if axis != "length"
            },
            "length": {},
            "fidelity": _or_interpolated({"enum": list(FIDELITIES)}),
            "components": {"anyOf": [parts, _ref("Interpolation")]},
        },
        "patternProperties": {r"\.": {}},
        "additionalProperties": False,
    }


def _component() -> Schema:
    """A part of a composition: its keys follow from its kind."""
    kinds = COMPONENT_KINDS.all()
    every: Schema = {key: {} for key in [*COMMON, *(key for kind in kinds.values() for key in kind.keys)]}
    own = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"propertyNames": {"anyOf": [{"enum": [*COMMON, *kind.keys]}, {"pattern": r"\."}]}},
        }
        for name, kind in kinds.items()
    ]
    part = {
        "type": "object",
        "properties": {**every, "kind": _or_interpolated({"enum": list(kinds)})},
        "patternProperties": {r"\.": {}},
        "additionalProperties": False,
        "allOf": own,
    }
    return {"anyOf": [part, _ref("Interpolation"), {"type": "null"}]}


def _dotted(path: tuple[str, ...]) -> Schema:
    """`rl.steps`, `rl.lr`, … with their schemas; a block of several kinds has the keys of all."""
    found: Schema = {}
    for block in schema_at(path):
        for key, value in block.get("properties", {}).items():
            name = ".".join((*path, key))
            found[name] = _or_interpolated(value) if name not in found else {}
            found |= {k: v for k, v in _dotted((*path, key)).items() if k not in found}
    return found


def _or_interpolated(value: Schema) -> Schema:
    """A number or a word may also be an interpolation, `${base.rl.lr}`."""
    if value.get("type") in ("integer", "number", "boolean") or "enum" in value:
        told: Schema = {key: value[key] for key in ("description", "default") if key in value}
        return {"anyOf": [{k: v for k, v in value.items() if k not in told}, _ref("Interpolation")], **told}
    return value


def _model(*given: Schema) -> Schema:
    return {"anyOf": [{"enum": list(presets.model_names())}, {"type": "string"}, *given]}


def _object(description: str, properties: Schema, least: int = 0, free: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "patternProperties": {FREE: free or {}},
        "additionalProperties": False,
        **({"minProperties": least} if least else {}),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
