"""What methods share that are steered by a preference among the tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl.balancers.base import LossBalancer, plain_numbers


class PreferenceBalancer(LossBalancer):
    """A balancer of losses with one positive number per task to steer by.

    Args:
        preference: Positive numbers, a list or a dict by task, of which only
            the proportions count. None for an even preference.
    """

    task_arguments: tuple[str, ...] = ("preference",)

    def __init__(
        self,
        preference: Sequence[float] | Mapping[str, float] | None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.preference = None if preference is None else _positive(preference)

    def shares(self, losses: Any, present: Any) -> Any:
        """The preference `(T,)`, summing to 1 over the present tasks."""
        chosen = 1.0 if self.preference is None else self.preference
        shares = ops.convert_to_tensor(
            self.per_task(chosen, "preference"), dtype=losses.dtype
        )
        shares = ops.where(present, shares, ops.zeros_like(shares))
        return shares / ops.maximum(ops.sum(shares), 1e-30)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "preference": self.preference}


def _positive(preference: Any) -> list[float] | dict[str, float]:
    plain = plain_numbers(preference, "preference")
    values = plain.values() if isinstance(plain, dict) else plain
    if isinstance(values, float) or not all(v > 0 for v in values):
        raise ValueError(
            "`preference` must be a list of positive numbers, one for each "
            "task, or a dict of them by task. "
            f"Received: preference={preference!r}"
        )
    return plain  # type: ignore[return-value]
