"""Tasks and examples from any data set of TensorFlow Datasets."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_mtl.data.feature_labels import Canvas, Leaf, label_of, leaves
from keras_mtl.tasks import TaskSet
from keras_mtl.tasks.kinds import MISSING_CLASS


@dataclass(frozen=True)
class TfdsTasks:
    """What `tasks_from_tfds` finds in a data set.

    Attributes:
        builder: The TFDS builder.
        tasks: A task for each feature that was asked for.
        example: Turns an example of TFDS into `(x, y)`.
    """

    builder: Any
    tasks: TaskSet
    example: Callable[[Mapping[str, Any]], tuple[Any, dict[str, Any]]]

    @property
    def padding(self) -> tuple[None, dict[str, float]]:
        """The `padding_values` of `padded_batch`, for sequences.

        Labels are padded with what marks missing ones, inputs with 0 or `""`.
        """
        return None, {
            name: MISSING_CLASS if task.classifies else math.nan
            for name, task in self.tasks.items()
        }

    def dataset(self, split: str) -> tf.data.Dataset:
        """The examples of a split, `(x, y)`, not batched.

        Args:
            split: As in TFDS: `"train"`, `"test[:10%]"`, ….

        Raises:
            FileNotFoundError: The data set is not prepared. Nothing is ever
                downloaded here.
        """
        name = self.builder.info.full_name
        if not self.builder.info.splits:
            where = self.builder.data_dir_root
            raise FileNotFoundError(
                f"The data set {name!r} is not prepared in {where}; prepare it "
                '(this downloads it) with: python -c "import '
                f"tensorflow_datasets as tfds; tfds.builder('{name}', "
                f"data_dir='{where}').download_and_prepare()\""
            )
        return self.builder.as_dataset(split=split).map(
            self.example, num_parallel_calls=tf.data.AUTOTUNE
        )


def tasks_from_tfds(
    builder: Any,
    outputs: Sequence[str] | Mapping[str, str | tuple[str, str]],
    inputs: str | Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    data_dir: Any = None,
    size: tuple[int, int] | None = None,
    stride: int = 4,
) -> TfdsTasks:
    """Turns features of a TFDS data set into tasks.

    | feature | task |
    |---|---|
    | `ClassLabel` | multiclass, with its names; binary if there are two |
    | `bool`, a vector of them | binary, multilabel |
    | float, a vector of them, one `BBoxFeature` | regression |
    | sequence of `ClassLabel` | tagging; `kinds` may say multilabel |
    | sequence of `BBoxFeature` | detection: `DetectionHead`, `CenterNetLoss` |
    | `LabeledImage` | multiclass by pixel, with a `SegmentationHead` |
    | float `(h, w, 1)` | regression by pixel, with a `DepthHead` |
    | float `(h, w)` that `kinds` calls regression | likewise |
    | integer | what `kinds` says |

    Inputs may be of any kind: images, text (as strings), sequences, numbers.
    Sequences of different lengths make batches with

        found.dataset("train").padded_batch(32, padding_values=found.padding)

    Boxes become the maps that `keras_mtl.heads.encode_boxes` makes, with
    `stride` pixels of the image to a cell. Their classes are the `ClassLabel`
    beside them (the one called `label`, if there are several); a pair of
    paths, `("objects/bbox", "objects/label")`, says which. Without any, all
    boxes are of one class.

    Args:
        builder: A name (`"mnist"`, `"celeb_a"`) or a TFDS builder.
        outputs: Features to learn: a list of their names, or a dict from
            names of tasks to them. A nested feature is named by its path,
            `"attributes/Smiling"`; its task by the last part.
        inputs: One feature, which becomes `x`, or several, which become a
            dict. By default what the builder calls its supervised input.
        kinds: Kinds of tasks by task, where features do not tell them.
        data_dir: Where TFDS keeps the data set, for a builder by name.
        size: Height and width that images, and labels by pixel, are resized
            to. Needed for batches of images of different sizes, and for boxes
            in them.
        stride: Pixels per cell of the maps of boxes, as in `DecodeBoxes`.

    Returns:
        The tasks, and how to read the examples.

    Raises:
        ValueError: No such feature, or one that makes no task.

    Example:
        >>> import tensorflow_datasets as tfds
        >>> found = tasks_from_tfds(
        ...     "mnist", {"digit": "label"}
        ... )  # doctest: +SKIP
        >>> found.tasks["digit"].units  # doctest: +SKIP
        10
        >>> found.dataset("train").batch(32)  # doctest: +SKIP
    """
    import tensorflow_datasets as tfds  # seconds, which few need

    if isinstance(builder, str):
        builder = tfds.builder(builder, data_dir=data_dir)
    features = leaves(builder.info.features)
    if inputs is None:
        supervised = builder.info.supervised_keys
        if not supervised or not isinstance(supervised[0], str):
            raise ValueError(
                f"`inputs` must be given, for {builder.name!r} has no "
                f"supervised input. Expected one of: {list(features)}."
            )
        inputs = supervised[0]
    if not isinstance(outputs, Mapping):
        outputs = {path.split("/")[-1]: path for path in outputs}
    if not outputs:
        raise ValueError(
            "`outputs` must name a feature to learn, at least one of: "
            f"{list(features)}."
        )
    for argument, paths in (
        ("outputs", outputs.values()),
        ("inputs", _listed(inputs)),
    ):
        for path in paths:
            for one in _listed(path):
                _check_path(argument, one, features, builder.name)
    _check_size(size, stride)
    canvas = Canvas(
        size or _size([features[path] for path in _listed(inputs)]),
        size is not None,
        stride,
    )
    labels = {
        name: label_of(name, path, features, (kinds or {}).get(name), canvas)
        for name, path in outputs.items()
    }

    def read(example: Mapping[str, Any], path: str) -> Any:
        value = features[path].of(example)
        if size is None or not _is_image(features[path].feature):
            return value
        resized = tf.image.resize(value, size, antialias=True)
        if value.dtype.is_integer:
            resized = tf.round(resized)
        return tf.cast(resized, value.dtype)

    def example(found: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        x = (
            read(found, inputs)
            if isinstance(inputs, str)
            else {path: read(found, path) for path in inputs}
        )
        return x, {name: label.read(found) for name, label in labels.items()}

    tasks = TaskSet([label.task for label in labels.values()])
    return TfdsTasks(builder, tasks, example)


def _listed(paths: str | Sequence[str]) -> Sequence[str]:
    return [paths] if isinstance(paths, str) else paths


def _is_image(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Image)


def _size(inputs: Sequence[Leaf]) -> tuple[int, int] | None:
    """Height and width of the first input that is an image, if it has any."""
    for leaf in inputs:
        if _is_image(leaf.feature):
            height, width = leaf.feature.shape[:2]
            if height and width:
                return height, width
    return None


def _check_size(size: Any, stride: Any) -> None:
    numbers = {"stride": stride}
    if size is not None:
        if len(size) != 2:
            raise ValueError(
                "`size` must be (height, width) in pixels. Received: "
                f"size={size!r}"
            )
        numbers |= {"size[0]": size[0], "size[1]": size[1]}
    for argument, value in numbers.items():
        if type(value) is not int or value < 1:
            raise ValueError(
                f"`{argument}` must be a positive integer. Received: {value!r}"
            )


def _check_path(
    argument: str, path: str, features: Mapping[str, Any], name: str
) -> None:
    if path in features:
        return
    within = [inner for inner in features if inner.startswith(f"{path}/")]
    close = within or difflib.get_close_matches(path, features, n=1)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise ValueError(
        f"`{argument}` must name features of {name!r}. Expected: "
        f"{list(features)}. Received: {path!r}.{hint}"
    )
