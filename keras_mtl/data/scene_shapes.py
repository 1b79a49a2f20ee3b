"""Where rays meet solids, and which way the solids' surfaces look there.

Each solid stands on the plane y = 0 about the axis x = z = 0. `size` is
(half width, height, half depth); round solids have a radius of half the width.
Vectors are tuples (x, y, z) of arrays that broadcast, rays are
`origin + t * direction`.
"""

from typing import Any

import numpy as np

Vector = tuple[Any, Any, Any]

_SKIN = 1e-3  # metres; how far a computed hit may lie beside the surface


def hit_ball(origin: Vector, direction: Vector, size: Vector) -> Any:
    """The t > 0 of the first hit, inf where there is none."""
    radius = size[0]
    x, y, z = origin[0], origin[1] - radius, origin[2]
    dx, dy, dz = direction
    a = dx * dx + dy * dy + dz * dz
    b = x * dx + y * dy + z * dz
    c = x * x + y * y + z * z - radius * radius
    return _first(_roots(a, b, c)[0])


def hit_box(origin: Vector, direction: Vector, size: Vector) -> Any:
    """The t > 0 of the first hit, inf where there is none."""
    enter, leave = -np.inf, np.inf
    for o, d, low, high in (
        (origin[0], direction[0], -size[0], size[0]),
        (origin[1], direction[1], 0.0, size[1]),
        (origin[2], direction[2], -size[2], size[2]),
    ):
        one, two = (low - o) / d, (high - o) / d
        enter = np.maximum(enter, np.minimum(one, two))
        leave = np.minimum(leave, np.maximum(one, two))
    return _first(np.where(enter <= leave, enter, np.inf))


def hit_cone(origin: Vector, direction: Vector, size: Vector) -> Any:
    """The t > 0 of the first hit, inf where there is none."""
    slope = (size[0] / size[1]) ** 2
    x, z = origin[0], origin[2]
    dx, dz = direction[0], direction[2]
    down, ddown = size[1] - origin[1], -direction[1]  # from the apex
    a = dx * dx + dz * dz - slope * ddown * ddown
    b = x * dx + z * dz - slope * down * ddown
    c = x * x + z * z - slope * down * down
    hits = []
    for t in _roots(a, b, c):
        below = down + t * ddown
        on = (below >= 0) & (below <= size[1])
        hits.append(_first(np.where(on, t, np.inf)))
    return np.minimum(*hits)


def hit_cylinder(origin: Vector, direction: Vector, size: Vector) -> Any:
    """The t > 0 of the first hit, inf where there is none."""
    square = size[0] * size[0]
    x, y, z = origin
    dx, dy, dz = direction
    side = _roots(dx * dx + dz * dz, x * dx + z * dz, x * x + z * z - square)[0]
    level = y + side * dy
    side = np.where((level >= 0) & (level <= size[1]), side, np.inf)
    top = (size[1] - y) / dy
    within = (x + top * dx) ** 2 + (z + top * dz) ** 2 <= square
    return np.minimum(_first(side), _first(np.where(within, top, np.inf)))


def normal(kind: Any, point: Vector, size: Vector) -> Vector:
    """Outward normals of length 1.

    Args:
        kind: Indices into `SOLIDS`.
        point: Points on the solids' surfaces.
        size: The solids' sizes.

    Returns:
        The components, arrays like those of `point`.
    """
    x, y, z = point
    a, height, b = size
    zero = np.zeros_like(x)
    top = y >= height - _SKIN
    # How far out along each axis, relative to the box's faces.
    across, along = np.abs(x) / a, np.abs(z) / b
    face_x = ~top & (across >= along)
    box = (
        np.where(face_x, np.sign(x), 0.0),
        np.where(top, 1.0, 0.0),
        np.where(~top & ~face_x, np.sign(z), 0.0),
    )
    candidates = {
        "ball": (x, y - a, z),
        "box": box,
        "cone": (x, np.hypot(x, z) * a / height, z),
        "cylinder": (
            np.where(top, zero, x),
            np.where(top, 1.0, zero),
            np.where(top, zero, z),
        ),
    }
    which = [kind == index for index in range(len(SOLIDS))]
    n = [
        np.select(which, [candidates[name][i] for name in SOLIDS])
        for i in range(3)
    ]
    length = np.sqrt(n[0] ** 2 + n[1] ** 2 + n[2] ** 2) + 1e-9
    return n[0] / length, n[1] / length, n[2] / length


def _roots(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """Solutions of a t² + 2 b t + c = 0; NaN where there are none."""
    root = np.sqrt(b * b - a * c)
    return (-b - root) / a, (-b + root) / a


def _first(t: Any) -> Any:
    """`t` where it is a hit in front: positive and finite."""
    return np.where(t > 0, t, np.inf)  # NaN fails the comparison


SOLIDS = {
    "ball": hit_ball,
    "box": hit_box,
    "cone": hit_cone,
    "cylinder": hit_cylinder,
}
