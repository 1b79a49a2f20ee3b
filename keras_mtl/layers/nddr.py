"""NDDR: all towers' channels reduced to those of one tower."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.layers.mixture import TowerMixture, shares, starting_at
from keras_mtl.layers.registry import registry


@registry.register("nddr")
class NDDR(TowerMixture):
    """Fuses the channels of all towers by a learned 1×1 convolution.

        y = activation(normalization(Σₜ x[t] · W[t]))

    "Neural discriminative dimensionality reduction": the towers' channels
    are concatenated and brought back to the number of one tower, so that
    each channel of the result can read each channel of each tower. At the
    beginning `W[t]` is diagonal, near the identity for its own tower.
    `coefficients()` gives W as an array `(towers, channels, channels)`.

    The paper's layer is the convolution, batch normalization and weight
    decay; its published code also applies a ReLU, as it does after every
    convolution. The defaults here follow the code, but for weight decay,
    which belongs in `kernel_regularizer` or in the optimizer.
    That code trains the layer with 100 times the towers' learning rate.

    Args:
        tower: The place of its own tower in the list.
        own: What stands on the diagonal of its own tower; the others begin
            with `(1 - own) / (towers - 1)`.
        normalization: `"batch"`, with the momentum .95 of the paper's code;
            `"layer"`, which normalizes each vector by itself and so suits
            small batches and data whose statistics drift; or `None`, which
            puts a bias in its place.
        activation: A Keras activation, its name or `None`. Take `None` where
            blocks do not end with a ReLU.
        kernel_regularizer: A Keras regularizer of W; the paper's weight decay
            is `keras.regularizers.L2(...)`.
        kwargs: Arguments of every Keras layer.

    Call arguments:
        inputs: A list of features of equal shapes `(batch, ..., channels)`.

    Raises:
        ValueError: An option out of range; features of unequal shapes.

    Example:
        >>> import keras
        >>> towers = [keras.Input((9, 9, 4)), keras.Input((9, 9, 4))]
        >>> fuse = NDDR(tower=0, own=0.75)
        >>> fuse(towers).shape
        (None, 9, 9, 4)
        >>> fuse.coefficients().shape
        (2, 4, 4)
        >>> print(fuse.coefficients()[1, 0])
        [0.25 0.   0.   0.  ]

    Reference:
        Gao et al., "NDDR-CNN: Layerwise Feature Fusing in Multi-Task CNNs by
        Neural Discriminative Dimensionality Reduction", CVPR 2019,
        arXiv:1801.08297.
    """

    def __init__(
        self,
        tower: int,
        own: float = 0.9,
        normalization: str | None = "batch",
        activation: Any = "relu",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tower, own, **kwargs)
        if normalization not in ("batch", "layer", None):
            raise ValueError(
                "`normalization` must be 'batch', 'layer' or None. "
                f"Received: normalization={normalization!r}"
            )
        self.normalization = normalization
        self.activation = keras.activations.get(activation)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.normalizer: Any = None
        self.bias: Any = None
        if normalization == "batch":
            self.normalizer = keras.layers.BatchNormalization(
                momentum=0.95, name="normalizer", dtype=self.dtype_policy
            )
        elif normalization == "layer":
            self.normalizer = keras.layers.LayerNormalization(
                name="normalizer", dtype=self.dtype_policy
            )

    def build(self, input_shape: Any) -> None:
        """Makes the kernel, `(towers, channels in, channels out)`."""
        shape = self._common_shape(input_shape)
        channels = shape[-1]
        row = shares(self.own, self.tower, len(input_shape))
        self.alpha = self.add_weight(
            name="kernel",
            shape=(len(input_shape), channels, channels),
            initializer=starting_at(row[:, None, None] * np.eye(channels)),
            regularizer=self.kernel_regularizer,
        )
        if self.normalizer is None:
            self.bias = self.add_weight(
                name="bias", shape=(channels,), initializer="zeros"
            )
        else:
            self.normalizer.build(shape)

    def call(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        """The fused features for this tower."""
        kernel = ops.reshape(self.alpha, (-1, self.alpha.shape[-1]))
        # Quicker than matmul, which would treat a map's rows as a batch.
        fused = ops.tensordot(ops.concatenate(inputs, axis=-1), kernel, axes=1)
        if self.normalization == "batch":
            # Padding must not count in the statistics.
            own_mask = self.compute_mask(inputs, mask)
            fused = self.normalizer(fused, training=training, mask=own_mask)
        elif self.normalization == "layer":
            fused = self.normalizer(fused)
        else:
            fused += self.bias
        return self.activation(fused)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "normalization": self.normalization,
            "activation": keras.activations.serialize(self.activation),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
        }
