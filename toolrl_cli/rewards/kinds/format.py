"""`format`: whether the turn has the fields that its ground truth has."""

from __future__ import annotations

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Format

FORMAT = ComponentKind("format", lambda name, raw, where, base: Format(name), position=0)
