"""What one task does to another, judged over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HELPS = "helps"
HURTS = "hurts"
NEITHER = "neither"
UNCLEAR = "unclear"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Effect:
    """What training one task does to another.

    Attributes:
        source: The task that is trained.
        target: The task that it acts on.
        mean: Over the seeds.
        low: The smallest of the seeds.
        high: The largest.
        judgement: `HELPS` or `HURTS` if every seed says so and the mean is
            large enough to matter; `NEITHER` if the mean is not; `UNCLEAR` if
            it is and the seeds disagree; `UNKNOWN` if nothing was measured.
    """

    source: str
    target: str
    mean: float
    low: float
    high: float
    judgement: str

    @property
    def gain(self) -> float:
        """What is counted on: the mean, or 0 where nothing is clear."""
        return self.mean if self.judgement in (HELPS, HURTS) else 0.0


def judge_effects(
    values: Any, tasks: Sequence[str], matters: float
) -> list[Effect]:
    """Judges what was measured over some seeds.

    That S seeds agree by chance on an effect that is not there has a
    probability of 2 ** (1 - S); so an effect has to matter, too.

    Args:
        values: `(S, T, T)`; entry s, i, j is what task i does to task j.
        tasks: T names.
        matters: The size of a mean that counts.

    Returns:
        One for each ordered pair of different tasks.
    """
    effects = []
    for i, source in enumerate(tasks):
        for j, target in enumerate(tasks):
            if i == j:
                continue
            of_seeds = values[:, i, j]
            known = of_seeds[np.isfinite(of_seeds)]
            if not len(known):
                nothing = (math.nan, math.nan, math.nan, UNKNOWN)
                effects.append(Effect(source, target, *nothing))
                continue
            mean = float(known.mean())
            low, high = float(known.min()), float(known.max())
            if abs(mean) < matters:
                judgement = NEITHER
            elif low > 0:
                judgement = HELPS
            else:
                judgement = HURTS if high < 0 else UNCLEAR
            effects.append(Effect(source, target, mean, low, high, judgement))
    return effects


def gains(effects: Sequence[Effect], tasks: Sequence[str]) -> Any:
    """The matrix `(T, T)` that `group_tasks` wants."""
    index = {task: i for i, task in enumerate(tasks)}
    matrix = np.zeros((len(tasks), len(tasks)))
    for effect in effects:
        matrix[index[effect.source], index[effect.target]] = effect.gain
    return matrix
