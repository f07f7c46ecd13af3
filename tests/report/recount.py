"""A second calculation of what the report prints, from the files, by SciPy and plain loops.

It imports nothing of `toolrl_cli.report`: the rules are written down here a second time, as docs/report.md has them.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

Z = float(stats.norm.ppf(0.975))


@dataclass
class Counted:
    """One cell as recounted: what JSON should say of it, and what tests need."""

    fields: dict[str, Any]
    values: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    error: float | None = None
    step: float = 0.0
    conditions: str | None = None
    verdicts: dict[str, list[bool]] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        return len(self.values) > 1 and max(self.values) - min(self.values) > 1e-9


def evaluations(root: Path, sweep: str, benchmark: str) -> dict[str, dict[int, Path]]:
    """Arm → seed → folder of its evaluation, as planned."""
    plan = json.loads((root / "sweeps" / sweep / "plan.json").read_text())
    found: dict[str, dict[int, Path]] = {}
    for run in plan["runs"]:
        for stage in run["stages"]:
            if stage.startswith(f"{run['arm']}-evaluate".replace("_", "-")):
                found.setdefault(run["arm"], {})[run["seed"]] = root / "stages" / "evaluate" / stage
    return found


def count_cell(folders: Mapping[int, Path], metric: str, category: str | None, places: int) -> Counted:
    """One arm in one column."""
    values, seeds, halves, totals = [], [], [], []
    verdicts: dict[str, list[bool]] = {}
    conditions = set()
    for seed, folder in sorted(folders.items()):
        path = folder / "output" / "scores.json"
        if not path.is_file():
            continue
        scores = json.loads(path.read_text())
        entry = scores["metrics"].get(metric, {"value": None})
        if entry["value"] is None:
            continue
        conditions.add(json.dumps([scores[k] for k in ("protocol", "data_fingerprint", "sampling")]))
        values.append(round(100 * entry["value"], 10))
        seeds.append(seed)
        if entry.get("total"):
            share = stats.binomtest(entry["correct"], entry["total"]).proportion_ci(method="wilson")
            halves.append(50 * (share.high - share.low))
            totals.append(entry["total"])
        items = folder / "output" / "items.jsonl"
        for line in items.read_text().splitlines() if items.is_file() else ():
            row = json.loads(line)
            if row["correct"] is not None and category in (None, row["category"]):
                verdicts.setdefault(row["id"], []).append(row["correct"])
    empty = {
        "mean": None,
        "ci": None,
        "n": 0,
        "planned": len(folders),
        "best": False,
        "second": False,
        "star": False,
    }
    if not values or len(conditions) > 1:
        return Counted({**empty, "seeds": seeds})
    n, mean = len(values), math.fsum(values) / len(values)
    whole = len(halves) == n
    error = max(halves) / Z if whole else None
    found: dict[str, Any] = {**empty, "mean": round(mean, places), "n": n, "seeds": seeds}
    found["ci_items"] = round(max(halves), places) if whole else None
    if n >= 3 and max(values) - min(values) > 1e-9:
        low, high = stats.t.interval(0.95, n - 1, mean, stats.sem(values))
        found["ci"] = round((high - low) / 2, places)
        found["low"], found["high"] = round(max(low, 0.0), places), round(min(high, 100.0), places)
        if error is not None:
            seed = stats.sem(values) ** 2
            df = (seed + error**2) ** 2 / (seed**2 / (n - 1))
            found["ci_with_items"] = round(stats.t.ppf(0.975, df) * math.sqrt(seed + error**2), places)
    step = 100 / min(totals) if whole else 10.0**-places
    return Counted(found, values, seeds, error, step, conditions.pop(), verdicts)


def over_seeds(a: Counted, b: Counted) -> dict[str, Any] | None:
    """The test of a - b over seeds by the rules of the documentation."""
    found = parts_of(a, b)
    if found is None:
        return None
    parts, words = found
    return _tested(parts, words, float(np.mean(a.values) - np.mean(b.values)))


def over_models(pairs: Sequence[tuple[Counted, Counted]]) -> dict[str, Any] | None:
    """The mean of several models' differences, each with equal weight."""
    found = [parts_of(a, b) for a, b in pairs]
    if not found or any(one is None for one in found):
        return None
    parts = [(v / len(pairs) ** 2, df) for one in found if one is not None for v, df in one[0]]
    return _tested(parts, [], float(np.mean([np.mean(a.values) - np.mean(b.values) for a, b in pairs])))


