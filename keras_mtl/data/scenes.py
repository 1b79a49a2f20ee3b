"""Rooms with objects in them: pictures, classes, depths and boxes."""

from typing import Any

import numpy as np

from keras_mtl.data.scene_layouts import MAX_OBJECTS, SURFACES, draw_layout
from keras_mtl.data.scene_rendering import render
from keras_mtl.data.scene_shapes import SOLIDS

OBJECT_CLASSES = tuple(SOLIDS)
SCENE_CLASSES = (*SURFACES, *OBJECT_CLASSES)

_CHUNK = 32  # scenes rendered at once: small enough for the processor's cache


def draw_scenes(
    count: int,
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    start: int = 0,
) -> dict[str, Any]:
    """Draws rooms with balls, boxes, cones and cylinders on their floor.

    A ray is cast through the centre of each pixel, so that picture, classes,
    depths and boxes agree exactly: of two objects the nearer one shows. Rooms,
    light, colours, patterns, noise, and the camera's height and direction
    differ from scene to scene. Colour does not tell the class. An object of
    which fewer than 12 pixels would show is left out.

    Scene i depends on `size`, `seed` and i alone, not on how many are drawn.
    A thousand scenes of 64 × 64 take about three seconds on one core.

    Args:
        count: Number of scenes.
        size: Height and width in pixels.
        seed: The same seed gives the same scenes.
        start: Number of the first scene: to draw many piece by piece.

    Returns:
        Arrays by name, for up to m = 6 objects in a scene:

        - `image`: `(count, height, width, 3)`, uint8.
        - `segmentation`: `(count, height, width)`, int32, indices into
          `SCENE_CLASSES`: wall, floor, ceiling, ball, box, cone, cylinder.
        - `depth`: `(count, height, width)`, float32, metres along the
          camera's axis.
        - `boxes`: `(count, m, 4)`, float32: left, top, right, bottom of what
          is visible, in pixels, as `keras_mtl.heads.encode_boxes` takes them.
          Right and bottom are where it ends. Rows of 0 fill up.
        - `classes`: `(count, m)`, int32, indices into `OBJECT_CLASSES`: ball,
          box, cone, cylinder. -1 fills up, behind all objects.

    Raises:
        ValueError: A count, size, seed or start that makes no sense.

    Example:
        >>> from keras_mtl.heads import encode_boxes
        >>> scenes = draw_scenes(2, size=(48, 64), seed=1)
        >>> scenes["image"].shape, scenes["depth"].shape
        ((2, 48, 64, 3), (2, 48, 64))
        >>> there = scenes["classes"][0] >= 0
        >>> boxes, classes = (scenes[k][0][there] for k in ("boxes", "classes"))
        >>> encode_boxes(boxes, classes, num_classes=4, shape=(12, 16)).shape
        (12, 16, 8)
    """
    _check(count, size, seed, start)
    height, width = size
    scenes: dict[str, Any] = {
        "image": np.empty((count, height, width, 3), "uint8"),
        "segmentation": np.empty((count, height, width), "int32"),
        "depth": np.empty((count, height, width), "float32"),
        "boxes": np.empty((count, MAX_OBJECTS, 4), "float32"),
        "classes": np.empty((count, MAX_OBJECTS), "int32"),
    }
    for first in range(0, count, _CHUNK):
        last = min(first + _CHUNK, count)
        numbers = range(start + first, start + last)
        # A generator for each scene: none depends on those before it.
        rngs = [np.random.default_rng([seed, number]) for number in numbers]
        drawn = [draw_layout(rng, width / height) for rng in rngs]
        layout = {
            name: _shrink(np.stack([one[name] for one in drawn]))
            for name in drawn[0]
        }
        noise = np.stack(
            [rng.standard_normal((*size, 3), "float32") for rng in rngs]
        )
        # Rays along a wall or beside a ball divide by zero, or take the root
        # of a negative number; what comes of it counts as a miss.
        with np.errstate(divide="ignore", invalid="ignore"):
            part = render(layout, size, noise)
        for name, values in part.items():
            scenes[name][first:last] = values
    return scenes


def _shrink(values: Any) -> Any:
    return values.astype("float32") if values.dtype == "float64" else values


def _check(count: Any, size: Any, seed: Any, start: Any) -> None:
    numbers = {"count": count, "seed": seed, "start": start}
    for name, value in numbers.items():
        if not isinstance(value, (int, np.integer)) or value < 0:
            raise ValueError(
                f"`{name}` must be an integer that is not negative. Received: "
                f"{name}={value!r}"
            )
    if len(size) != 2 or min(size) < 8:
        raise ValueError(
            "`size` must be (height, width) of at least 8 pixels. Received: "
            f"size={size!r}"
        )


def load_scenes(
    config: str = "64x64", data_dir: Any = None
) -> dict[str, dict[str, Any]]:
    """Reads the TFDS data set `scenes`, which is drawn on first use.

    Downloads nothing. `draw_scenes` does without TFDS and files.

    Args:
        config: `"64x64"` or `"96x128"`: height and width.
        data_dir: Where the data set is, or will be. Defaults to that of TFDS:
            the environment's `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        `{"train": ..., "validation": ..., "test": ...}`, each a dict of the
        arrays of `draw_scenes`, for 4,000, 1,000 and 1,000 scenes.

    Raises:
        ValueError: There is no such config.
    """
    # Imports TensorFlow Datasets, which few users of this package need.
    import tensorflow_datasets as tfds

    from keras_mtl.data.tfds import Scenes

    if config not in Scenes.builder_configs:
        raise ValueError(
            f"`config` must be one of {', '.join(Scenes.builder_configs)}. "
            f"Received: config={config!r}"
        )
    builder = Scenes(config=config, data_dir=data_dir)
    builder.download_and_prepare()
    parts = {}
    for split in ("train", "validation", "test"):
        part = dict(
            tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        )
        part["segmentation"] = part["segmentation"][..., 0].astype("int32")
        part["classes"] = part["classes"].astype("int32")
        part["depth"] = part["depth"][..., 0]
        parts[split] = part
    return parts
