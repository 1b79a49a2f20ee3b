"""Pictures, classes, depths and boxes of the rooms of `draw_scenes`."""

from typing import Any

import numpy as np

from keras_mtl.data.scene_layouts import MAX_OBJECTS, SURFACES
from keras_mtl.data.scene_shapes import SOLIDS, Vector, normal

_MIN_PIXELS = 12  # what shows less of itself is taken out of the room
_STEP = 2e-3  # metres
_LAMP = 1.7  # brightness


def render(
    layout: dict[str, Any], size: tuple[int, int], noise: Any
) -> dict[str, Any]:
    """Casts rays into rooms.

    Axes here and below: n scenes, p pixels of an image; a vector is three
    arrays `(n, p)`.

    Args:
        layout: What `draw_layout` draws, stacked: a first axis of n.
        size: Height and width in pixels.
        noise: Standard normal noise, `(n, height, width, 3)`.

    Returns:
        The arrays that `draw_scenes` describes.
    """
    shape = (len(noise), *size)
    eye = (0.0, layout["eye"][:, None], 0.0)
    rays = _rays(layout, size)
    distances = _hits(layout, eye, rays)
    room, surface = _room(layout, eye, rays)
    # A z-buffer: the room behind the objects, one layer for each.
    layers = np.concatenate([room[:, None], distances], axis=1)
    front = layers.argmin(axis=1)
    shown = front[:, None] == np.arange(1, MAX_OBJECTS + 1)[:, None]
    seen = shown.sum(axis=2) >= _MIN_PIXELS
    layers[:, 1:][~seen] = np.inf
    layout = layout | {"kind": np.where(seen, layout["kind"], -1)}
    front = layers.argmin(axis=1)
    depth = np.take_along_axis(layers, front[:, None], axis=1)[:, 0]
    kind = np.take_along_axis(layout["kind"], np.maximum(front - 1, 0), axis=1)
    classes = np.where(front == 0, surface, len(SURFACES) + kind)
    points = tuple(e + depth * ray for e, ray in zip(eye, rays, strict=True))
    colour = _shade(layout, points, rays, front, classes)
    image = colour.reshape(*shape, 3) * layout["exposure"][:, None, None, None]
    image = image + layout["noise"][:, None, None, None] * noise
    boxes, box_classes = _boxes(front.reshape(shape), layout["kind"])
    return {
        "image": np.rint(255 * np.clip(image, 0, 1)).astype("uint8"),
        "segmentation": classes.reshape(shape),
        "depth": depth.reshape(shape),
        "boxes": boxes,
        "classes": box_classes,
    }


def _rays(layout: dict[str, Any], size: tuple[int, int]) -> Vector:
    """Directions of length 1 along the camera's axis, so that t is depth."""
    height, width = size
    scale = layout["tangent"][:, None] * (2 / height)
    right, down = np.meshgrid(
        np.arange(width, dtype="float32") + 0.5 - width / 2,
        np.arange(height, dtype="float32") + 0.5 - height / 2,
    )
    x, y = scale * right.ravel(), -scale * down.ravel()
    cosine, sine = (f(layout["pitch"][:, None]) for f in (np.cos, np.sin))
    y, z = y * cosine - sine, cosine + y * sine
    x, z = _turn(x, z, layout["yaw"][:, None])
    return x, y, z


def _turn(x: Any, z: Any, angle: Any) -> tuple[Any, Any]:
    """Turns about the y axis, from z towards x."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine + z * sine, z * cosine - x * sine


def _hits(layout: dict[str, Any], origin: Vector, rays: Vector) -> Any:
    """Where rays meet each object: t, `(n, MAX_OBJECTS, p)`."""
    distances = np.full((len(rays[0]), MAX_OBJECTS, rays[0].shape[1]), np.inf)
    distances = distances.astype("float32")
    for index, hit in enumerate(SOLIDS.values()):
        for slot in range(MAX_OBJECTS):
            at = np.flatnonzero(layout["kind"][:, slot] == index)
            if len(at) == 0:
                continue
            place, turn, size = (
                layout[name][at, slot] for name in ("place", "turn", "size")
            )
            distances[at, slot] = hit(
                _to_object([_rows(o, at) for o in origin], place, turn),
                _to_object([d[at] for d in rays], 0 * place, turn),
                tuple(size.T[..., None]),
            )
    return distances


def _rows(values: Any, at: Any) -> Any:
    return values[at] if np.ndim(values) else values


def _to_object(vector: Any, place: Any, turn: Any) -> Vector:
    """Points in the frame of an object; `(n,)` objects, `(n, p)` points."""
    x, z = _turn(
        vector[0] - place[:, :1], vector[2] - place[:, 1:], -turn[:, None]
    )
    return x, vector[1], z


def _room(layout: dict[str, Any], eye: Vector, rays: Vector) -> Any:
    """Depth of the room's surfaces, and which one: both `(n, p)`."""
    t = np.stack(
        [
            np.divide(
                np.where(ray > 0, high[:, None], low[:, None]) - point,
                ray,
                # A ray along a wall never meets it.
                out=np.full(ray.shape, np.inf, ray.dtype),
                where=ray != 0,
            )
            for point, ray, low, high in zip(
                eye, rays, layout["low"].T, layout["high"].T, strict=True
            )
        ]
    )
    wall, floor, ceiling = range(3)
    level = np.where(rays[1] > 0, ceiling, floor)
    return t.min(axis=0), np.where(t.argmin(axis=0) == 1, level, wall)