def parts_of(a: Counted, b: Counted) -> tuple[list[tuple[float, float]], list[str]] | None:
    """Variances and degrees of freedom of the error of a difference, and what they are of."""
    if min(len(a.values), len(b.values)) < 3:
        return None
    if set(a.seeds) == set(b.seeds) and len(a.seeds) >= 5 and a.varies and b.varies:
        theirs = dict(zip(b.seeds, b.values, strict=True))
        gains = [v - theirs[s] for s, v in zip(a.seeds, a.values, strict=True)]
        variance = max(np.var(gains, ddof=1), (a.step**2 + b.step**2) / 12)
        parts = [(variance / len(gains), len(gains) - 1)]
        words = ["paired by seed"]
    else:
        parts, words = [], []
        for side in sorted((a, b), key=lambda s: not s.varies):
            if side.varies:
                parts.append((np.var(side.values, ddof=1) / len(side.values), len(side.values) - 1))
                words.append("Welch")
            elif side.error:
                parts.append((side.error**2, math.inf))
                words.append("items' error")
            else:
                return None
    return parts, words


def _tested(parts: Sequence[tuple[float, float]], words: Sequence[str], difference: float) -> dict[str, Any]:
    variance = sum(v for v, _ in parts)
    below = sum(v * v / df for v, df in parts)
    law = stats.t(variance**2 / below) if below else stats.norm
    half = law.ppf(0.975) * math.sqrt(variance)
    return {
        "difference": difference,
        "low": max(-100.0, difference - half),
        "high": min(100.0, difference + half),
        "p": 2 * float(law.sf(abs(difference) / math.sqrt(variance))),
        "test": " and ".join(dict.fromkeys(words)),
    }


def over_items(a: Counted, b: Counted) -> dict[str, Any] | None:
    """The test of a - b over common items: signs flipped one by one (or drawn, where there are too many)."""
    common = sorted(a.verdicts.keys() & b.verdicts.keys())
    if len(common) < 2 or a.error is None or b.error is None:
        return None
    gains = [np.mean(a.verdicts[i]) - np.mean(b.verdicts[i]) for i in common]
    n, total = len(gains), sum(gains)
    moved = [g for g in gains if abs(g) > 1e-12]
    if len(moved) <= 12:
        sums = [abs(sum(s * g for s, g in zip(signs, moved, strict=True)))
                for signs in itertools.product((1, -1), repeat=len(moved))]  # fmt: skip
        p, slack = float(np.mean([s >= abs(total) - 1e-9 for s in sums])), 1e-9
    else:
        signs = np.random.default_rng(0).choice([1, -1], (40_000, len(moved)))
        p, slack = float((abs(signs @ np.array(moved)) >= abs(total) - 1e-9).mean()), 0.012
    centre = total / (n + 2)
    half = Z * math.sqrt(((sum(g * g for g in gains) + 2) / (n + 2) - centre**2) / (n + 2))
    ends = [100 * total / n, 100 * max(-1, centre - half), 100 * min(1, centre + half)]
    more = [sum(g > 1e-12 for g in gains), sum(g < -1e-12 for g in gains)]
    sign = stats.binomtest(more[0], sum(more)).pvalue if sum(more) else 1.0
    return {"ends": ends, "p": p, "slack": slack, "more": more, "sign": sign, "n": n}


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p by Holm's definition: the largest of (m - rank) p over all that are no larger."""
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    rank = {int(i): r for r, i in enumerate(order)}
    return [
        min(1.0, max((m - rank[j]) * p_values[j] for j in range(m) if rank[j] <= rank[i])) for i in range(m)
    ]


def mark(group: Sequence[Counted]) -> None:
    """Best and second of one column of one group: by printed means of whole rows of three seeds or more."""
    if len({c.conditions for c in group if c.conditions is not None}) > 1:
        return
    taking = [c for c in group if c.fields["n"] >= 3 and c.fields["n"] == c.fields["planned"]]
    means = sorted({c.fields["mean"] for c in taking}, reverse=True)
    for c in taking if len(means) > 1 else ():
        c.fields["best"], c.fields["second"] = c.fields["mean"] == means[0], c.fields["mean"] == means[1]


def power_of(difference: float, sd: float, n: int, level: float, paired: bool) -> float:
    """The chance that a t test finds a difference, by numerical integration over what Welch's df can be."""
    df, delta = (
        (n - 1, difference / (sd / math.sqrt(n)))
        if paired
        else (2 * (n - 1), difference / (sd * math.sqrt(2 / n)))
    )
    if paired:
        critical = stats.t.ppf(1 - level / 2, df)
        return float(stats.nct.sf(critical, df, delta) + stats.nct.cdf(-critical, df, delta))
    u = (np.arange(400) + 0.5) / 400
    share = stats.beta.ppf(u, (n - 1) / 2, (n - 1) / 2)  # of one arm's variance in the sum of both
    welch = (n - 1) / (share**2 + (1 - share) ** 2)
    critical = stats.t.ppf(1 - level / 2, welch)
    return float(np.mean(stats.nct.sf(critical, df, delta)))
