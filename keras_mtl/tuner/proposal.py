"""What to try next, from a Gaussian process over what was tried.

A space is mixed: names without order, numbers on a log scale, and values that
exist only where another has been chosen. Candidates are therefore drawn, and
the most promising of them is taken, in place of an ascent along gradients.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine import hyperparameters as kinds
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

# Drawn from the whole space, and near the best trials.
_ANYWHERE, _NEAR = 400, 200
_BEST = 3
# How far a step is, where a parameter runs from 0 to 1.
_STEP = 0.15
# The variance of a result from seed to seed, where that of all trials is 1.
_NOISE = 0.05

Values = Mapping[str, Any]
Space = Sequence[Any]


def values_of(space: Space, choose: Callable[[Any], Any]) -> dict[str, Any]:
    """A value for each hyperparameter that is active.

    Args:
        space: Hyperparameters of KerasTuner; conditions name earlier ones.
        choose: Gives the value of one.
    """
    values: dict[str, Any] = {}
    for parameter in space:
        if _is_active(parameter, values):
            values[parameter.name] = choose(parameter)
    return values


def encoded(space: Space, values: Values) -> list[float]:
    """Values as a point: any two that differ in one name are 1 apart.

    A number runs from 0 to 1 over its range, on its scale. What is not active
    has its default, so that it tells nobody apart.
    """
    point: list[float] = []
    for parameter in space:
        if isinstance(parameter, kinds.Fixed):
            continue
        value = parameter.default
        if _is_active(parameter, values):
            value = values.get(parameter.name, value)
        if _has_names(parameter):
            point += [(value == name) / 2**0.5 for name in parameter.values]
        else:
            point.append(parameter.value_to_prob(value))
    return point


def candidates(
    space: Space, best: Sequence[Values], generator: np.random.Generator
) -> list[dict[str, Any]]:
    """Values to choose among: some from anywhere, some near good ones.

    Args:
        space: Hyperparameters of KerasTuner.
        best: The values of trials, the best first.
        generator: Draws.
    """

    def anywhere(parameter: Any) -> Any:
        return parameter.random_sample(int(generator.integers(1, 2**31)))

    def near(values: Values) -> dict[str, Any]:
        # One parameter moves, and sometimes more.
        chance = 1 / len(values)

        def moved(parameter: Any) -> Any:
            value = values.get(parameter.name)
            if value is None or _has_names(parameter):
                stays = value is not None and generator.random() > chance
                return value if stays else anywhere(parameter)
            if generator.random() > chance:
                return value
            place = parameter.value_to_prob(value) + _STEP * generator.normal()
            return parameter.prob_to_value(float(np.clip(place, 0, 1)))

        return values_of(space, moved)

    found = [values_of(space, anywhere) for _ in range(_ANYWHERE)]
    starts = best[:_BEST]
    return found + [near(starts[i % len(starts)]) for i in range(_NEAR)]


def normal_scores(scores: Sequence[float]) -> Any:
    """Quantiles of the normal distribution, in the order of the scores.

    So a trial that has diverged is the last of all, and no farther from the
    others than that. By its value, the differences among good trials, which
    are what matters, would look like none.

    Args:
        scores: More is better; `-inf` for a trial that failed.
    """
    ranks = stats.rankdata(scores)
    return stats.norm.ppf((ranks - 0.5) / len(ranks))


def most_promising(
    tried: Any, scores: Any, pending: Any, points: Any, seed: int
) -> int:
    """The point with the largest expected improvement.

    Args:
        tried: Points of trials that have ended `(n, d)`.
        scores: Theirs `(n,)`, about standard normal.
        pending: Points of trials that others run `(m, d)`: what is expected
            of them is taken for what they find.
        points: Those to choose among `(k, d)`.
        seed: Of the fit.

    Returns:
        Its row.
    """
    process = GaussianProcessRegressor(
        # A length scale for each coordinate: some matter little.
        Matern(
            nu=2.5,
            length_scale=np.ones(np.shape(tried)[1]),
            length_scale_bounds=(0.2, 5.0),
        ),
        alpha=_NOISE,
        n_restarts_optimizer=2,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # Few trials leave a length scale at its bound.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(tried, scores)
    if len(pending):
        process = GaussianProcessRegressor(
            process.kernel_, alpha=_NOISE, optimizer=None
        ).fit(
            np.concatenate([tried, pending]),
            np.concatenate([scores, process.predict(pending)]),
        )
    mean, deviation = process.predict(points, return_std=True)
    best = process.predict(tried).max()
    deviation = np.maximum(deviation, 1e-9)
    ahead = (mean - best) / deviation
    gain = deviation * (ahead * stats.norm.cdf(ahead) + stats.norm.pdf(ahead))
    return int(np.argmax(gain))


def _is_active(parameter: Any, values: Values) -> bool:
    return all(c.is_active(values) for c in parameter.conditions)


def _has_names(parameter: Any) -> bool:
    """Whether its values have no order."""
    if isinstance(parameter, kinds.Choice):
        return not parameter.ordered
    return isinstance(parameter, kinds.Boolean)
