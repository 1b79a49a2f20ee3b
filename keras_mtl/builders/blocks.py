"""The blocks of a tower: what counts as one, copies of it, cuts in a model."""

import difflib
from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.tasks import TaskSet


def as_blocks(blocks: Any, tasks: TaskSet) -> list[Any]:
    """The blocks of a tower as a list of layers with different names.

    Args:
        blocks: A list of Keras layers and models; a `Sequential`, whose
            layers are the blocks; or another `keras.Model`, which is one
            block (see `cut`).
        tasks: The tasks, whose names are taken by heads.

    Raises:
        ValueError: Something that is no layer, two of one name, or one named
            as a task.
    """
    if isinstance(blocks, keras.Sequential):
        blocks = blocks.layers
    elif isinstance(blocks, keras.Model):
        blocks = [blocks]
    if not isinstance(blocks, (list, tuple)):
        raise ValueError(
            "`blocks` must be a list of Keras layers or models, or one model. "
            f"Received: {blocks!r} of type {type(blocks).__name__}."
        )
    names: set[str] = set()
    for block in blocks:
        if not isinstance(block, keras.Layer):
            raise ValueError(
                "`blocks` must hold Keras layers or models. Received: "
                f"{block!r} of type {type(block).__name__}."
            )
        if block.name in names:
            raise ValueError(
                "`blocks` must have different names. Received "
                f"{block.name!r} twice. Give each layer a `name` of its own."
            )
        if block.name in tasks:
            raise ValueError(
                "`blocks` must not be named as a task, for its head has that "
                f"name. Received: {block.name!r}. Give the block another name."
            )
        names.add(block.name)
    return list(blocks)


def copy_block(block: Any, prefix: str, *, keep_weights: bool = True) -> Any:
    """A block of the same config with weights of its own.

    Args:
        block: A layer or model.
        prefix: The copy is named `{prefix}_{block.name}`.
        keep_weights: Whether a copy of a built model starts from the model's
            weights, so that pretrained towers stay pretrained. Copies of
            layers, and of models that are not built, are initialized anew.
    """
    config = keras.saving.serialize_keras_object(block)
    config["config"]["name"] = f"{prefix}_{block.name}"
    # A block that was called before would come back built for that call.
    config.pop("build_config", None)
    config["config"].pop("build_input_shape", None)
    copy = keras.saving.deserialize_keras_object(config)
    if (
        keep_weights
        and isinstance(block, keras.Model)
        and block.built
        and copy.built
    ):
        copy.set_weights(block.get_weights())
    return copy


def cut(backbone: Any, taps: Sequence[str]) -> list[Any]:
    """Cuts a Functional model into blocks, one ending at each tap.

    Every builder takes the result as its `blocks`. What lies behind the last
    tap is left off: end `taps` with the last layer that is wanted.

    Args:
        backbone: A Functional `keras.Model` with one input, such as one of
            `keras.applications` with `include_top=False`.
        taps: Names of layers of the backbone, in the order of the data. All
            paths must go through each of them.

    Returns:
        Models that share the backbone's layers and weights.

    Raises:
        ValueError: Not a Functional model, an unknown tap, or one that a
            skip connection passes by.

    Example:
        >>> x = keras.Input((8, 8, 3))
        >>> h = keras.layers.Conv2D(4, 3, name="low")(x)
        >>> h = keras.layers.Conv2D(4, 3, name="high")(h)
        >>> backbone = keras.Model(x, h, name="net")
        >>> [block.name for block in cut(backbone, ["low", "high"])]
        ['net_low', 'net_high']
    """
    if not isinstance(backbone, keras.Model) or not hasattr(
        backbone, "output_names"
    ):
        raise ValueError(
            "`backbone` must be a Functional keras.Model, whose graph is "
            f"known. Received: {type(backbone).__name__}."
        )
    if isinstance(taps, str) or not taps:
        raise ValueError(
            "`taps` must be a list of names of layers, at least one. "
            f"Received: {taps!r}"
        )
    if len(backbone.inputs) != 1:
        raise ValueError(
            "`backbone` must have one input. Received: a model with "
            f"{len(backbone.inputs)}."
        )
    names = [layer.name for layer in backbone.layers]
    for tap in taps:
        if tap not in names:
            close = difflib.get_close_matches(str(tap), names, n=3)
            hint = f" Did you mean one of {close}?" if close else ""
            raise ValueError(
                f"`taps` must name layers of {backbone.name!r}. Received: "
                f"{tap!r}.{hint}"
            )
    blocks = []
    start = backbone.inputs[0]
    for tap in taps:
        end = backbone.get_layer(tap).output
        try:
            block = keras.Model(start, end, name=f"{backbone.name}_{tap}")
        except ValueError as error:
            raise ValueError(
                f"`taps`: {backbone.name!r} cannot be cut at {tap!r}, for a "
                "connection passes by the tap before it, or it comes before "
                "that tap. Expected: layers that all paths go through, in the "
                f"order of the data. Received: {list(taps)}"
            ) from error
        blocks.append(block)
        start = end
    return blocks
