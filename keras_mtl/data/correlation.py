"""Regressions whose correlation is chosen: the data of the MMoE paper."""

from typing import Any, NamedTuple

import numpy as np


class CorrelatedTasks(NamedTuple):
    """A problem from which examples can be drawn.

    Attributes:
        weights: `(2, d)`, the vectors w₁ and w₂ of equal length.
        frequencies: α, `(m,)`.
        phases: β, `(m,)`.
        noise: Standard deviation of the labels' noise.
    """

    weights: Any
    frequencies: Any
    phases: Any
    noise: float

    def draw(self, examples: int, seed: int) -> tuple[Any, dict[str, Any]]:
        """Inputs `(examples, d)` and labels `(examples,)`, as float32.

        Args:
            examples: How many.
            seed: Of inputs and noise.

        Returns:
            `x` and the labels of the tasks `"first"` and `"second"`.
        """
        generator = np.random.default_rng([1, seed])
        x = generator.normal(size=(examples, self.weights.shape[1]))
        projections = x @ self.weights.T
        waves = np.sin(
            self.frequencies * projections[..., np.newaxis] + self.phases
        )
        labels = projections + waves.sum(axis=-1)
        labels += generator.normal(scale=self.noise, size=labels.shape)
        first, second = labels.T.astype("float32")
        return x.astype("float32"), {"first": first, "second": second}


def correlated_tasks(
    correlation: float,
    seed: int,
    dimension: int = 100,
    waves: int = 5,
    scale: float = 1.0,
    noise: float = 0.1,
) -> CorrelatedTasks:
    """Draws two regressions that are related as closely as is wanted.

    With orthonormal u₁, u₂ and a correlation p,

        w₁ = c u₁,  w₂ = c (p u₁ + √(1 − p²) u₂),
        yₖ = wₖ·x + Σᵢ sin(αᵢ wₖ·x + βᵢ) + ε,  x ~ N(0, I).

    p is the cosine of the weight vectors, and so the correlation of the linear
    parts wₖ·x; that of the labels is another where there are waves.

    The paper gives the formulas, d = 100 and ε ~ N(0, 0.1²), but no values
    of c, α and β. Here c = 1, and αᵢ and βᵢ are drawn from N(0, 1), as
    re-implementations have done; they are the same for both tasks.

    Args:
        correlation: p, from -1 to 1.
        seed: Of u₁, u₂, α and β. Whatever the correlation is, one seed gives
            the same first task.
        dimension: d, at least 2.
        waves: m, the number of sines.
        scale: c, the length of w₁ and w₂.
        noise: Standard deviation of ε.

    Raises:
        ValueError: A correlation beyond ±1, or fewer than 2 dimensions.

    Example:
        >>> problem = correlated_tasks(0.5, seed=0)
        >>> x, y = problem.draw(1000, seed=1)
        >>> x.shape, y["second"].shape
        ((1000, 100), (1000,))
        >>> w1, w2 = problem.weights
        >>> round(float(w1 @ w2), 6)
        0.5

    Reference:
        Ma et al., "Modeling Task Relationships in Multi-task Learning with
        Multi-gate Mixture-of-Experts", KDD 2018, section 3.2.
    """
    if not -1 <= correlation <= 1:
        raise ValueError(
            "`correlation` must be from -1 to 1. Received: "
            f"correlation={correlation}"
        )
    if dimension < 2:
        raise ValueError(
            "`dimension` must be 2 or more, for two orthogonal vectors. "
            f"Received: dimension={dimension}"
        )
    # Not the stream of `draw`, whatever seeds are given.
    generator = np.random.default_rng([0, seed])
    u1, u2 = np.linalg.qr(generator.normal(size=(dimension, 2)))[0].T
    w2 = correlation * u1 + np.sqrt(1 - correlation**2) * u2
    return CorrelatedTasks(
        weights=scale * np.stack([u1, w2]),
        frequencies=generator.normal(size=waves),
        phases=generator.normal(size=waves),
        noise=noise,
    )
