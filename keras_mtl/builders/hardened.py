"""What is left of a model once its learned choices are made."""

from collections.abc import Callable
from typing import Any

import keras

from keras_mtl.graph import unroll
from keras_mtl.layers.branch_choice import BranchChoice
from keras_mtl.layers.skip_choice import SkipChoice
from keras_mtl.training import MultiTaskModel


def hardened(model: MultiTaskModel) -> MultiTaskModel:
    """A model without learned choices that predicts as `model` does.

    At inference a learned tree reads the likeliest branches, and `adashare`
    the likelier of running a block and skipping it; what was not chosen is
    computed all the same, and multiplied by 0. Here it is gone, and so are
    the choices and the losses that they add. Calls of one layer on the same
    features become one call, so that tasks which run the same first blocks
    run them once. Train it on to finetune what is left, or export it.

    Args:
        model: A model that `adashare` built, or `branching` without a
            `tree`. Choices within nested models are left as they are.

    Returns:
        A model that shares layers and weights with `model`, not yet compiled.

    Raises:
        ValueError: A model without learned choices.

    Example:
        >>> from keras_mtl import Task
        >>> from keras_mtl.builders import branching
        >>> model = branching(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     [keras.layers.Dense(16, activation="relu", name="low")],
        ... )
        >>> [layer.name for layer in hardened(model).layers[1:]]
        ['branch_1_low', 'a', 'b']
    """
    graph = unroll(model, nested=False)
    if not any(_is_choice(step.operation) for step in graph.steps):
        raise ValueError(
            "`model` must have learned choices. Received: "
            f"{model.name!r}, which has none. Build it with `adashare`, or "
            "with `branching` without a `tree`."
        )
    outputs = graph.run(
        model.inputs, _caller(), lambda consumer, slot, tensor: tensor
    )
    return MultiTaskModel(
        inputs=model.input,
        outputs=outputs,
        tasks=model.given_tasks,
        name=model.name,
    )


def _is_choice(operation: Any) -> bool:
    return isinstance(operation, (BranchChoice, SkipChoice))


def _caller() -> Callable[[Any], Callable[..., Any]]:
    """Calls operations on symbolic tensors, and makes the choices."""
    made: dict[tuple[int, ...], Any] = {}

    def of(operation: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if _is_choice(operation):
                options = list(args[0])
                if isinstance(operation, SkipChoice):
                    options.reverse()  # to run comes first
                return options[operation.choice()]
            leaves = keras.tree.flatten((args, kwargs))
            key = (id(operation), *map(id, leaves))
            if key not in made:
                made[key] = operation(*args, **kwargs)
            return made[key]

        return call

    return of
