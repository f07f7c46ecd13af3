"""Names and values of the reward curves of an RL run. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolrl_cli.rewards import Score


#: Key of the sum of all parts among a sample's numbers.
TOTAL = "total"
_VALIDATION = re.compile(r"^val-(?:aux|core)/[^/]+/(?P<key>.+)/mean@\d+$")


def sample_numbers(score: Score) -> dict[str, float]:
    """The `reward_extra_info` of one sample, which verl passes on.

    Keys are `<part>/raw`, `<part>/weight`, `<part>/weighted`, `total`, and `<part>/<key>` for the numbers that a user's
    function returned beside its value; not every sample has each of these.
    """
    numbers = {TOTAL: score.total}
    for name, part in score.parts.items():
        numbers[f"{name}/raw"] = part.raw
        numbers[f"{name}/weight"] = part.weight
        numbers[f"{name}/weighted"] = part.weighted
    numbers |= {key: each for key, each in score.beside.items() if not isinstance(each, str)}
    return numbers


def training_metrics(samples: Sequence[Mapping[str, float]], prompts: Sequence[str] = ()) -> dict[str, float]:
    """Curves of one training batch: `reward/<part>/{raw,weight,weighted}/mean`, `reward/total/{mean,std}`.

    And `reward/<part>/<key>/mean` over the samples that have it; where not all do, `…/share` is their share.

    Args:
        samples: `sample_numbers` of every sample.
        prompts: of which prompt each sample is; with them, `reward/total/alike` is the share of prompts with two or
            more samples that all earned the same.
    """
    if not samples:
        return {}
    metrics = {}
    for key in dict.fromkeys(key for sample in samples for key in sample):
        values = [sample[key] for sample in samples if key in sample]
        metrics[f"reward/{key}/mean"] = fmean(values)
        if len(values) < len(samples):
            metrics[f"reward/{key}/share"] = len(values) / len(samples)
    metrics[f"reward/{TOTAL}/std"] = pstdev(sample[TOTAL] for sample in samples)
    earned: dict[str, list[float]] = {}
    for prompt, sample in zip(prompts, samples, strict=False):
        earned.setdefault(prompt, []).append(sample[TOTAL])
    groups = [totals for totals in earned.values() if len(totals) > 1]
    if groups:
        metrics[f"reward/{TOTAL}/alike"] = fmean(max(totals) == min(totals) for totals in groups)
    return metrics


def validation_name(name: str) -> str | None:
    """toolrl's name of a metric that verl logs in validation; None for a metric that is not a reward curve.

    verl fixes the form `val-aux/<source>/<key>/mean@<n>`; `val-aux/toolworld/format/raw/mean@1` is
    `val-reward/format/raw/mean`. All rows have one data source, as everywhere in toolrl.
    """
    match = _VALIDATION.match(name)
    if match is None:
        return None
    key = match["key"]
    if key == TOTAL:
        return f"val-reward/{TOTAL}/mean"
    return f"val-reward/{key}/mean" if key.rpartition("/")[0] else None
