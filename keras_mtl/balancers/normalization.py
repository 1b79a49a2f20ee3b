"""By what gradients are divided before they are compared."""

from typing import Any

from keras import ops

NORMALIZATIONS = ("none", "l2", "loss", "loss+")


def check_normalization(normalize: str) -> None:
    """Raises for anything that is not one of `NORMALIZATIONS`."""
    if normalize not in NORMALIZATIONS:
        raise ValueError(
            f"`normalize` must be one of {', '.join(NORMALIZATIONS)}. "
            f"Received: normalize={normalize!r}"
        )


def gradient_scales(normalize: str, gram: Any, losses: Any) -> Any:
    """The divisors m_t of the gradients.

    Args:
        normalize: `"none"` (1), `"l2"` (‖g_t‖), `"loss"` (L_t) or `"loss+"`
            (L_t ‖g_t‖).
        gram: Gram matrix `(T, T)`, in float32 or float64.
        losses: Losses `(T,)`.

    Returns:
        Divisors `(T,)` in the dtype of `gram`, all positive: 1 for a row of
        zeros, which needs none.
    """
    scales = ops.ones_like(ops.diagonal(gram))
    if normalize.startswith("loss"):
        scales = scales * ops.cast(losses, gram.dtype)
    if normalize in ("l2", "loss+"):
        scales = scales * ops.sqrt(ops.maximum(ops.diagonal(gram), 0.0))
    return ops.where(scales > 0, scales, ops.ones_like(scales))
