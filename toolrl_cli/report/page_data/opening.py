"""Where the page opens: a table's baseline beside its best arm."""

from __future__ import annotations

from toolrl_cli.report.model import Table
from toolrl_cli.report.table_spec import TableSpec


def opens_on(table: Table, spec: TableSpec | None) -> tuple[int, int]:
    """Positions of the baseline and of the best other row with it, by the primary or else the last column.

    Without a baseline the first row with a value stands for it.
    """
    if not table.columns:
        return 0, 0
    primary = spec.primary if spec is not None and spec.primary else table.columns[-1].name
    head = next((h for h in table.columns if h.name == primary), table.columns[-1])
    means = {i: row.cells[head.name].mean for i, row in enumerate(table.rows)}
    known = {i: mean for i, mean in means.items() if mean is not None}
    named = [i for i, row in enumerate(table.rows) if spec is not None and row.named(spec.baseline)]
    base = next((i for i in named if i in known), next(iter(known), 0))
    group = table.rows[base].group if table.rows else ""
    others = [i for i in known if i != base and table.rows[i].group == group] or [
        i for i in known if i != base
    ]
    sign = -1 if head.direction == "lower" else 1
    best = max(others, key=lambda i: sign * known[i], default=base if len(table.rows) < 2 else 1 - base)
    return base, best
