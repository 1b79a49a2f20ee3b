"""A task's learned choice of running a block or passing it by."""

from typing import Any

from keras import ops

from keras_mtl.layers.gumbel_choice import GumbelChoice, cast_each
from keras_mtl.layers.one_shape import one_shape
from keras_mtl.layers.registry import registry


@registry.register("skip_choice")
class SkipChoice(GumbelChoice):
    """Runs a block or skips it, with a learned probability.

    For what comes into a block, `x`, and what the block makes of it, `f(x)`:

        y = u f(x) + (1 - u) x,    (u, 1 - u) = softmax((l + g) / t)

    with logits `l` and Gumbel noise `g`, drawn once a step for the whole
    batch. For a residual block, `f(x) = x + h(x)`, this is `x + u h(x)`. At
    inference, `u` is 1 if running has at least the probability of skipping,
    and else 0. `probabilities()[0]` is the probability `α` of running.

    A loss `sparsity · log α` is added, which favours skipping.

    Called on `[x, f(x)]` of one shape `(batch, …)`; returns that shape.

    Args:
        sparsity: Factor on `log α`. The released code of the paper penalizes
            `-log(1 - α)` instead.
        temperature: `t` at the start; lowered by
            `callbacks.TemperatureDecay`.
        hard: Whether a step of training runs or skips the block wholly, with
            the gradient of `u` (straight-through).
        logits_initializer: Initializer of the logits.
        seed: Seed of the noise.
        **kwargs: As for any Keras layer.

    Raises:
        ValueError: A temperature that is not above 0, a negative sparsity,
            or a block that changes the shape.

    Example:
        >>> import numpy as np
        >>> layer = SkipChoice()
        >>> layer([np.zeros((1, 2)), np.ones((1, 2))]).numpy().tolist()
        [[1.0, 1.0]]
        >>> layer.probabilities().tolist()
        [0.5, 0.5]

    Reference:
        Sun, Panda, Feris, Saenko, "AdaShare: Learning What To Share For
        Efficient Deep Multi-Task Learning", NeurIPS 2020, arXiv:1911.12423.
    """

    def __init__(
        self,
        sparsity: float = 0.0,
        temperature: float = 5.0,
        hard: bool = False,
        logits_initializer: Any = "zeros",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            temperature=temperature,
            hard=hard,
            logits_initializer=logits_initializer,
            seed=seed,
            **kwargs,
        )
        if not 0 <= sparsity < float("inf"):
            raise ValueError(
                "`sparsity` must be a finite number that is not negative. "
                f"Received: sparsity={sparsity!r}"
            )
        self.sparsity = float(sparsity)

    def build(self, input_shape: Any) -> None:
        """Makes the logits of running and of skipping."""
        shapes = one_shape(input_shape, "a block's input and output")
        if len(shapes) != 2:
            raise ValueError(
                "`inputs` must be two: a block's input and its output. "
                f"Received: {len(shapes)}."
            )
        self.add_choice(2)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The block's output, its input, or a mixture in training."""
        before, after = inputs
        run, skip = cast_each(self.option_weights(training), self.compute_dtype)
        if self.sparsity:
            self.add_loss(
                self.sparsity
                * ops.log_softmax(ops.convert_to_tensor(self.logits))[0]
            )
        return run * after + skip * before

    def running_probability(self) -> Any:
        """`α`, as a tensor that gradients go through."""
        return ops.softmax(ops.convert_to_tensor(self.logits))[0]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the block's input."""
        return previous_mask[0] if isinstance(previous_mask, list) else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the block's input."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "sparsity": self.sparsity}
