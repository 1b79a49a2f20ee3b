"""Average precision of detected boxes."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def mean_average_precision(
    true_boxes: Sequence[Any],
    true_classes: Sequence[Any],
    boxes: Sequence[Any],
    scores: Sequence[Any],
    classes: Sequence[Any],
    thresholds: Sequence[float] = (0.5,),
) -> float:
    """The mean of `average_precision` over classes and thresholds.

    Args:
        true_boxes: As in `average_precision`.
        true_classes: As in `average_precision`.
        boxes: As in `average_precision`.
        scores: As in `average_precision`.
        classes: As in `average_precision`.
        thresholds: Overlaps from which on a box counts as found.

    Returns:
        A number from 0 to 1; NaN where there is no object at all.

    Raises:
        ValueError: As `average_precision`, or no threshold.

    Example:
        >>> mean_average_precision(
        ...     true_boxes=[[[0, 0, 10, 10]]],
        ...     true_classes=[[0]],
        ...     boxes=[[[0, 0, 10, 6]]],
        ...     scores=[[0.9]],
        ...     classes=[[0]],
        ...     thresholds=(0.5, 0.75),
        ... )
        0.5
    """
    if not len(thresholds):
        raise ValueError("`thresholds` must hold at least one number.")
    found = [
        list(
            average_precision(
                true_boxes, true_classes, boxes, scores, classes, threshold
            ).values()
        )
        for threshold in thresholds
    ]
    return float(np.mean(found)) if found[0] else float("nan")


def average_precision(
    true_boxes: Sequence[Any],
    true_classes: Sequence[Any],
    boxes: Sequence[Any],
    scores: Sequence[Any],
    classes: Sequence[Any],
    threshold: float = 0.5,
) -> dict[int, float]:
    """The area under the precision-recall curve of each class.

    The definition of PASCAL VOC since 2010. Over all images, the boxes of a
    class are taken from the highest score down. A box is right if the object
    of its class with which it overlaps most, in its image, overlaps by
    at least `threshold` (intersection over union) and was not found before.
    Precision at a recall is the highest at that recall or above, and the area
    is exact, not sampled at some recalls as in VOC 2007 or COCO. Boxes of
    equal scores keep their order.

    This is a function on numpy arrays, not a Keras metric: matching boxes to
    objects depends on their order, and does not fit into a compiled step.

    Args:
        true_boxes: For each image, `(n, 4)`: left, top, right, bottom. Leave
            images out whose objects are not known.
        true_classes: For each image, `(n,)` class indices.
        boxes: For each image, `(k, 4)`: boxes found.
        scores: For each image, `(k,)`. A box of score 0, such as those with
            which `DecodeBoxes` fills up, counts as none.
        classes: For each image, `(k,)`.
        threshold: Overlap from which on a box counts as found.

    Returns:
        Numbers from 0 to 1 for the classes that have an object.

    Raises:
        ValueError: Lists or arrays of unequal lengths, or a threshold out of
            (0, 1].

    Example:
        >>> average_precision(
        ...     true_boxes=[[[0, 0, 10, 10], [20, 20, 30, 30]]],
        ...     true_classes=[[0, 0]],
        ...     boxes=[[[0, 0, 10, 8], [50, 50, 60, 60]]],
        ...     scores=[[0.9, 0.8]],
        ...     classes=[[0, 0]],
        ... )
        {0: 0.5}

    Reference:
        Everingham et al., "The PASCAL Visual Object Classes Challenge: A
        Retrospective", IJCV 111 (2015).
    """
    if not 0 < threshold <= 1:
        raise ValueError(
            "`threshold` must be above 0 and at most 1. Received: "
            f"threshold={threshold!r}"
        )
    truth = _flat("true_", true_boxes, true_classes)
    found = _flat("", boxes, classes, scores)
    if len(true_boxes) != len(boxes):
        raise ValueError(
            "`true_boxes` and `boxes` must have one entry per image. "
            f"Received: {len(true_boxes)} and {len(boxes)} images."
        )
    found = {key: value[found["scores"] > 0] for key, value in found.items()}
    result = {}
    for label in np.unique(truth["classes"]):
        own = _of_class(truth, label)
        hits = _hits(own, _of_class(found, label), threshold)
        result[int(label)] = _area(hits, len(own["boxes"]))
    return result


def _flat(
    prefix: str, boxes: Any, classes: Any, scores: Any = None
) -> dict[str, np.ndarray]:
    """The boxes of all images in one array, with their image's number."""
    boxes = [np.asarray(b, "float64").reshape(-1, 4) for b in boxes]
    lengths = [len(b) for b in boxes]
    flat = {
        "boxes": np.concatenate([np.zeros((0, 4)), *boxes]),
        "images": np.repeat(np.arange(len(boxes)), lengths),
    }
    for key, given in (("classes", classes), ("scores", scores)):
        if given is None:
            continue
        rows = [np.asarray(one).reshape(-1) for one in given]
        if [len(row) for row in rows] != lengths:
            raise ValueError(
                f"`{prefix}{key}` must have one "
                "entry for each box of each image. Received: lengths "
                f"{[len(row) for row in rows]}. Expected: {lengths}"
            )
        flat[key] = np.concatenate([np.zeros(0, "int64"), *rows])
    return flat


def _of_class(flat: dict[str, np.ndarray], label: int) -> dict[str, Any]:
    chosen = flat["classes"] == label
    return {key: value[chosen] for key, value in flat.items()}


def _hits(
    truth: dict[str, Any], found: dict[str, Any], threshold: float
) -> np.ndarray:
    """Which boxes are right, from the highest score down."""
    match = np.zeros(len(found["boxes"]), "int64")
    overlap = np.zeros(len(found["boxes"]))
    for image in np.unique(truth["images"]):
        rows = _rows_of(found["images"], image)
        objects = _rows_of(truth["images"], image)
        overlaps = _overlaps(found["boxes"][rows], truth["boxes"][objects])
        match[rows] = objects.start + overlaps.argmax(axis=1)
        overlap[rows] = overlaps.max(axis=1)
    order = np.argsort(-found["scores"], kind="stable")
    close = np.flatnonzero(overlap[order] >= threshold)
    # The first close box of each object has found it.
    _, first = np.unique(match[order][close], return_index=True)
    hits = np.zeros(len(order), "bool")
    hits[close[first]] = True
    return hits


def _rows_of(images: np.ndarray, image: int) -> slice:
    """Where an image's boxes are: images come in order."""
    return slice(*np.searchsorted(images, [image, image + 1]))


def _overlaps(left: np.ndarray, right: np.ndarray) -> Any:
    """Intersection over union of each box with each, `(left, right)`."""
    left, right = left[:, None], right[None]
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(
        left[..., :2], right[..., :2]
    )
    shared = np.clip(sides, 0, None).prod(axis=-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(axis=-1) for b in (left, right)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(hits: np.ndarray, objects: int) -> float:
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    # The highest precision at this recall or above.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    # Recall rises by 1 / objects at each hit, and only there.
    return float(envelope[hits].sum() / objects)
