"""What a feature of TFDS is as a task, and how its labels are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.data.box_maps import box_maps
from keras_mtl.heads import (
    CenterNetLoss,
    DepthHead,
    DetectionHead,
    SegmentationHead,
)
from keras_mtl.tasks import Task

Size = tuple[int, int]


@dataclass(frozen=True)
class Leaf:
    """A feature that holds no others by name.

    Attributes:
        keys: Where it is in an example, from the outside in.
        feature: Of TFDS. What lies within a sequence of dicts is a sequence
            here, as it is in the examples.
    """

    keys: tuple[str, ...]
    feature: Any

    def of(self, example: Any) -> Any:
        """Its value in an example."""
        for key in self.keys:
            example = example[key]
        return example


@dataclass(frozen=True)
class Label:
    """A task, and its label in an example."""

    task: Task
    read: Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Canvas:
    """The picture that labels belong to.

    Attributes:
        size: Height and width that it has; None where pictures differ.
        resized: Whether it was brought to that size.
        stride: Its pixels per cell of a map of boxes.
    """

    size: Size | None
    resized: bool
    stride: int


def leaves(feature: Any, keys: tuple[str, ...] = ()) -> dict[str, Leaf]:
    """The features within a feature by path, `"attributes/Smiling"`."""
    import tensorflow_datasets as tfds  # seconds, which few need

    types = tfds.features
    if isinstance(feature, types.FeaturesDict):
        return {
            path: leaf
            for key, inner in feature.items()
            for path, leaf in leaves(inner, (*keys, key)).items()
        }
    if isinstance(feature, types.Sequence) and isinstance(
        feature.feature, types.FeaturesDict
    ):
        return {
            path: Leaf(leaf.keys, types.Sequence(leaf.feature))
            for path, leaf in leaves(feature.feature, keys).items()
        }
    return {"/".join(keys): Leaf(keys, feature)}


def label_of(
    name: str,
    path: str | tuple[str, str],
    found: Mapping[str, Leaf],
    kind: str | None,
    canvas: Canvas,
) -> Label:
    """A feature as a task.

    Args:
        name: Of the task.
        path: Of the feature; that of boxes, and that of their classes.
        found: All features by path.
        kind: Of the task, where a person says so.
        canvas: The picture.

    Raises:
        ValueError: The feature makes no task, or does not tell which.
    """
    import tensorflow_datasets as tfds

    types = tfds.features
    if not isinstance(path, str):
        return _boxes(name, *path, found, canvas)
    leaf = found[path]
    feature = leaf.feature
    inner = getattr(feature, "feature", None)
    if isinstance(inner, types.BBoxFeature):
        return _boxes(name, path, _beside(path, found), found, canvas)
    if isinstance(feature, types.LabeledImage):
        return _segmentation(name, leaf, canvas)
    if isinstance(feature, types.ClassLabel):
        return _class(name, leaf, kind)
    if isinstance(inner, types.ClassLabel):
        return _classes(name, leaf, kind)
    for text in (feature, inner):
        if isinstance(text, types.Text):
            raise ValueError(
                f"The feature {path!r} is text, which can be an input but not "
                "a label. Expected: classes, numbers or boxes. For a task "
                "whose output is text, turn it into tokens and give them to a "
                f'task of the kind "sequence". Received: {feature}.'
            )
    return _numbers(name, path, leaf, kind, canvas)


def _class(name: str, leaf: Leaf, kind: str | None) -> Label:
    feature = leaf.feature
    if kind is None:
        kind = "binary" if feature.num_classes == 2 else "multiclass"
    binary = kind == "binary"
    task = Task(
        name,
        kind,
        units=None if binary else feature.num_classes,
        class_names=None if binary else feature.names,
    )
    return Label(task, lambda example: _cast(task, leaf.of(example)))


def _classes(name: str, leaf: Leaf, kind: str | None) -> Label:
    """A tag for each place, or the classes that an example has."""
    count = leaf.feature.feature.num_classes
    task = Task(name, kind or "tagging", units=count)

    def read(example: Mapping[str, Any]) -> Any:
        classes = leaf.of(example)
        if kind == "multilabel":
            classes = tf.reduce_sum(tf.one_hot(classes, count), axis=0)
            classes = tf.minimum(classes, 1.0)
        return _cast(task, classes)

    return Label(task, read)


def _segmentation(name: str, leaf: Leaf, canvas: Canvas) -> Label:
    count = leaf.feature.num_classes
    task = Task(name, "multiclass", units=count, head=SegmentationHead(count))

    def read(example: Mapping[str, Any]) -> Any:
        # (h, w, 1) -> (h, w)
        return _cast(task, _fitted(leaf.of(example), canvas)[..., 0])

    return Label(task, read)


def _numbers(
    name: str, path: str, leaf: Leaf, kind: str | None, canvas: Canvas
) -> Label:
    """What is neither classes nor text nor boxes."""
    shape, dtype = leaf.feature.shape, np.dtype(leaf.feature.np_dtype)
    floats = np.issubdtype(dtype, np.floating)
    # A plane of floats might be many things, but for what a person says.
    plane = len(shape) == 3 and shape[-1] == 1
    if floats and (plane or (len(shape) == 2 and kind == "regression")):
        task = Task(name, "regression", head=DepthHead())

        def depth(example: Mapping[str, Any]) -> Any:
            values = leaf.of(example)
            values = values if plane else values[..., tf.newaxis]
            return _cast(task, _fitted(values, canvas))

        return Label(task, depth)
    fixed = len(shape) < 2 and None not in shape
    if kind is None and fixed and floats:
        kind = "regression"
    elif kind is None and fixed and dtype == np.bool_:
        kind = "multilabel" if shape else "binary"
    if kind is None or not fixed:
        raise ValueError(
            f"The feature {path!r} does not tell what kind of task it is. "
            f"Expected: `kinds={{{name!r}: ...}}`, or a feature of classes, "
            f"booleans, floats or boxes. Received: {leaf.feature}."
        )
    task = Task(name, kind, units=shape[0] if shape else None)
    return Label(task, lambda example: _cast(task, leaf.of(example)))


def _boxes(
    name: str,
    path: str,
    classes_path: str | None,
    found: Mapping[str, Leaf],
    canvas: Canvas,
) -> Label:
    """A map of where objects are centred, for each class of object."""
    import tensorflow_datasets as tfds

    types = tfds.features
    boxes = found[path]
    inner = getattr(boxes.feature, "feature", None)
    layout = getattr(getattr(inner, "bbox_format", None), "value", None)
    if not isinstance(inner, types.BBoxFeature) or layout != "REL_YXYX":
        raise ValueError(
            f"The feature {path!r} of the task {name!r} must be a sequence of "
            "boxes (`BBoxFeature`), of top, left, bottom and right from 0 to "
            f"1. Received: {boxes.feature}, format {layout}."
        )
    classes = None if classes_path is None else found[classes_path]
    count = 1
    if classes is not None:
        label = getattr(classes.feature, "feature", None)
        if not isinstance(label, types.ClassLabel):
            raise ValueError(
                f"The feature {classes_path!r} must be the classes of the "
                f"boxes {path!r}, a sequence of `ClassLabel`s. Received: "
                f"{classes.feature}."
            )
        count = label.num_classes
    if canvas.size is None:
        raise ValueError(
            f"`size` must be given for the task {name!r}: boxes are parts of "
            "a picture, and no input is a picture of one size. Expected: "
            "(height, width) in pixels."
        )
    height, width = canvas.size
    shape = (-(-height // canvas.stride), -(-width // canvas.stride))
    task = Task(
        name,
        "regression",
        loss=CenterNetLoss(),
        head=DetectionHead(count, size=shape, hidden=64),
        metrics=[],
    )

    def read(example: Mapping[str, Any]) -> Any:
        # top, left, bottom, right -> left, top, right, bottom
        pixels = tf.gather(boxes.of(example), [1, 0, 3, 2], axis=-1)
        pixels *= tf.constant([width, height, width, height], pixels.dtype)
        return box_maps(
            pixels,
            tf.zeros_like(pixels[:, 0], "int32")
            if classes is None
            else classes.of(example),
            count,
            shape,
            canvas.stride,
        )

    return Label(task, read)


def _beside(path: str, found: Mapping[str, Leaf]) -> str | None:
    """The classes that stand beside boxes; None if there are none."""
    import tensorflow_datasets as tfds

    around = found[path].keys[:-1]
    paths = [
        other
        for other, leaf in found.items()
        if leaf.keys[:-1] == around
        and around
        and isinstance(
            getattr(leaf.feature, "feature", None), tfds.features.ClassLabel
        )
    ]
    by_name = [p for p in paths if found[p].keys[-1] == "label"]
    if len(paths) > 1 and not by_name:
        raise ValueError(
            f"`outputs` must say which classes the boxes {path!r} have. "
            f"Expected: ({path!r}, ...) with one of {paths}."
        )
    return next(iter(by_name or paths), None)


def _fitted(labels: Any, canvas: Canvas) -> Any:
    """Labels by pixel `(h, w, 1)` for the canvas."""
    if not canvas.resized:
        return labels
    # Between two classes, or a depth and a hole, there is nothing.
    return tf.image.resize(labels, canvas.size, "nearest")


def _cast(task: Task, label: Any) -> Any:
    return tf.cast(label, "int32" if task.classifies else "float32")
