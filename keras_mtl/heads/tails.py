"""Numbers that are to be exponentiated, kept from overflowing."""

from typing import Any

from keras import ops


def tame(x: Any, limit: float) -> Any:
    """Lets a number grow only as its logarithm beyond ±`limit`.

    The identity within ±`limit`. Increasing everywhere, with a gradient that
    is never zero, so that what went too far finds its way back, as it would
    not after `ops.clip`.

    Args:
        x: A float tensor.
        limit: Where the logarithm begins.
    """
    excess = ops.maximum(ops.abs(x) - limit, 0.0)
    return ops.clip(x, -limit, limit) + ops.sign(x) * ops.log1p(excess)
