"""The JSON Schema of a sweep file."""

from __future__ import annotations

from typing import Any

from toolrl_cli.spec import presets
from toolrl_cli.spec.benchmarks import BENCHMARKS
from toolrl_cli.spec.models import RunSpec
from toolrl_cli.spec.sweep import SweepFile


def sweep_schema() -> dict[str, Any]:
    """The sweep file's schema; `base` and the arms complete the keys of the run spec.

    The run spec's own requirements are not imposed on parts of it, and dotted keys stay free.
    """
    schema = SweepFile.model_json_schema()
    run = RunSpec.model_json_schema()
    definitions = {**run.pop("$defs", {}), **schema.get("$defs", {})}
    for definition in definitions.values():
        definition.pop("required", None)  # a setting may name any part of a block
    properties = dict(run["properties"])
    properties["model"] = {
        "anyOf": [{"enum": list(presets.model_names())}, {"type": "string"}, properties["model"]]
    }
    properties["reward"] = {
        "type": ["string", "object"],
        "description": "a name, names joined by +, a file, or a composition",
    }
    one = {"enum": list(presets.names())}
    properties["preset"] = {"anyOf": [one, {"type": "array", "items": one}]}
    definitions["Settings"] = {
        "type": "object",
        "description": "settings of a run, nested or dotted",
        "properties": properties,
        "patternProperties": {r"\.": {}},
        "additionalProperties": False,
    }
    reference = {"$ref": "#/$defs/Settings"}
    schema["properties"]["base"] |= {"$ref": "#/$defs/Settings"}
    schema["properties"]["arms"]["additionalProperties"] = reference
    ablate = definitions["Ablate"]["properties"]
    ablate["baseline"] |= reference
    ablate["change"]["additionalProperties"] = reference
    models = {"anyOf": [{"enum": list(presets.model_names())}, {"type": "string"}, {"type": "object"}]}
    schema["properties"]["models"]["items"] = models
    schema["properties"]["evaluate"]["items"] = {"enum": list(BENCHMARKS)}
    schema["$defs"] = definitions
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "toolrl sweep", **schema}
