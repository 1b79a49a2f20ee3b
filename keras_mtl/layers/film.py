"""Feature-wise linear modulation: a scale and a shift for every channel."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.registry import registry


@registry.register("film")
class FiLM(keras.layers.Layer):
    """Scales and shifts each channel, by a condition or by learned values.

        y[..., c] = γ_c · x[..., c] + β_c,    γ = 1 + Δγ

    Called on `[x, z]`, it computes (Δγ, β) = W z + b for each example from
    the condition z `(batch, size)`. Called on x alone, it learns (Δγ, β) = b:
    a layer for each task conditions a shared tower on the task. b starts at
    zero, so that without a condition the layer starts as the identity.

    Args:
        kernel_initializer: Initializer of W.
        kernel_regularizer: Regularizer of W.
        bias_regularizer: Regularizer of b: it pulls γ to 1 and β to 0.
        **kwargs: As for every Keras layer.

    Raises:
        ValueError: A condition that is not `(batch, size)`, or features
            without a known number of channels.

    Example:
        >>> import keras
        >>> x, z = keras.Input((8, 8, 3)), keras.Input((5,))
        >>> FiLM(name="by_condition")([x, z]).shape
        (None, 8, 8, 3)
        >>> layer = FiLM(name="depth_film")
        >>> y = layer(x)
        >>> gamma, beta = layer.coefficients()
        >>> gamma.tolist()
        [1.0, 1.0, 1.0]

    Reference:
        Perez, Strub, de Vries, Dumoulin, Courville, "FiLM: Visual Reasoning
        with a General Conditioning Layer", AAAI 2018, arXiv:1709.07871. A γ
        and β for each task: Requeima et al., "Fast and Flexible Multi-Task
        Classification Using Conditional Neural Adaptive Processes", NeurIPS
        2019, arXiv:1906.07697.
    """

    def __init__(
        self,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Makes W, where there is a condition, and b."""
        if self.built:
            return
        features, condition = self._shapes(input_shape)
        self.channels = features[-1]
        self.kernel = None
        if condition is not None:
            self.kernel = self.add_weight(
                shape=(condition[-1], 2 * self.channels),
                initializer=self.kernel_initializer,
                regularizer=self.kernel_regularizer,
                name="kernel",
            )
        self.bias = self.add_weight(
            shape=(2 * self.channels,),
            initializer="zeros",
            regularizer=self.bias_regularizer,
            name="bias",
        )

    def _shapes(self, input_shape: Any) -> tuple[Any, Any]:
        """The shapes of the features and of the condition, or None."""
        features, condition = input_shape, None
        if not all(d is None or isinstance(d, int) for d in input_shape):
            if len(input_shape) != 2:
                raise ValueError(
                    f"`inputs` of layer {self.name!r} must be features, or a "
                    "list of features and a condition. Received: "
                    f"{len(input_shape)} tensors."
                )
            features, condition = input_shape
            if len(condition) != 2 or condition[-1] is None:
                raise ValueError(
                    f"The condition of layer {self.name!r} must have the "
                    f"shape (batch, size). Received: {condition}"
                )
        if len(features) < 2 or features[-1] is None:
            raise ValueError(
                f"`inputs` of layer {self.name!r} must have channels on their "
                f"last axis, of a known number. Received: {features}"
            )
        return features, condition

    def call(self, inputs: Any) -> Any:
        """Modulated features.

        Args:
            inputs: Features `(batch, ..., channels)`, or a list of them and
                the condition `(batch, size)`.

        Returns:
            A tensor of the shape of the features.
        """
        if self.kernel is None:
            x, gamma, beta = inputs, *self._modulation(None)
        else:
            x, condition = inputs
            between = (1,) * (len(x.shape) - 2)
            gamma, beta = (
                ops.reshape(part, (-1, *between, self.channels))
                for part in self._modulation(condition)
            )
        return gamma * x + beta

    def _modulation(self, condition: Any) -> tuple[Any, Any]:
        """γ and β, `(channels,)` or `(batch, channels)`."""
        both = ops.convert_to_tensor(self.bias)
        if condition is not None:
            both = both + ops.matmul(condition, self.kernel)
        delta, beta = ops.split(both, 2, axis=-1)
        return 1.0 + delta, beta

    def coefficients(self, condition: Any = None) -> tuple[Any, Any]:
        """γ and β as numpy arrays.

        Args:
            condition: A batch of conditions, for a layer that is called with
                one; then there is one γ and β for each.
        """
        if (condition is None) != (self.kernel is None):
            raise ValueError(
                f"`condition` of layer {self.name!r} must be given if and "
                "only if the layer is called with one."
            )
        if condition is not None:
            condition = ops.convert_to_tensor(condition, self.variable_dtype)
        gamma, beta = self._modulation(condition)
        return ops.convert_to_numpy(gamma), ops.convert_to_numpy(beta)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The Keras mask of the features."""
        if isinstance(inputs, (list, tuple)):
            return previous_mask[0] if previous_mask else None
        return previous_mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the features."""
        return tuple(self._shapes(input_shape)[0])

    def get_config(self) -> dict[str, Any]:
        """The arguments, serialized as Keras does."""
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "bias_regularizer": keras.regularizers.serialize(
                self.bias_regularizer
            ),
        }
