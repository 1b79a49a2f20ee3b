"""One task drawn at random for each step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.schedules.base import Schedule, registry


@registry.register("random_task")
class RandomTask(Schedule):
    """Each step trains one task, drawn at random.

    The draw is a function of the seed and the step, so that a resumed run
    draws what one that was never stopped would.

    Args:
        probabilities: Numbers by task that the chances are proportional to;
            a task that is left out has 1. Equal chances by default.
        seed: Of the draws.
        name: Name of the layer.

    Raises:
        ValueError: A number that is not positive, or a misspelt task.

    Example:
        >>> RandomTask({"a": 3.0}, seed=1).seed
        1
    """

    def __init__(
        self,
        probabilities: Mapping[str, float] | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        probabilities = dict(probabilities or {})
        for task, value in probabilities.items():
            if not 0 < value < np.inf:
                raise ValueError(
                    f"`probabilities[{task!r}]` must be a positive number. "
                    f"Received: {value!r}"
                )
        self.probabilities = {k: float(v) for k, v in probabilities.items()}
        self.seed = seed

    def build(self, input_shape: Sequence[int]) -> None:
        """Adds up the chances."""
        super().build(input_shape)
        chances = self.by_task(self.probabilities, "probabilities", 1.0)
        self._bounds = (np.cumsum(chances) / np.sum(chances))[:-1]

    def factors(self, step: Any) -> Any:
        """1 for the task that is drawn, 0 for the others."""
        bounds = ops.convert_to_tensor(self._bounds, "float32")
        drawn = _uniform(ops.cast(step, "uint32"), self.seed)
        task = ops.sum(ops.cast(drawn >= bounds, "int32"))
        return ops.one_hot(task, self.num_tasks, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "name": self.name,
            "probabilities": self.probabilities,
            "seed": self.seed,
        }


def _uniform(step: Any, seed: int) -> Any:
    """A number in [0, 1) that is a function of step and seed.

    Keras's stateless draws take no seed from within a graph. This is a
    finalizer of 32-bit hashes (Wang's and Mueller's kind): every bit of the
    input changes every bit of the output with chance one half.
    """
    bits = step * ops.cast(2654435769, "uint32")
    bits = bits + ops.cast(seed * 2246822519 % 2**32, "uint32")
    for _ in range(2):
        bits = ops.bitwise_xor(bits, ops.right_shift(bits, 16))
        bits = bits * ops.cast(73244475, "uint32")
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, 16))
    # 24 bits are what a float32 holds exactly.
    return ops.cast(ops.right_shift(bits, 8), "float32") / 2**24