def _shade(
    layout: dict[str, Any],
    points: Vector,
    rays: Vector,
    front: Any,
    classes: Any,
) -> Any:
    """Colours `(n, p, 3)` under a lamp, with shadows."""
    normals = _normals(layout, points, rays, front, classes)
    # A step off the surface, so that it does not shade itself.
    start = [p + _STEP * n for p, n in zip(points, normals, strict=True)]
    light = [layout["lamp"][:, i, None] - start[i] for i in range(3)]
    x, y, z = light
    # An object between here (t = 0) and the lamp (t = 1).
    shadow = (_hits(layout, tuple(start), (x, y, z)) < 1).any(axis=1)
    far = np.sqrt(x * x + y * y + z * z)
    facing = sum(n * to for n, to in zip(normals, light, strict=True)) / far
    lamp = np.where(shadow, 0, np.maximum(facing, 0)) / (1 + (far / 4) ** 2)
    ambient = layout["ambient"][:, None]
    strength = ambient + _LAMP * (1 - ambient) * lamp
    colour = _colours(layout, points, normals, front, classes)
    return colour * strength[..., None]


def _normals(
    layout: dict[str, Any],
    points: Vector,
    rays: Vector,
    front: Any,
    classes: Any,
) -> Vector:
    """Normals of what shows; those of the room point inwards."""
    place, turn, size = (
        _of_object(layout[name], front) for name in ("place", "turn", "size")
    )
    turn = turn[..., 0]
    x, z = _turn(points[0] - place[..., 0], points[2] - place[..., 1], -turn)
    local = normal(
        classes - len(SURFACES),
        (x, points[1], z),
        tuple(np.moveaxis(size, -1, 0)),
    )
    x, z = _turn(local[0], local[2], turn)
    back = points[2] >= layout["high"][:, 2:] - _STEP
    return tuple(
        np.select(
            [front > 0, classes > 0, back],
            [solid, level, end],
            default=side,
        )
        for solid, level, end, side in (
            (x, 0, 0, -np.sign(rays[0])),
            (local[1], -np.sign(rays[1]), 0, 0),
            (z, 0, -1, 0),
        )
    )


def _colours(
    layout: dict[str, Any],
    points: Vector,
    normals: Vector,
    front: Any,
    classes: Any,
) -> Any:
    """Colours `(n, p, 3)` with their patterns, before any light."""
    row = np.where(front == 0, classes, front + len(SURFACES) - 1)
    colour, period, contrast = (
        np.take_along_axis(
            layout[name].reshape(len(row), -1, last), row[..., None], axis=1
        )
        for name, last in (("colour", 3), ("period", 2), ("contrast", 1))
    )
    # Stripes along walls, checks across floors, bands up objects.
    x, y, z = points
    wall = (front == 0) & (classes == 0)
    along = np.where(normals[0] == 0, x, z)
    one = np.select([front > 0, wall], [y, along], default=x)
    two = np.select([front > 0, wall], [0, y], default=z)
    checks = np.floor(one / period[..., 0]) + np.floor(two / period[..., 1])
    return colour * (1 - contrast * (checks % 2)[..., None])


def _of_object(values: Any, front: Any) -> Any:
    """Values `(n, MAX_OBJECTS, ...)` of the object in front, `(n, p, k)`."""
    slot = np.maximum(front - 1, 0)[..., None]
    flat = values.reshape(len(values), MAX_OBJECTS, -1)
    return np.take_along_axis(flat, slot, axis=1)


def _boxes(front: Any, kind: Any) -> tuple[Any, Any]:
    """Boxes around what shows of each object, and classes, -1 at the end."""
    shown = front[:, None] == np.arange(1, MAX_OBJECTS + 1)[:, None, None]
    edges = []
    for axis in (2, 3):  # columns that show it, then rows
        found = shown.any(axis=axis)
        length = found.shape[-1]
        edges.append(found.argmax(axis=-1))
        edges.append(length - found[..., ::-1].argmax(axis=-1))
    left, right, top, bottom = edges
    boxes = np.stack([left, top, right, bottom], axis=-1)
    boxes[kind < 0] = 0
    order = np.argsort(kind < 0, axis=1, kind="stable")
    boxes = np.take_along_axis(boxes, order[..., None], axis=1)
    return boxes, np.take_along_axis(kind, order, axis=1)
