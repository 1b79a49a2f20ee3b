"""A shared tower whose features each task reads through masks (MTAN)."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_mtl.builders.registry import registry
from keras_mtl.builders.towers import begin, finish
from keras_mtl.layers import AttentionMask
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel

_POOLING = {
    1: keras.layers.MaxPooling1D,
    2: keras.layers.MaxPooling2D,
    3: keras.layers.MaxPooling3D,
}
_MEAN = {
    1: keras.layers.GlobalAveragePooling1D,
    2: keras.layers.GlobalAveragePooling2D,
    3: keras.layers.GlobalAveragePooling3D,
}
_CONVOLUTION = {
    1: keras.layers.Conv1D,
    2: keras.layers.Conv2D,
    3: keras.layers.Conv3D,
}


@registry.register("mtan")
def mtan(
    inputs: Any,
    tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
    blocks: Any,
    depth: int = 0,
    batch_norm: bool = True,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a shared tower from which tasks pick features by attention.

    With p_j the features of block j, and a task's own g_j and h_j:

        mask_j = σ(h_j(ReLU(g_j([p_j; f_j(attended_{j-1})]))))
        attended_j = mask_j ⊙ p_j

    The task's head reads what is attended to in the last block. f_j, which
    is shared by the tasks, brings the features of the block before to the
    channels and the resolution of p_j: a convolution over 3 positions, batch
    normalization, ReLU and max pooling; on vectors, and where positions have a
    Keras mask, a dense layer instead of the convolution. Where a block turns
    maps or sequences into vectors, f_j averages over positions first; where
    it enlarges maps, f_j enlarges first. Blocks without weights, such as
    pooling, have no mask: p_j and attended_j pass through them alike.

    The paper takes u_j in place of p_j in mask_j: the features of the first
    convolution of the block. Blocks here are whole, so that p_j serves as
    both; it has the shape of the mask whatever the block is.

    f_j normalizes each task's features over the batch by themselves while it
    trains, but its moving averages are over all tasks, as in the authors'
    code. Where tasks' features differ much, set `batch_norm=False`.

    Args:
        inputs: Symbolic inputs, as the first block takes them.
        tasks: The tasks.
        blocks: The tower: see `hard_sharing`. All of it is shared. Feature
            maps have channels last.
        depth: How many blocks come before the first mask.
        batch_norm: Whether f, g and h are followed by batch normalization, as
            in the paper.
        name: Name of the model.

    Returns:
        A model with one output per task, not yet compiled. The mask of task
        `a` on block `low` is the output of the layer `a_low_mask`:
        `keras.Model(model.input, model.get_layer("a_low_mask").output)`.

    Raises:
        ValueError: Blocks of which none has weights, with several outputs, or
            whose resolutions do not follow from each other by pooling.

    Example:
        >>> import keras
        >>> from keras_mtl import Task
        >>> model = mtan(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[
        ...         keras.layers.Dense(16, activation="relu", name="low"),
        ...         keras.layers.Dense(16, activation="relu", name="high"),
        ...     ],
        ... )
        >>> mask = model.get_layer("a_high_mask").output
        >>> keras.Model(model.input, mask).output_shape
        (None, 16)

    Reference:
        Liu, Johns, Davison, "End-to-End Multi-Task Learning with Attention",
        CVPR 2019, arXiv:1803.10704.
    """
    tasks, shared, blocks = begin(inputs, tasks, blocks, depth)
    attended: dict[str, Any] = {}
    for block in blocks:
        shared = block(shared)
        if not isinstance(shared, keras.KerasTensor):
            raise ValueError(
                "`blocks` must have one output each to attend to. Received: "
                f"{block.name!r} with several."
            )
        if not block.weights:
            attended = {key: block(x) for key, x in attended.items()}
            continue
        carry: list[Any] = []
        if attended:
            before = next(iter(attended.values()))
            carry = _carry(before, shared.shape, block.name, batch_norm)
        for key in tasks:
            carried = attended.get(key)
            for layer in carry:
                carried = layer(carried)
            mask = AttentionMask(
                batch_norm=batch_norm, name=f"{key}_{block.name}_mask"
            )(shared if carried is None else [shared, carried])
            attended[key] = keras.layers.Multiply(
                name=f"{key}_{block.name}_attended"
            )([mask, shared])
    if not attended:
        raise ValueError(
            "`blocks` must hold a layer with weights behind `depth`, whose "
            f"features tasks attend to. Received: {[b.name for b in blocks]}"
        )
    return finish(inputs, tasks, attended, name)


def _carry(
    features: Any, after: Any, block: str, batch_norm: bool
) -> list[Any]:
    """The layers of f, which bring features to another shape."""
    before = features.shape
    # A convolution reads padding beside the last position, and drops the mask.
    masked = getattr(features, "_keras_mask", None) is not None
    to_vectors = len(after) == 2 < len(before)
    factors = [] if to_vectors else _factors(before, after, block)
    rank = len(before) - 2
    start = f"shared_{block}_carry"
    layers = []
    if to_vectors:
        layers.append(_MEAN[rank](name=f"{start}_mean"))
    elif any(grow > 1 for grow, _ in factors):
        enlarge = _enlarge([grow for grow, _ in factors], f"{start}_enlarge")
        layers.append(enlarge)
    channels, use_bias = after[-1], not batch_norm
    if to_vectors or rank == 0 or masked:
        layers.append(
            keras.layers.Dense(
                channels, use_bias=use_bias, name=f"{start}_dense"
            )
        )
    else:
        layers.append(
            _CONVOLUTION[rank](
                channels,
                3,
                padding="same",
                use_bias=use_bias,
                name=f"{start}_conv",
            )
        )
    if batch_norm:
        layers.append(keras.layers.BatchNormalization(name=f"{start}_norm"))
    layers.append(keras.layers.ReLU(name=f"{start}_relu"))
    if any(shrink > 1 for _, shrink in factors):
        layers.append(
            _POOLING[rank](
                tuple(shrink for _, shrink in factors),
                padding="same",
                name=f"{start}_pooling",
            )
        )
    return layers


def _enlarge(factors: list[int], name: str) -> Any:
    if len(factors) == 2:
        return keras.layers.UpSampling2D(
            tuple(factors), interpolation="bilinear", name=name
        )
    if len(factors) == 1:
        return keras.layers.UpSampling1D(factors[0], name=name)
    return keras.layers.UpSampling3D(tuple(factors), name=name)


def _factors(before: Any, after: Any, block: str) -> list[tuple[int, int]]:
    """For each axis of positions, by how much to enlarge and to pool."""
    factors = []
    for old, new in zip(before[1:-1], after[1:-1], strict=False):
        if old == new:  # also if neither is known
            factors.append((1, 1))
        elif None not in (old, new) and new % old == 0:
            factors.append((new // old, 1))
        elif None not in (old, new) and -(-old // -(-old // new)) == new:
            factors.append((1, -(-old // new)))
    if len(factors) != len(before) - 2 or len(before) != len(after):
        raise ValueError(
            f"`blocks`: what tasks attend to before {block!r} cannot be pooled "
            "to its resolution, for the shapes do not divide. Expected: sizes "
            "of which one is a multiple of the other, as convolutions with "
            f'padding="same" give. Received: {before} before, {after} after.'
        )
    return factors
