"""`exact`: whether the calls are the gold turn's; `calls` with all or nothing."""

from __future__ import annotations

from functools import partial

from toolrl_cli.rewards.calls.call_share import KEYS, read
from toolrl_cli.rewards.component_kind import ComponentKind

EXACT = ComponentKind("exact", partial(read, "exact"), keys=KEYS, position=5)
