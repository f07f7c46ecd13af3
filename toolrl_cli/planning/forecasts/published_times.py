"""How long others say the paper's trainings took: the last resort where nothing has been measured here.

From reports on the web, not from the paper; none of them says what exactly was timed. Estimates made from them
are labelled so and have wide bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS = 105
RESPONSES = {"grpo": 512 * 4, "ppo": 512}
"""Responses a step in the paper's settings (Tables 8 and 9), which the reports say they followed."""
REACH = 2.5
SPREAD = 3.0
"""Factor between the expectation and either bound. Reports of one training differ by about 2."""


@dataclass(frozen=True)
class PublishedTime:
    """One report.

    Attributes:
        algorithm: `grpo` or `ppo`.
        parameters: of the model, in 10⁹.
        gpu_hours: GPUs × hours.
        steps: of the training.
        source: who and on what.
    """

    algorithm: str
    parameters: float
    gpu_hours: float
    steps: int
    source: str


TIMES = (
    PublishedTime("grpo", 1.54, 4 * 3.5, STEPS, "an independent reproduction, 4×H100"),
    PublishedTime("ppo", 1.54, 4 * 4.0, STEPS, "an independent reproduction, 4×H100"),
    PublishedTime("grpo", 3.09, 4 * 7.0, STEPS, "an independent reproduction, 4×H100"),
    PublishedTime("grpo", 3.09, 4 * 4.5, 100, "an independent reproduction, 4×A100-40G"),
    PublishedTime("ppo", 7.62, 2 * 16.0, STEPS, "a model card, 2×A100"),
)


def nearest_published(algorithm: str, parameters: float) -> PublishedTime | None:
    """The report on the same algorithm whose model is nearest in size, at most a factor 2.5 away.

    Args:
        algorithm: `grpo` or `ppo`.
        parameters: of the model.
    """
    alike = [time for time in TIMES if time.algorithm == algorithm]
    billions = parameters / 1e9

    def distance(time: PublishedTime) -> float:
        return max(billions / time.parameters, time.parameters / billions)

    nearest = min(alike, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) <= REACH else None
