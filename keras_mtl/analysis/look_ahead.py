"""Looks at the tasks of a model while it trains, without touching it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_mtl.tasks.task_set import check_keys
from keras_mtl.training import MultiTaskModel
from keras_mtl.training.backends import backend


@dataclass(frozen=True)
class Look:
    """What was seen on one batch.

    Attributes:
        step: Optimizer steps that the model had done.
        losses: Losses without weights `(T,)`.
        present: Which tasks had a label `(T,)`.
        ahead: The losses `(T, T)` after a step for one task: row i after one
            for task i.
        grams: Gram matrices `(V, T, T)` of the tasks' gradients, one for each
            shared variable.
    """

    step: int
    losses: Any
    present: Any
    ahead: Any
    grams: Any

    @property
    def gram(self) -> Any:
        """The Gram matrix `(T, T)` over all shared variables."""
        return self.grams.sum(axis=0)


class LookAhead:
    """Sees what a step for one task alone would do to the loss of each task.

    For each task i the shared variables θ take one step,

        θ_i = θ − η ∇_θ w_i L_i(θ),

    all losses are taken on the same batch at θ_i, heads as they are, and θ is
    put back. Nothing of the model changes: moving averages and random state
    are put back too, so that every loss sees the same dropout. The first call
    compiles; after that one look costs about as much as T training steps.

    Args:
        model: A compiled `MultiTaskModel` with shared variables.
        weights: Factors w on the losses by task, as the training has them;
            by default those that the model was compiled with.
        rate: η; by default the optimizer's learning rate of the moment.

    Raises:
        ValueError: A model that shares nothing or is not compiled.

    Example:
        >>> import numpy as np
        >>> from keras_mtl import Task, builders
        >>> model = builders.hard_sharing(
        ...     keras.Input((4,)),
        ...     [Task("a", "binary"), Task("b", "binary")],
        ...     [keras.layers.Dense(8, activation="relu", name="low")],
        ... )
        >>> model.compile("adam")
        >>> look_ahead = LookAhead(model)
        >>> y = {"a": np.ones(16), "b": np.zeros(16)}
        >>> look = look_ahead(np.ones((16, 4), "float32"), y)
        >>> look.ahead.shape
        (2, 2)
    """

    def __init__(
        self,
        model: MultiTaskModel,
        weights: Mapping[str, float] | None = None,
        rate: float | None = None,
    ) -> None:
        if not isinstance(model, MultiTaskModel) or not model.compiled:
            raise ValueError(
                "`model` must be a compiled keras_mtl.MultiTaskModel. "
                f"Received: {type(model).__name__}. Call its `compile` first."
            )
        if not model.partition.shared:
            raise ValueError(
                "`model` must share trainable variables between tasks, for "
                f"there is nothing to look at. Received: {model.name!r}, in "
                "which each task has its own."
            )
        self.model, self.rate = model, rate
        self.tasks: list[str] = list(model.tasks or ())
        if weights is not None:
            check_keys(weights, self.tasks, argument="weights", all_needed=True)
            self.weights = np.array(
                [weights[name] for name in self.tasks], "float32"
            )
        else:
            self.weights = keras.ops.convert_to_numpy(model.loss_weight_vector)
        # The model's layer, or block, that each shared variable belongs to.
        self.layers = [v.path.partition("/")[0] for v in model.partition.shared]
        self._look = backend().look_ahead(model)

    def __call__(self, x: Any, y: Any, sample_weight: Any = None) -> Look:
        """One look, on one batch of training data.

        Args:
            x: Inputs.
            y: Labels by task.
            sample_weight: None, or weights by task or for all.
        """
        optimizer = self.model.optimizer
        rate = optimizer.learning_rate if self.rate is None else self.rate
        tensors = keras.tree.map_structure(
            keras.ops.convert_to_tensor,
            (x, y, sample_weight),
            none_is_leaf=False,
        )
        seen = self._look(
            *tensors,
            keras.ops.convert_to_tensor(self.weights),
            keras.ops.cast(rate, "float32"),
        )
        return Look(
            # `int` does not take the variables of a `MirroredStrategy`.
            int(keras.ops.convert_to_numpy(optimizer.iterations)),
            *map(keras.ops.convert_to_numpy, seen),
        )
