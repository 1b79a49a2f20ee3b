"""Whether the losses of a model are on one scale."""

from collections.abc import Mapping

FAR_APART = 10.0


def scale_ratio(losses: Mapping[str, float]) -> float:
    """The largest loss against the smallest, of those above 0."""
    positive = [value for value in losses.values() if value > 0]
    return max(positive) / min(positive) if positive else 1.0


def equalizing_weights(losses: Mapping[str, float]) -> dict[str, float]:
    """Weights that make all losses equal, two digits each.

    They are divided by the smallest, so that the largest loss keeps its
    scale's weight at 1 and learning rates stay in their range: no weighted
    loss exceeds the largest one. A loss that is not above 0 has weight 1.

    Args:
        losses: The loss of each task before training.
    """
    positive = {k: v for k, v in losses.items() if v > 0}
    if not positive:
        return dict.fromkeys(losses, 1.0)
    smallest = min(positive.values())
    return {
        name: float(f"{smallest / value:.2g}") if value > 0 else 1.0
        for name, value in losses.items()
    }
