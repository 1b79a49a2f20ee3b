"""Two images pasted on one canvas: one input, one label for each image."""

from typing import Any

import numpy as np


def paste_pairs(left: Any, right: Any, offset: tuple[int, int]) -> Any:
    """Pastes images in pairs, the left one top-left, the right one displaced.

    Where the two overlap, the brighter pixel wins. The canvas is just large
    enough: `(height + rows, width + columns)`.

    Args:
        left: Images `(n, height, width)`, background zero.
        right: Images of the same shape and dtype.
        offset: Rows down and columns right by which `right` is displaced;
            neither is negative.

    Returns:
        Canvases `(n, height + rows, width + columns, 1)` in the images' dtype.

    Raises:
        ValueError: The shapes differ, or a displacement is negative.

    Example:
        >>> one, two = np.array([[[1, 5]]]), np.array([[[3, 2]]])
        >>> paste_pairs(one, two, offset=(0, 1))[0, :, :, 0]
        array([[1, 5, 2]])
    """
    left, right = np.asarray(left), np.asarray(right)
    if left.ndim != 3 or left.shape != right.shape:
        raise ValueError(
            "`left` and `right` must both be images of one shape "
            f"(n, height, width). Received: left.shape={left.shape}, "
            f"right.shape={right.shape}"
        )
    rows, columns = offset
    if rows < 0 or columns < 0:
        raise ValueError(
            "`offset` must be (rows down, columns right), neither negative. "
            f"Received: offset={offset}"
        )
    count, height, width = left.shape
    canvas = np.zeros(
        (count, height + rows, width + columns), np.result_type(left, right)
    )
    canvas[:, :height, :width] = left
    corner = canvas[:, rows:, columns:]
    np.maximum(corner, right, out=corner)
    return canvas[..., np.newaxis]


def draw_pairs(
    left_count: int, right_count: int, num_pairs: int, seed: int
) -> tuple[Any, Any]:
    """Draws which images meet, each of them equally often (give or take one).

    Args:
        left_count: Number of images to draw the left ones from.
        right_count: Number of images to draw the right ones from.
        num_pairs: Number of pairs.
        seed: The same seed gives the same pairs.

    Returns:
        Two integer vectors of length `num_pairs`: the indices of the left and
        of the right images.

    Example:
        >>> left, right = draw_pairs(3, 3, num_pairs=6, seed=0)
        >>> sorted(left.tolist()), sorted(right.tolist())
        ([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2])
    """
    rng = np.random.default_rng(seed)

    def draw(count: int) -> Any:
        rounds = -(-num_pairs // count)  # rounded up
        orders = [rng.permutation(count) for _ in range(rounds)]
        return np.concatenate(orders)[:num_pairs]

    return draw(left_count), draw(right_count)
