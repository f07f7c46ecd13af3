"""`calls`: how the calls compare with the gold turn's, by a rule of one's own."""

from __future__ import annotations

from functools import partial

from toolrl_cli.rewards.calls.call_share import KEYS, read
from toolrl_cli.rewards.component_kind import ComponentKind

CALLS = ComponentKind("calls", partial(read, "calls"), keys=KEYS, position=5)
