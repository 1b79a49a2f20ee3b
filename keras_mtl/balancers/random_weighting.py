"""Random loss weights."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.balancers.base import LossBalancer, registry
from keras_mtl.linalg import at_least_float32


@registry.register("random_weighting")
class RandomWeighting(LossBalancer):
    """Draws new loss weights at every step.

    A baseline that any other method should beat: on average it is the mean
    of the losses, and its noise helps out of poor minima.

        w = softmax(z),   z ~ N(0, I)

    Args:
        seed: Seed of the draws.

    Example:
    >>> from keras_mtl.balancers import aggregate
    >>> _, weights = aggregate(
    ...     RandomWeighting(seed=0), [[-4.0, 1.0], [6.0, 1.0]], [1.0, 1.0]
    ... )
    >>> round(float(weights.sum()), 6)
    1.0

    Reference:
        Lin et al., "Reasonable Effectiveness of Random Weighting: A Litmus
        Test for Multi-Task Learning", TMLR 2022, arXiv:2111.10603. LibMTL's
        RLW agrees by default and offers other distributions; TorchJD's Random
        agrees.
    """

    def __init__(
        self, seed: int | None = None, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the draws of the current step `(T,)`."""
        self.draws = self.add_weight(
            shape=(int(input_shape[0]),),
            initializer="zeros",
            trainable=False,
            name="draws",
        )
        super().build(input_shape)

    def observe(self, losses: Any, present: Any) -> None:
        """Draws anew for the present tasks."""
        draws = keras.random.normal(
            (self.num_tasks,), dtype="float32", seed=self.seed_generator
        )
        # The k-th task that is present takes the k-th draw, so that an absent
        # one leaves no trace in the weights of the others.
        ranks = ops.cumsum(ops.cast(present, "int32")) - 1
        draws = ops.take(draws, ops.maximum(ranks, 0))
        draws = ops.cast(draws, self.draws.dtype)
        self.draws.assign(ops.where(present, draws, self.draws))

    def task_weights(self, losses: Any, present: Any) -> Any:
        """Softmax of the current draws over the present tasks."""
        wide = at_least_float32(losses)
        scores = ops.cast(self.draws, wide.dtype)
        here = ops.cast(present, wide.dtype)
        # Draws of a normal distribution are far from overflow.
        scores = here * ops.exp(scores)
        weights = scores / ops.maximum(ops.sum(scores), 1e-30)
        return ops.cast(weights, losses.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "seed": self.seed}
