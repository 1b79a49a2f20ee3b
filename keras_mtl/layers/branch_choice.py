"""A node of a tree that learns which parent it grows from."""

from typing import Any

from keras_mtl.layers.gumbel_choice import GumbelChoice, cast_each
from keras_mtl.layers.one_shape import one_shape
from keras_mtl.layers.registry import registry


@registry.register("branch_choice")
class BranchChoice(GumbelChoice):
    """Draws one of several parents' features, with learned probabilities.

    For parents `x_1, …, x_n`, logits `l` and Gumbel noise `g`, drawn once a
    step for the whole batch:

        y = Σ_i w_i x_i,    w = softmax((l + g) / t)

    At inference, `y` is the parent of the largest logit. `probabilities()`
    and `choice()` tell what was learned.

    Called on a list of tensors of one shape `(batch, …)`; returns that shape.

    Args:
        temperature: `t` at the start; lowered by
            `callbacks.TemperatureDecay`.
        hard: Whether a step of training takes one parent alone, with the
            gradient of `w` (straight-through), as some implementations do.
        logits_initializer: Initializer of the logits.
        seed: Seed of the noise.
        **kwargs: As for any Keras layer.

    Raises:
        ValueError: A temperature that is not above 0, no list of parents, or
            parents of different shapes.

    Example:
        >>> import numpy as np
        >>> layer = BranchChoice()
        >>> layer([np.zeros((2, 3)), np.ones((2, 3))]).shape.as_list()
        [2, 3]
        >>> layer.choice(), layer.probabilities().tolist()
        (0, [0.5, 0.5])

    Reference:
        Guo, Lee, Ulbricht, "Learning to Branch for Multi-Task Learning",
        ICML 2020, arXiv:2006.01895.
    """

    def build(self, input_shape: Any) -> None:
        """Makes a logit for each parent."""
        shapes = one_shape(input_shape, "parents")
        self.add_choice(len(shapes))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The features of the chosen parent, or a mixture in training."""
        weights = self.option_weights(training)
        return sum(
            x * weight
            for x, weight in zip(
                inputs, cast_each(weights, self.compute_dtype), strict=True
            )
        )

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the first parent."""
        return previous_mask[0] if isinstance(previous_mask, list) else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of a parent."""
        return tuple(input_shape[0])
