"""What layers share that learn to choose one of several options."""

from typing import Any

import keras
import numpy as np
from keras import ops

# The smallest normal number: its logarithm is finite, and no accelerator
# flushes it to zero.
_TINY = float(np.finfo("float32").tiny)


class GumbelChoice(keras.layers.Layer):
    """The base of layers that choose by Gumbel-softmax.

    For logits `l`, temperature `t` and Gumbel noise `g`, drawn anew in each
    step of training, the options weigh

        w = softmax((l + g) / t)

    and at inference 1 for the option of the largest logit, 0 for others.

    Args:
        temperature: `t` at the start. Large: options are mixed; towards 0:
            one is drawn with the probability `softmax(l)`. It is a variable
            of the layer, lowered by `callbacks.TemperatureDecay`.
        hard: Whether a step of training takes the option of the largest
            weight alone, with the gradient of `w` (straight-through).
        logits_initializer: Initializer of the logits.
        seed: Seed of the noise.
        **kwargs: As for any Keras layer.

    Raises:
        ValueError: A temperature that is not above 0.
    """

    def __init__(
        self,
        temperature: float = 5.0,
        hard: bool = False,
        logits_initializer: Any = "zeros",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_temperature(temperature)
        self.initial_temperature = float(temperature)
        self.hard = hard
        self.logits_initializer = keras.initializers.get(logits_initializer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def add_choice(self, options: int) -> None:
        """Makes the variables, which stay whole in mixed precision.

        Args:
            options: How many options there are.
        """
        self.logits = self.add_weight(
            name="logits",
            shape=(options,),
            initializer=self.logits_initializer,
            autocast=False,
        )
        self.temperature = self.add_weight(
            name="temperature",
            shape=(),
            initializer=keras.initializers.Constant(self.initial_temperature),
            trainable=False,
            autocast=False,
        )

    def option_weights(self, training: bool | None) -> Any:
        """Weights of the options, `(options,)`, of sum 1.

        Args:
            training: Whether to draw; if not, the weights are 0 and 1.
        """
        logits = ops.convert_to_tensor(self.logits)
        (options,) = logits.shape
        if not training:
            return ops.one_hot(ops.argmax(logits), options, dtype=logits.dtype)
        uniform = keras.random.uniform(
            (options,),
            minval=_TINY,
            dtype=logits.dtype,
            seed=self.seed_generator,
        )
        noise = -ops.log(-ops.log(uniform))
        soft = ops.softmax((logits + noise) / self.temperature)
        if not self.hard:
            return soft
        drawn = ops.one_hot(ops.argmax(soft), options, dtype=soft.dtype)
        # The difference is exactly 0, and all of the gradient.
        return drawn + (soft - ops.stop_gradient(soft))

    def probabilities(self) -> np.ndarray:
        """Probability of each option without noise, `(options,)`."""
        return np.asarray(ops.convert_to_numpy(ops.softmax(self.logits)))

    def choice(self) -> int:
        """The index of the option that inference takes."""
        return int(np.argmax(ops.convert_to_numpy(self.logits)))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "temperature": self.initial_temperature,
            "hard": self.hard,
            "logits_initializer": keras.initializers.serialize(
                self.logits_initializer
            ),
            "seed": self.seed,
        }


def cast_each(weights: Any, dtype: str) -> list[Any]:
    """The entries of a vector, one by one, in a dtype."""
    return ops.unstack(ops.cast(weights, dtype))  # type: ignore[no-any-return]


def check_temperature(value: Any, argument: str = "temperature") -> None:
    """Refuses what is no temperature.

    Raises:
        ValueError: Not a finite number above 0.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, np.number))
        or not 0 < value < float("inf")
    ):
        raise ValueError(
            f"`{argument}` must be a finite number above 0. Received: "
            f"{argument}={value!r}"
        )
