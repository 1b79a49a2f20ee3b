"""What stands where in the rooms of `draw_scenes`, drawn at random."""

from typing import Any

import numpy as np

from keras_mtl.data.scene_shapes import SOLIDS

MAX_OBJECTS = 6
SURFACES = ("wall", "floor", "ceiling")
_TRIES = 8  # places tried for an object before it is left out


def draw_layout(rng: np.random.Generator, width: float) -> dict[str, Any]:
    """Draws a room, what stands in it, the camera and the light.

    Lengths are in metres. The camera stands at x = z = 0 and looks towards
    +z, y is up. Arrays of objects have `MAX_OBJECTS` rows.

    Args:
        rng: Where the randomness comes from.
        width: Width of the image relative to its height.

    Returns:
        Numbers and arrays by name.
    """
    uniform = rng.uniform
    layout: dict[str, Any] = {
        "eye": uniform(1.3, 1.8),  # height of the camera
        "yaw": uniform(-0.35, 0.35),
        "pitch": uniform(0.1, 0.35),  # downwards
        "tangent": np.tan(uniform(0.5, 0.6)),  # of half the vertical angle
        "low": np.array([uniform(-3, -1.6), 0.0, -1.0]),  # corners of the room
        "high": np.array([uniform(1.6, 3), uniform(2.3, 3), uniform(3.6, 7)]),
        "ambient": uniform(0.35, 0.6),
        "exposure": uniform(0.8, 1.15),
        "noise": uniform(0.005, 0.03),
    }
    low, high = layout["low"], layout["high"]
    layout["lamp"] = np.array(
        [
            uniform(0.6 * low[0], 0.6 * high[0]),
            0.8 * high[1],
            uniform(0.2, 0.8) * high[2],
        ]
    )
    # The palette: a row for each surface of the room and each object.
    rows = len(SURFACES) + MAX_OBJECTS
    saturation, value = uniform([[0.45], [0.55]], 0.95, (2, rows))
    saturation[:3] = uniform(0.02, [0.25, 0.45, 0.06])
    value[:3] = uniform([0.6, 0.4, 0.85], [0.95, 0.75, 0.95])
    layout["colour"] = _rgb(uniform(0, 1, rows), saturation, value)
    # Checks: their two periods, and by how much every second one is darker.
    layout["period"] = uniform(0.3, 0.9, (rows, 2))
    layout["contrast"] = uniform(0.0, 0.25, rows)
    layout["period"][3:] = uniform(0.1, 0.4, (MAX_OBJECTS, 2))
    if rng.random() < 0.5:  # boards instead of tiles
        layout["period"][1, 1] = 20
    layout["period"][0, 1] = 20  # wallpaper with upright stripes
    layout["contrast"][2] = 0
    return layout | _objects(rng, layout, width)


def _objects(
    rng: np.random.Generator, layout: dict[str, Any], width: float
) -> dict[str, Any]:
    """Objects on the floor, in view, that do not touch."""
    objects = {
        "kind": np.full(MAX_OBJECTS, -1),
        "place": np.zeros((MAX_OBJECTS, 2)),
        "turn": np.zeros(MAX_OBJECTS),
        "size": np.ones((MAX_OBJECTS, 3)),
    }
    low, high = layout["low"][[0, 2]], layout["high"][[0, 2]]
    sine, cosine = np.sin(layout["yaw"]), np.cos(layout["yaw"])
    spread = 0.85 * layout["tangent"] * width
    radii = np.zeros(MAX_OBJECTS)
    filled = 0
    for _ in range(rng.integers(2, MAX_OBJECTS + 1)):
        kind, size = _solid(rng)
        radius = np.hypot(size[0], size[2]) if kind == 1 else size[0]
        distances = rng.uniform(1.8, high[1], _TRIES)
        sideways = rng.uniform(-spread, spread, _TRIES) * distances
        places = np.stack(
            [
                sideways * cosine + distances * sine,
                distances * cosine - sideways * sine,
            ],
            axis=1,
        )
        inside = (places - radius > low) & (places + radius < high)
        gaps = places[:, None] - objects["place"][:filled]
        free = np.hypot(gaps[..., 0], gaps[..., 1]) > radii[:filled] + radius
        fits = np.flatnonzero(inside.all(1) & free.all(1))
        if len(fits) == 0:
            continue
        objects["kind"][filled] = kind
        objects["place"][filled] = places[fits[0]]
        objects["turn"][filled] = rng.uniform(0, np.pi)
        objects["size"][filled] = size
        radii[filled] = radius
        filled += 1
    return objects


def _solid(rng: np.random.Generator) -> tuple[int, Any]:
    """A kind, and half width, height and half depth."""
    kind = int(rng.integers(len(SOLIDS)))
    half, height, other = rng.uniform([0.22, 0.45, 0.22], [0.5, 1.2, 0.5])
    name = list(SOLIDS)[kind]
    if name == "ball":
        return kind, (half, 2 * half, half)
    if name == "cone":  # flat ones would be hard to tell from their shadows
        return kind, (half, max(height, 2 * half), half)
    if name == "cylinder":
        return kind, (0.8 * half, height, 0.8 * half)
    return kind, (half, height, other)


def _rgb(hue: Any, saturation: Any, value: Any) -> Any:
    """Colours `(n, 3)` from hue, saturation and value in [0, 1]."""
    wheel = np.abs((6 * hue[:, None] + np.array([0, 4, 2])) % 6 - 3) - 1
    white = 1 - saturation[:, None] * (1 - np.clip(wheel, 0, 1))
    return value[:, None] * white
