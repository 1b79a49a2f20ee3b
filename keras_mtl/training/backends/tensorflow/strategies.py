"""What a distribution strategy can do, said before training."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

_KNOWN = (
    tf.distribute.MirroredStrategy,
    tf.distribute.MultiWorkerMirroredStrategy,
)


def check_strategy(
    model: Any, optimizer: Any, balancer: Any, arguments: Mapping[str, Any]
) -> None:
    """Refuses what does not work with the strategy of a model.

    Args:
        model: A `MultiTaskModel` with a strategy of several replicas.
        optimizer: Its optimizer.
        balancer: Its balancer, built, or None.
        arguments: The other arguments of Keras's `compile`.

    Raises:
        ValueError: It would fail in the middle of training, or go wrong.
    """
    strategy = model.distribute_strategy
    name = type(strategy).__name__
    if not isinstance(strategy, _KNOWN):
        raise ValueError(
            "The model was made in the scope of a strategy that its training "
            "step does not know. Expected: tf.distribute.MirroredStrategy or "
            f"MultiWorkerMirroredStrategy. Received: {name}."
        )
    if _outside(model.variables, strategy):
        raise ValueError(
            "The model must be made in the scope of the strategy that trains "
            f"it. Received: variables made outside of that of {name}. Build "
            "it under `with strategy.scope():`."
        )
    averaged = [
        v.path
        for v in [*model.trainable_variables, *_variables(balancer)]
        if v.aggregation != "none"
    ]
    if averaged:
        raise ValueError(
            f"`aggregation` of trained variables must be 'none' with {name}, "
            "as it is by default: replicas move their copies by the same "
            "numbers, and cannot wait for each other inside of a condition. "
            f"Received: another one for {averaged}."
        )
    if arguments.get("steps_per_execution", 1) > 1:
        raise ValueError(
            f"`steps_per_execution` must be 1 with {name}: Keras cannot loop "
            "over several replicas in a graph. Received: "
            f"steps_per_execution={arguments['steps_per_execution']}"
        )
    if arguments.get("jit_compile") is True:
        raise ValueError(
            f"`jit_compile` must be False with {name}: replicas cannot wait "
            "for each other inside of an XLA kernel. Received: "
            "jit_compile=True"
        )
    if arguments.get("run_eagerly"):
        raise ValueError(
            f"`run_eagerly` must be False with {name}: replicas wait for each "
            "other in a graph. Received: run_eagerly=True. Debug on one device."
        )
    if optimizer.gradient_accumulation_steps:
        raise ValueError(
            f"`gradient_accumulation_steps` must be None with {name}: the "
            "optimizer would wait for the other replicas inside of a "
            "condition. Received: gradient_accumulation_steps="
            f"{optimizer.gradient_accumulation_steps}. Take larger batches."
        )
    if balancer is None:
        return
    if getattr(balancer, "update_every", 1) > 1 and (
        balancer.double_sampled or balancer.jacobian == "layerwise"
    ):
        reason = (
            "`jacobian='layerwise'`"
            if balancer.jacobian == "layerwise"
            else "two halves of a batch"
        )
        raise ValueError(
            f"`update_every` of {type(balancer).__name__} must be 1 with "
            f"{reason} and {name}: replicas cannot wait for each other inside "
            "of a condition. Received: "
            f"update_every={balancer.update_every}"
        )
    if outside := _outside(balancer.variables, strategy):
        raise ValueError(
            "`balancer` must be made in the scope of the strategy, or be a "
            f"name: replicas of {name} would move one copy of its state by "
            f"turns. Received: {outside}, made outside of it."
        )


def check_fit(model: Any) -> None:
    """Refuses a strategy that Keras's own loop cannot train with.

    Raises:
        ValueError: The strategy is of several workers.
    """
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            "`fit` of Keras 3 does not work with MultiWorkerMirroredStrategy. "
            "Call keras_mtl.training.fit_on_workers(model, x, …)."
        )


def _variables(balancer: Any) -> list[Any]:
    return [] if balancer is None else list(balancer.variables)


def _outside(variables: list[Any], strategy: Any) -> list[str]:
    return [
        v.path
        for v in variables
        if not strategy.extended.variable_created_in_scope(v.value)
    ]
