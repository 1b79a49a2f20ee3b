"""The mask by which a task picks from shared features (MTAN)."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.registry import registry


@registry.register("attention_mask")
class AttentionMask(keras.layers.Layer):
    """A task's mask in (0, 1) over shared features, one for every element.

        mask = σ(h(ReLU(g([u; v]))))
        attended = mask ⊙ u

    u are the features of a shared block, v those that the task attended to
    in the block before, brought to the shape of u. g and h act on each
    position by itself (1×1 convolutions on feature maps with channels last,
    dense layers on vectors), with as many outputs as u has channels, and are
    followed by batch normalization. The layer is called on u in a first
    block, on `[u, v]` in later ones.

    Args:
        batch_norm: Whether g and h are followed by batch normalization, as
            in the paper. They have biases where they are not.
        kernel_initializer: Initializer of g and h.
        kernel_regularizer: Regularizer of g and h.
        **kwargs: As for every Keras layer.

    Raises:
        ValueError: Inputs that are not one or two tensors of one shape but
            for the channels.

    Example:
        >>> import keras
        >>> u = keras.Input((8, 8, 3))
        >>> mask = AttentionMask(name="depth_mask")(u)
        >>> attended = keras.layers.Multiply()([mask, u])
        >>> mask.shape
        (None, 8, 8, 3)

    Reference:
        Liu, Johns, Davison, "End-to-End Multi-Task Learning with Attention",
        CVPR 2019, arXiv:1803.10704.
    """

    def __init__(
        self,
        batch_norm: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_norm = batch_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.supports_masking = True
        if batch_norm:
            self.inner_norm, self.outer_norm = (
                keras.layers.BatchNormalization(
                    dtype=self.dtype_policy, name=name
                )
                for name in ("inner_norm", "outer_norm")
            )

    def build(self, input_shape: Any) -> None:
        """Makes g and h for these channels."""
        if self.built:
            return
        shapes = self._shapes(input_shape)
        channels = shapes[0][-1]
        self.inner_kernel, self.outer_kernel = (
            self.add_weight(
                shape=(inputs, channels),
                initializer=self.kernel_initializer,
                regularizer=self.kernel_regularizer,
                name=name,
            )
            for name, inputs in (
                ("inner_kernel", sum(shape[-1] for shape in shapes)),
                ("outer_kernel", channels),
            )
        )
        if self.batch_norm:
            self.inner_norm.build(shapes[0])
            self.outer_norm.build(shapes[0])
        else:
            self.inner_bias, self.outer_bias = (
                self.add_weight(
                    shape=(channels,), initializer="zeros", name=name
                )
                for name in ("inner_bias", "outer_bias")
            )

    def _shapes(self, input_shape: Any) -> list[Any]:
        """The shapes of u and, where there is one, of v."""
        single = all(d is None or isinstance(d, int) for d in input_shape)
        shapes = [input_shape] if single else list(input_shape)
        fits = len(shapes) in (1, 2) and all(
            len(shape) > 1 and shape[-1] is not None for shape in shapes
        )
        if fits and len(shapes) == 2:
            u, v = shapes
            fits = len(u) == len(v) and all(
                None in pair or pair[0] == pair[1]
                for pair in zip(u[1:-1], v[1:-1], strict=True)
            )
        if not fits:
            raise ValueError(
                f"`inputs` of layer {self.name!r} must be shared features, or "
                "a list of them and of features that were attended to, of the "
                "same shape but for the channels, which must be known. "
                f"Received: {input_shape}"
            )
        return shapes

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        """The mask.

        Args:
            inputs: u `(batch, ..., channels)`, or `[u, v]`.
            mask: Keras mask of the inputs: which positions count in the
                moments of batch normalization.
            training: As in Keras.

        Returns:
            A tensor of the shape of u.
        """
        if isinstance(inputs, (list, tuple)):
            mask = mask[0] if mask else None
            inputs = ops.concatenate(inputs, axis=-1)
        # Batch normalization takes no mask over some of the positions' axes.
        if mask is not None and mask.ndim != inputs.ndim - 1:
            mask = None
        x = ops.matmul(inputs, self.inner_kernel)
        if self.batch_norm:
            x = self.inner_norm(x, mask=mask, training=training)
        else:
            x = x + self.inner_bias
        x = ops.matmul(ops.relu(x), self.outer_kernel)
        if self.batch_norm:
            x = self.outer_norm(x, mask=mask, training=training)
        else:
            x = x + self.outer_bias
        return ops.sigmoid(x)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The Keras mask of u."""
        if isinstance(inputs, (list, tuple)):
            return previous_mask[0] if previous_mask else None
        return previous_mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of u."""
        return tuple(self._shapes(input_shape)[0])

    def get_config(self) -> dict[str, Any]:
        """The arguments, serialized as Keras does."""
        return {
            **super().get_config(),
            "batch_norm": self.batch_norm,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
