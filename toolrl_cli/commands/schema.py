"""`toolrl schema`: the JSON Schema of sweep files, for editors."""

from __future__ import annotations

from toolrl_cli.commands.options import print_json


def schema() -> None:
    """Print the JSON Schema of sweep files.

    Editors complete and check keys with it.
    """
    from toolrl_cli.spec.sweeps.schema import sweep_schema

    print_json(sweep_schema())
