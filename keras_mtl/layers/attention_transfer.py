"""Attention over a task's own features and those of the task before it."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.layers.one_shape import one_shape
from keras_mtl.layers.registry import registry


@registry.register("attention_transfer")
class AttentionTransfer(keras.layers.Layer):
    """Weighs a task's own features against what an earlier task hands on.

    For own features `p` and handed-on ones `q`, of `k` channels each:

        z = Σ_u w_u V u,    w = softmax over u in {p, q} of (Q u)·(K u) / √k

    The score of `u` is the product of its own query and its own key, unlike
    in a transformer. Features with more axes (sequences, maps) are weighed
    at each place by itself.

    Called on the list `[p, q]` of one shape `(batch, …, channels)`; returns
    that shape. `attention([p, q])` tells the weights.

    Args:
        kernel_initializer: Initializer of `Q`, `K` and `V`.
        kernel_regularizer: Regularizer of each.
        kernel_constraint: Constraint of each.
        **kwargs: As for any Keras layer.

    Raises:
        ValueError: Anything but two inputs of one shape, or a number of
            channels that is not known.

    Example:
        >>> import numpy as np
        >>> layer = AttentionTransfer()
        >>> own, handed_on = np.zeros((2, 4)), np.ones((2, 4))
        >>> layer([own, handed_on]).shape.as_list()
        [2, 4]
        >>> layer.attention([own, own]).tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Reference:
        Xi et al., "Modeling the Sequential Dependence among Audience
        Multi-step Conversions with Multi-task Learning in Targeted Display
        Advertising", KDD 2021, arXiv:2105.08489.
    """

    def __init__(
        self,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Makes the three kernels."""
        shapes = one_shape(input_shape, "own and handed-on features")
        channels = shapes[0][-1]
        if len(shapes) != 2 or channels is None:
            raise ValueError(
                "`inputs` must be two, a task's own features and those handed "
                "on to it, with a known number of channels. Received: "
                f"{shapes}."
            )
        self.query, self.key, self.value = (
            self.add_weight(
                name=name,
                shape=(channels, channels),
                initializer=keras.initializers.get(
                    keras.initializers.serialize(self.kernel_initializer)
                ),
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
            )
            for name in ("query", "key", "value")
        )

    def call(self, inputs: Any) -> Any:
        """The weighted sum of the values."""
        # b batch and places, u the two sources, k channels
        sources = ops.stack(inputs, axis=-2)
        weights = ops.cast(self._weights(sources), self.compute_dtype)
        return ops.einsum(
            "...u,...uk->...k", weights, ops.matmul(sources, self.value)
        )

    def attention(self, inputs: Any) -> np.ndarray:
        """Weights of own and of handed-on features, `(batch, …, 2)`."""
        sources = ops.stack([ops.cast(x, self.compute_dtype) for x in inputs])
        weights = self._weights(ops.moveaxis(sources, 0, -2))
        return np.asarray(ops.convert_to_numpy(weights))

    def _weights(self, sources: Any) -> Any:
        # Scores and softmax are computed in single precision at least.
        whole = keras.backend.result_type(self.compute_dtype, "float32")
        queries = ops.cast(ops.matmul(sources, self.query), whole)
        keys = ops.cast(ops.matmul(sources, self.key), whole)
        scores = ops.sum(queries * keys, axis=-1) / sources.shape[-1] ** 0.5
        return ops.softmax(scores, axis=-1)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the own features."""
        return previous_mask[0] if isinstance(previous_mask, list) else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the own features."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "kernel_constraint": keras.constraints.serialize(
                self.kernel_constraint
            ),
        }
