"""Soft sharing: a penalty that ties matching weights of towers."""

import difflib
import functools
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import PACKAGE
from keras_mtl.linalg.precision import at_least_float32
from keras_mtl.linalg.trace_norm import trace_norm


def _spread(rows: Any) -> Any:
    """Squared distances of rows `(T, p)` to their mean, summed."""
    return ops.sum(ops.square(rows - ops.mean(rows, axis=0, keepdims=True)))


def _pairwise(rows: Any) -> Any:
    """Squared distances between all pairs of rows `(T, p)`, summed."""
    return rows.shape[0] * _spread(rows)


_PENALTIES = {"l2": _pairwise, "mean": _spread, "trace_norm": trace_norm}


@keras.saving.register_keras_serializable(package=PACKAGE)
class SoftSharing:
    """A penalty on how far matching weights of towers lie apart.

    Given to `MultiTaskModel(..., weight_penalty=...)`, it is one of the
    model's losses in training and evaluation. W_t are a weight of the T
    matched layers, one a task; the penalty is summed over all weights:

    | `penalty` | formula |
    | --- | --- |
    | `"l2"` | `strength · Σ_{s<t} ‖W_s − W_t‖²` |
    | `"mean"` | `strength · Σ_t ‖W_t − W̄‖²`, W̄ the mean of the towers |
    | `"trace_norm"` | `strength · Σ_i σ_i` of the matrix `(T, p)` of all W_t |

    W̄ is the mean as it stands in every step. Distances between pairs sum up
    to T times those to the mean: `"l2"` is `"mean"` with a strength that
    grows with T.

    The trace norm flattens each W_t into one row ("last axis flattening" in
    the paper, which has two more forms), so that a low rank is found across
    tasks. As it pulls weights towards zero as well, it leaves out weights of
    one axis: biases, and the scales of normalization.

    Weights that are frozen in some towers stay and pull the others; those
    frozen in all, and moving averages, have no part.

    A nested model counts with all weights in it; a single layer in it is
    named by its path, as in `"a_net/low"`.

    Args:
        layers: Groups of matched layers, by name: one list for each block,
            with one layer a task. Layers of nested models are named
            `model/layer`.
        penalty: `"l2"`, `"mean"` or `"trace_norm"`.
        strength: Factor on the penalty, not negative.

    Raises:
        ValueError: No groups, groups of fewer than two layers, an unknown
            penalty, or a strength that is negative or not finite.

    Example:
        >>> import keras
        >>> from keras_mtl import MultiTaskModel
        >>> x = keras.Input((4,))
        >>> towers = {k: keras.layers.Dense(8, name=f"{k}_low") for k in "ab"}
        >>> model = MultiTaskModel(
        ...     x,
        ...     {k: keras.layers.Dense(1)(towers[k](x)) for k in "ab"},
        ...     weight_penalty=SoftSharing([["a_low", "b_low"]], strength=0.1),
        ... )
        >>> towers["a"].set_weights(towers["b"].get_weights())
        >>> float(model.losses[0])
        0.0

    Reference:
        `"l2"`: Duong, Cohn, Bird, Cook, "Low Resource Dependency Parsing:
        Cross-lingual Parameter Sharing in a Neural Network Parser", ACL 2015.
        `"mean"`: Evgeniou, Pontil, "Regularized Multi-Task Learning", KDD
        2004. `"trace_norm"`: Yang, Hospedales, "Trace Norm Regularised Deep
        Multi-Task Learning", ICLR workshop 2017, arXiv:1606.04038.
    """

    def __init__(
        self,
        layers: Sequence[Sequence[str]],
        penalty: str = "l2",
        strength: float = 0.01,
    ) -> None:
        if (
            isinstance(layers, str)
            or not layers
            or any(isinstance(g, str) or len(g) < 2 for g in layers)
        ):
            raise ValueError(
                "`layers` must be a list of groups of matched layers, each a "
                f"list of at least two names. Received: {layers!r}"
            )
        if penalty not in _PENALTIES:
            raise ValueError(
                f"`penalty` must be one of {', '.join(_PENALTIES)}. Received: "
                f"{penalty!r}"
            )
        if (
            not isinstance(strength, Real)
            or not 0 <= float(strength) < math.inf
        ):
            raise ValueError(
                "`strength` must be a finite number that is not negative. "
                f"Received: {strength!r}"
            )
        self.layers: list[list[str]] = [list(group) for group in layers]
        self.penalty: str = penalty
        self.strength: float = float(strength)

    def check(self, model: Any) -> None:
        """Makes sure that the layers are there and match.

        Args:
            model: The model whose layers are named.

        Raises:
            ValueError: An unknown layer, or layers whose weights have
                different shapes.
        """
        known = _paths(model)
        for group in self.layers:
            for name in group:
                if name not in known:
                    close = _close(name, known)
                    hint = f" Did you mean one of {close}?" if close else ""
                    raise ValueError(
                        "`weight_penalty` must name layers of the model. "
                        f"Received: {name!r}.{hint}"
                    )
            shapes = {
                name: [tuple(w.shape) for w in _layer(model, name).weights]
                for name in group
            }
            if any(shapes[name] != shapes[group[0]] for name in group):
                raise ValueError(
                    "`weight_penalty` must match layers that have weights of "
                    f"the same shapes. Received: {shapes}. Give the towers "
                    "the same blocks, or leave these out."
                )

    def __call__(self, model: Any) -> Any:
        """The penalty on the weights of a model, as a scalar.

        Args:
            model: The model whose layers are named.
        """
        penalties = (self._of_group(model, group) for group in self.layers)
        return self.strength * functools.reduce(ops.add, penalties)

    def by_layer(self, model: Any) -> dict[tuple[str, ...], float]:
        """The penalty of each group of layers, without `strength`.

        Args:
            model: The model whose layers are named.

        Returns:
            Numbers by the names in the group.
        """
        return {
            tuple(group): float(self._of_group(model, group))
            for group in self.layers
        }

    def _of_group(self, model: Any, group: list[str]) -> Any:
        total = ops.zeros(())
        towers = (_layer(model, name).weights for name in group)
        for matched in zip(*towers, strict=True):
            if not any(v.trainable for v in matched):
                continue
            if self.penalty == "trace_norm" and len(matched[0].shape) < 2:
                continue
            rows = ops.stack([ops.reshape(v, (-1,)) for v in matched])
            rows = at_least_float32(rows)
            total = ops.add(total, _PENALTIES[self.penalty](rows))
        return total

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "layers": self.layers,
            "penalty": self.penalty,
            "strength": self.strength,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SoftSharing":
        """The penalty that `get_config` described."""
        return cls(**config)


def _layer(model: Any, path: str) -> Any:
    """The layer at a path through nested models, `"model/layer"`."""
    for name in path.split("/"):
        model = model.get_layer(name)
    return model


def _paths(model: Any, start: str = "") -> list[str]:
    """Paths of all layers, of nested models and of the layers in them."""
    paths = []
    for layer in model.layers:
        paths.append(start + layer.name)
        if isinstance(layer, keras.Model):
            paths += _paths(layer, f"{start}{layer.name}/")
    return paths


def _close(name: str, known: list[str]) -> list[str]:
    """Paths that end in a name; if there are none, those spelt alike."""
    ending = [path for path in known if path.endswith(f"/{name}")]
    return ending[:3] or difflib.get_close_matches(name, known, n=3)
