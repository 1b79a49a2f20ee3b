"""Tasks and examples from any data set of TensorFlow Datasets."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_mtl.heads import DepthHead, SegmentationHead
from keras_mtl.tasks import Task, TaskSet


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
    outputs: Sequence[str] | Mapping[str, str],
    inputs: str | Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    data_dir: Any = None,
) -> TfdsTasks:
    """Turns features of a TFDS data set into tasks.

    | feature | task |
    |---|---|
    | `ClassLabel` | multiclass, with its names; binary if there are two |
    | `bool` | binary |
    | float scalar or vector | regression |
    | fixed-length `Sequence(ClassLabel)` | tagging |
    | `LabeledImage` | multiclass by pixel, with a `SegmentationHead` |
    | float `(h, w, 1)` | regression by pixel, with a `DepthHead` |
    | integer | what `kinds` says |

    Args:
        builder: A name (`"mnist"`, `"celeb_a"`) or a TFDS builder.
        outputs: Features to learn: a list of their names, or a dict from
            names of tasks to them. A nested feature is named by its path,
            `"attributes/Smiling"`; its task by the last part.
        inputs: One feature, which becomes `x`, or several, which become a
            dict. By default what the builder calls its supervised input.
        kinds: Kinds of tasks by task, where features do not tell them.
        data_dir: Where TFDS keeps the data set, for a builder by name.

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
    features = _flat(builder.info.features)
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
    if isinstance(outputs, Mapping) and not outputs:
        raise ValueError(
            "`outputs` must name a feature to learn, at least one of: "
            f"{list(features)}."
        )
    for argument, paths in (
        ("outputs", outputs.values()),
        ("inputs", [inputs] if isinstance(inputs, str) else inputs),
    ):
        for path in paths:
            _check_path(argument, path, features, builder.name)
    tasks = TaskSet(
        [
            _task(name, path, features[path], (kinds or {}).get(name))
            for name, path in outputs.items()
        ]
    )

    def example(found: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        x = (
            _at(found, inputs)
            if isinstance(inputs, str)
            else {path: _at(found, path) for path in inputs}
        )
        y = {}
        for name, path in outputs.items():
            label = _at(found, path)
            if tasks[name].head is not None and tasks[name].classifies:
                label = tf.squeeze(label, -1)  # (h, w, 1) -> (h, w)
            y[name] = (
                tf.cast(label, "int32")
                if tasks[name].classifies
                else tf.cast(label, "float32")
            )
        return x, y

    return TfdsTasks(builder, tasks, example)


def _flat(features: Any, path: str = "") -> dict[str, Any]:
    """Features by path; a dict of features is gone into."""
    if isinstance(features, Mapping) or hasattr(features, "items"):
        return {
            key: feature
            for name, inner in features.items()
            for key, feature in _flat(inner, f"{path}{name}/").items()
        }
    return {path.rstrip("/"): features}


def _at(example: Any, path: str) -> Any:
    for part in path.split("/"):
        example = example[part]
    return example


def _check_path(
    argument: str, path: str, features: Mapping[str, Any], name: str
) -> None:
    if path in features:
        return
    close = difflib.get_close_matches(path, features, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"`{argument}` must name features of {name!r}. Expected: "
        f"{list(features)}. Received: {path!r}.{hint}"
    )


def _task(name: str, path: str, feature: Any, kind: str | None) -> Task:
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.LabeledImage):
        return Task(
            name,
            "multiclass",
            units=feature.num_classes,
            head=SegmentationHead(feature.num_classes),
        )
    if isinstance(feature, tfds.features.ClassLabel):
        if kind is None:
            kind = "binary" if feature.num_classes == 2 else "multiclass"
        return Task(
            name,
            kind,
            units=None if kind == "binary" else feature.num_classes,
            class_names=None if kind == "binary" else feature.names,
        )
    inner = getattr(feature, "feature", None)
    if isinstance(inner, tfds.features.ClassLabel):
        return Task(name, kind or "tagging", units=inner.num_classes)
    shape, dtype = feature.shape, feature.dtype
    if len(shape or ()) == 3 and shape[-1] == 1 and "float" in str(dtype):
        return Task(name, "regression", head=DepthHead())
    if kind is None and len(shape or ()) < 2 and shape is not None:
        if dtype == "bool":
            kind = "binary"
        elif "float" in str(dtype):
            kind = "regression"
    if kind is None:
        raise ValueError(
            f"The feature {path!r} does not tell what kind of task it is. "
            f"Expected: `kinds={{{name!r}: ...}}`, or a feature of classes, "
            f"booleans or floats. Received: {feature}."
        )
    return Task(name, kind, units=shape[0] if shape else None)
