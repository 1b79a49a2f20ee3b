"""A learned vector that tells a shared tower which task it works for."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.registry import registry


@registry.register("task_embedding")
class TaskEmbedding(keras.layers.Layer):
    """Appends a learned vector to features, or adds it, at every position.

        y = [x; e]    or    y = x + e

    e is the embedding of one task: each task has a layer of its own, and what
    follows can be shared by all of them.

    Args:
        dim: Length of the vector that is appended. None for one of the
            features' length that is added to them.
        embeddings_initializer: Initializer of e.
        embeddings_regularizer: Regularizer of e.
        **kwargs: As for every Keras layer.

    Raises:
        ValueError: `dim` is no positive integer, or the number of channels is
            not known.

    Example:
        >>> import keras
        >>> x = keras.Input((10, 3))
        >>> TaskEmbedding(dim=4, name="a_embedding")(x).shape
        (None, 10, 7)
        >>> TaskEmbedding(dim=None, name="b_embedding")(x).shape
        (None, 10, 3)

    Reference:
        Johnson et al., "Google's Multilingual Neural Machine Translation
        System: Enabling Zero-Shot Translation", TACL 2017, arXiv:1611.04558,
        tells a shared network the task by an embedded token at its input.
    """

    def __init__(
        self,
        dim: int | None = 8,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # True counts as 1 in Python, but means nothing here.
        if dim is not None and (type(dim) is not int or dim < 1):
            raise ValueError(
                "`dim` must be the length of the vector that is appended, a "
                "positive integer, or None for one that is added. Received: "
                f"{dim!r}"
            )
        self.dim = dim
        self.embeddings_initializer = keras.initializers.get(
            embeddings_initializer
        )
        self.embeddings_regularizer = keras.regularizers.get(
            embeddings_regularizer
        )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Makes the vector."""
        if self.built:
            return
        self.embedding = self.add_weight(
            shape=(self.dim or self._channels(input_shape),),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            name="embedding",
        )

    def _channels(self, input_shape: Any) -> int:
        if len(input_shape) < 2 or input_shape[-1] is None:
            raise ValueError(
                f"`inputs` of layer {self.name!r} must have channels on their "
                f"last axis, of a known number. Received: {input_shape}"
            )
        return int(input_shape[-1])

    def call(self, inputs: Any) -> Any:
        """Features with the embedding.

        Args:
            inputs: Features `(batch, ..., channels)`.
        """
        if self.dim is None:
            return inputs + self.embedding
        everywhere = ops.zeros_like(inputs[..., :1]) + self.embedding
        return ops.concatenate([inputs, everywhere], axis=-1)

    def coefficients(self) -> Any:
        """The embedding as a numpy array."""
        return ops.convert_to_numpy(self.embedding)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape, with the appended channels."""
        channels = self._channels(input_shape) + (self.dim or 0)
        return (*input_shape[:-1], channels)

    def get_config(self) -> dict[str, Any]:
        """The arguments, serialized as Keras does."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "embeddings_initializer": keras.initializers.serialize(
                self.embeddings_initializer
            ),
            "embeddings_regularizer": keras.regularizers.serialize(
                self.embeddings_regularizer
            ),
        }
