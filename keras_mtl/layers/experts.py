"""Experts of dense layers, all of them in one batched product a level."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.layers.registry import registry


@registry.register("experts")
class Experts(keras.layers.Layer):
    """Several dense networks of one shape that read the same features.

    The experts of a mixture: expert `e` is a stack of dense layers with
    weights of its own, and one batched product a level computes them all.

        h_e = dropout(activation(h_e · kernel_e + bias_e)) for each level

    Each argument from `activation` to `bias_regularizer` is one value for all
    levels, or a list with one per level.

    Args:
        num_experts: How many experts there are.
        units: Widths of an expert's levels, from the first to the last, or
            one width.
        activation: Activation of a level.
        dropout: Rate of the dropout behind a level's activation.
        use_bias: Whether a level has a bias.
        kernel_initializer: Initializer of a kernel `(channels, units)`: each
            expert draws one, so that its fans are those of one expert.
        bias_initializer: Initializer of a bias.
        kernel_regularizer: Regularizer of a level's kernels, which it gets as
            one array `(experts, channels, units)`.
        bias_regularizer: Regularizer of a level's biases `(experts, units)`.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype` and the like, for `keras.layers.Layer`.

    Raises:
        ValueError: No expert, no level, a width that is not positive, or a
            list with another length than `units`.

    Call arguments:
        inputs: `(batch, ..., channels)`.
        training: Whether dropout is active.

    Returns:
        `(batch, ..., experts, channels)`.

    Example:
        >>> import keras
        >>> experts = Experts(8, units=(256, 128))
        >>> experts(keras.Input((64,))).shape
        (None, 8, 128)
        >>> [tuple(v.shape) for v in experts.weights if "kernel" in v.name]
        [(8, 64, 256), (8, 256, 128)]
    """

    def __init__(
        self,
        num_experts: int,
        units: int | Sequence[int],
        activation: Any = "relu",
        dropout: float | Sequence[float] = 0.0,
        use_bias: bool | Sequence[bool] = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if type(num_experts) is not int or num_experts < 1:
            raise ValueError(
                "`num_experts` must be a positive number of experts. "
                f"Received: num_experts={num_experts!r}"
            )
        self.num_experts = num_experts
        self.units = [units] if isinstance(units, int) else list(units)
        if not self.units or any(
            type(width) is not int or width < 1 for width in self.units
        ):
            raise ValueError(
                "`units` must be the widths of an expert's levels, at least "
                f"one, all positive. Received: units={units!r}"
            )

        def per_level(value: Any, name: str, get: Any = lambda v: v) -> Any:
            if not isinstance(value, (list, tuple)):
                value = [value] * len(self.units)
            if len(value) != len(self.units):
                raise ValueError(
                    f"`{name}` must be one value, or a list with one for each "
                    f"of the {len(self.units)} levels. Received: {value!r}"
                )
            return [get(v) for v in value]

        self.activation = per_level(
            activation, "activation", keras.activations.get
        )
        self.dropout = per_level(dropout, "dropout")
        self.use_bias = per_level(use_bias, "use_bias")
        initializer = keras.initializers.get
        self.kernel_initializer = per_level(
            kernel_initializer, "kernel_initializer", initializer
        )
        self.bias_initializer = per_level(
            bias_initializer, "bias_initializer", initializer
        )
        regularizer = keras.regularizers.get
        self.kernel_regularizer = per_level(
            kernel_regularizer, "kernel_regularizer", regularizer
        )
        self.bias_regularizer = per_level(
            bias_regularizer, "bias_regularizer", regularizer
        )
        self.seed = seed
        if any(self.dropout):
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the kernels and biases of all levels."""
        self.kernels, self.biases = [], []
        channels = input_shape[-1]
        for level, width in enumerate(self.units):
            self.kernels.append(
                self.add_weight(
                    shape=(self.num_experts, channels, width),
                    initializer=_EachExpert(self.kernel_initializer[level]),
                    regularizer=self.kernel_regularizer[level],
                    name=f"kernel_{level + 1}",
                )
            )
            self.biases.append(
                self.add_weight(
                    shape=(self.num_experts, width),
                    initializer=_EachExpert(self.bias_initializer[level]),
                    regularizer=self.bias_regularizer[level],
                    name=f"bias_{level + 1}",
                )
                if self.use_bias[level]
                else None
            )
            channels = width

    def call(self, inputs: Any, training: bool = False) -> Any:
        """What the experts make of the features."""
        # Experts lead while levels follow one another, (E, N, C), N being all
        # axes before the channels: each product is then one batched matmul
        # without a transposition. The first one broadcasts the features.
        x = ops.reshape(inputs, (-1, inputs.shape[-1]))
        for kernel, bias, activation, rate in zip(
            self.kernels,
            self.biases,
            self.activation,
            self.dropout,
            strict=True,
        ):
            x = ops.matmul(x, kernel)
            if bias is not None:
                x = ops.add(x, ops.expand_dims(bias, 1))
            x = activation(x)
            if training and rate:
                x = keras.random.dropout(x, rate, seed=self.seed_generator)
        x = ops.transpose(x, (1, 0, 2))
        lead = ops.shape(inputs)[:-1]
        return ops.reshape(x, (*lead, self.num_experts, self.units[-1]))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(batch, ..., experts, channels)`."""
        return (*input_shape[:-1], self.num_experts, self.units[-1])

    def get_config(self) -> dict[str, Any]:
        """All arguments, one per level."""

        def each(serialize: Any, values: Any) -> list[Any]:
            return [serialize(value) for value in values]

        initializer = keras.initializers.serialize
        regularizer = keras.regularizers.serialize
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "units": self.units,
            "activation": each(keras.activations.serialize, self.activation),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": each(initializer, self.kernel_initializer),
            "bias_initializer": each(initializer, self.bias_initializer),
            "kernel_regularizer": each(regularizer, self.kernel_regularizer),
            "bias_regularizer": each(regularizer, self.bias_regularizer),
            "seed": self.seed,
        }


class _EachExpert:
    """Draws the weights of one expert after another, and stacks them."""

    def __init__(self, initializer: Any) -> None:
        self.initializer = initializer

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.stack(
            [
                self._of(expert)(shape[1:], dtype=dtype)
                for expert in range(shape[0])
            ]
        )

    def _of(self, expert: int) -> Any:
        if not isinstance(
            self.initializer, keras.initializers.Initializer
        ) or isinstance(
            getattr(self.initializer, "seed", None), keras.random.SeedGenerator
        ):
            return self.initializer
        # Others draw the same values each time: experts that begin as one
        # another would stay so.
        config = self.initializer.get_config()
        if isinstance(config.get("seed"), int):
            config["seed"] += expert
        return type(self.initializer).from_config(config)
