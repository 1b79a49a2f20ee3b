"""What builders of mixtures share: experts, gate inputs, towers of tasks."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.builders.blocks import copy_block
from keras_mtl.layers.experts import Experts
from keras_mtl.layers.stack_experts import StackExperts


def make_experts(
    features: Any,
    blocks: Sequence[Any],
    num_experts: int,
    prefix: str,
    name: str,
) -> Any:
    """Experts that each consist of the same blocks, with weights of their own.

    Plain dense layers, with dropout and activations, become one layer that
    computes all experts in one batched product a level. Of other blocks each
    expert has copies, whose outputs are stacked.

    Args:
        features: What the experts read.
        blocks: What one expert consists of.
        num_experts: How many there are.
        prefix: Copies are named `{prefix}_{number}_{block.name}`.
        name: Name of the layer that gives the experts' outputs.

    Returns:
        A tensor `(batch, ..., experts, channels)`.

    Raises:
        ValueError: No expert, or an expert that does not give one tensor with
            channels.
    """
    if type(num_experts) is not int or num_experts < 1:
        raise ValueError(
            f"{name!r} must have a positive number of experts. Received: "
            f"{num_experts!r}"
        )
    arguments = _dense_levels(blocks)
    if arguments is not None and _is_tensor(features):
        return Experts(num_experts, name=name, **arguments)(features)
    outputs = []
    for expert in range(num_experts):
        output = features
        for block in blocks:
            copy = copy_block(block, f"{prefix}_{expert}", keep_weights=False)
            output = copy(output)
        if not _is_tensor(output):
            raise ValueError(
                "`blocks` must end with one tensor (batch, ..., channels), to "
                f"be mixed with those of other experts. Received: {output!r}"
            )
        outputs.append(output)
    return StackExperts(name=name)(outputs)


def check_gate_input(features: Any) -> None:
    """Refuses what a gate cannot read.

    Raises:
        ValueError: Several tensors, integers such as tokens, or a tensor
            without channels.
    """
    if not _is_tensor(features) or "float" not in features.dtype:
        raise ValueError(
            "Gates read one tensor of floats (batch, ..., channels). "
            f"Received: {features!r}. Share the blocks that make one, such as "
            "an Embedding or a Concatenate, by a larger `depth`."
        )


def make_tower(features: Any, task: str, units: Sequence[int]) -> Any:
    """A task's own dense layers before its head, `{task}_tower_{number}`.

    Raises:
        ValueError: Widths that are not positive.
    """
    if isinstance(units, int) or any(
        type(width) is not int or width < 1 for width in units
    ):
        raise ValueError(
            "`tower_units` must be a list of positive widths, one for each "
            f"layer of a task's tower. Received: tower_units={units!r}"
        )
    for number, width in enumerate(units, 1):
        features = keras.layers.Dense(
            width, activation="relu", name=f"{task}_tower_{number}"
        )(features)
    return features


def _is_tensor(features: Any) -> bool:
    return len(getattr(features, "shape", ())) >= 2


def _dense_levels(blocks: Sequence[Any]) -> dict[str, Any] | None:
    """Arguments of `Experts` that do what the blocks do, if there are any."""
    levels: list[dict[str, Any]] = []
    policies, seed = [], None
    for block in blocks:
        policies.append(block.dtype_policy)
        kind = type(block)
        if not block.trainable:
            return None
        if kind is keras.layers.Dense and _is_plain(block):
            levels.append(
                {
                    "units": block.units,
                    "activation": block.activation,
                    "dropout": 0.0,
                    "use_bias": block.use_bias,
                    "kernel_initializer": block.kernel_initializer,
                    "bias_initializer": block.bias_initializer,
                    "kernel_regularizer": block.kernel_regularizer,
                    "bias_regularizer": block.bias_regularizer,
                }
            )
        elif kind is keras.layers.Dropout and levels:
            if levels[-1]["dropout"] or block.noise_shape:
                return None
            levels[-1]["dropout"] = block.rate
            seed = block.seed if seed is None else seed
        elif kind is keras.layers.Activation and levels:
            if (
                levels[-1]["activation"] is not keras.activations.linear
                or levels[-1]["dropout"]
            ):
                return None
            levels[-1]["activation"] = block.activation
        else:
            return None
    policy = policies[0]
    if any(p != policy for p in policies) or policy.quantization_mode:
        return None
    return {
        "dtype": policy,
        "seed": seed,
        **{key: [level[key] for level in levels] for key in levels[0]},
    }


def _is_plain(dense: Any) -> bool:
    """Whether nothing of a Dense layer depends on how weights are stored."""
    return (
        dense.activity_regularizer is None
        and dense.kernel_constraint is None
        and dense.bias_constraint is None
        and not dense.lora_enabled
        and _adds_up(dense.kernel_regularizer)
        and _adds_up(dense.bias_regularizer)
    )


def _adds_up(regularizer: Any) -> bool:
    """Whether the penalty of stacked arrays is the sum of their penalties."""
    return regularizer is None or type(regularizer) in (
        keras.regularizers.L1,
        keras.regularizers.L2,
        keras.regularizers.L1L2,
    )
