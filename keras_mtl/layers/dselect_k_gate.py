"""A gate that learns to use at most k experts."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.layers.pooled_features import pooled_features
from keras_mtl.layers.registry import registry

# Below this a probability counts as 0 in a logarithm and in a quotient.
TINY = 1e-6


@registry.register("dselect_k_gate")
class DSelectKGate(keras.layers.Layer):
    """Weights of experts of which at most k are not zero in the end.

    Each of k selectors chooses one expert, by the m = ⌈log2 n⌉ bits of its
    number. A bit is a smooth step of a logit, which reaches 0 and 1:

        S(t) = 0 for t ≤ -γ/2, 1 for t ≥ γ/2, else -2t³/γ³ + 3t/(2γ) + 1/2
        r_j = Π_bits (S(z_j) where expert has the bit, else 1 - S(z_j))
        gate = Σ_j softmax(α)_j · r_j

    All is differentiable; before the bits have converged, more than k weights
    are not zero. Two terms are added to the loss in training, as means over
    the batch: the entropy of each selector, which makes it converge, and
    where n is no power of 2, 1/Σ r_j - 1, which keeps a selector off the
    numbers without an expert (the paper's 1/Σ r_j, less its least value).

    Args:
        num_experts: The number n of experts, at least 2.
        k: How many selectors there are.
        static: Whether a task has one choice for all examples, so that z and
            α are weights, or each example one, as affine functions of its
            features (averaged over positions, as `SoftmaxGate` does).
        entropy: Factor on the entropy. The default is that of the authors'
            code; larger ones converge faster.
        gamma: Width γ of the smooth step.
        z_initializer: Initializer of what makes the bits' logits z. By
            default uniform in ±γ/100, around the middle of the step: a bit
            that starts at 0 or 1 has no gradient.
        alpha_initializer: Initializer of what makes α.
        **kwargs: `name`, `dtype` and the like, for `keras.layers.Layer`.

    Raises:
        ValueError: Fewer than 2 experts, k out of 1 to `num_experts`, a
            negative factor, a width that is not positive.

    Call arguments:
        inputs: `(batch, ..., channels)`. A mask leaves out positions.
        training: Whether the two terms are added to the loss.

    Returns:
        `(batch, experts)`: not negative; they add up to 1 if n is a power of
        2, or once the bits have converged.

    Example:
        >>> import keras
        >>> gate = DSelectKGate(4, k=1, z_initializer="ones")
        >>> gate(keras.ops.ones((1, 3))).numpy().tolist()
        [[0.0, 0.0, 0.0, 1.0]]

    Reference:
        Hazimeh et al., "DSelect-k: Differentiable Selection in the Mixture of
        Experts with Applications to Multi-Task Learning", NeurIPS 2021,
        arXiv:2106.03760.
    """

    def __init__(
        self,
        num_experts: int,
        k: int = 2,
        static: bool = False,
        entropy: float = 1e-6,
        gamma: float = 1.0,
        z_initializer: Any = None,
        alpha_initializer: Any = "random_uniform",
        **kwargs: Any,
    ) -> None:
        # In half precision bits would stop short of 0 and 1. Keras needs to be
        # told of inputs here and of weights where they are added.
        super().__init__(autocast=False, **kwargs)
        if type(num_experts) is not int or num_experts < 2:
            raise ValueError(
                "`num_experts` must be a number of experts to select from, at "
                f"least 2. Received: num_experts={num_experts!r}"
            )
        if type(k) is not int or not 1 <= k <= num_experts:
            raise ValueError(
                "`k` must be a number of experts to select, from 1 to "
                f"num_experts={num_experts}. Received: k={k!r}"
            )
        if not entropy >= 0:
            raise ValueError(
                "`entropy` must be a factor that is not negative. Received: "
                f"entropy={entropy!r}"
            )
        if not gamma > 0:
            raise ValueError(
                f"`gamma` must be a width above 0. Received: gamma={gamma!r}"
            )
        self.num_experts = num_experts
        self.k = k
        self.static = static
        self.entropy = entropy
        self.gamma = gamma
        self.z_initializer = keras.initializers.get(
            keras.initializers.RandomUniform(-gamma / 100, gamma / 100)
            if z_initializer is None
            else z_initializer
        )
        self.alpha_initializer = keras.initializers.get(alpha_initializer)
        self.num_bits = math.ceil(math.log2(num_experts))
        # (n, m): the bits of each expert's number.
        self._codes = (
            np.arange(num_experts)[:, None] >> np.arange(self.num_bits)
        ) % 2 == 1
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates z and α, or the affine functions that give them."""
        channels = input_shape[-1]
        self.z = self._affine(
            "z", channels, self.k * self.num_bits, self.z_initializer
        )
        # One selector has nothing to be weighed against.
        if self.k > 1:
            self.alpha = self._affine(
                "alpha", channels, self.k, self.alpha_initializer
            )

    def _affine(
        self, name: str, channels: int, width: int, initializer: Any
    ) -> list[Any]:
        """A bias, and before it a kernel unless the gate is static."""
        shapes: dict[str, tuple[int, ...]] = {"bias": (width,)}
        if not self.static:
            shapes = {"kernel": (channels, width), **shapes}
        return [
            self.add_weight(
                shape=shape,
                initializer=initializer,
                autocast=False,
                name=f"{name}_{part}",
            )
            for part, shape in shapes.items()
        ]

    def call(
        self, inputs: Any, mask: Any = None, training: bool = False
    ) -> Any:
        """The weights of the experts for each example."""
        features = None
        if not self.static:
            dtype = keras.backend.result_type(self.compute_dtype, "float32")
            features = pooled_features(inputs, mask, dtype)
        bits = self._smooth_step(
            ops.reshape(
                _apply(self.z, features), (-1, self.k, 1, self.num_bits)
            )
        )
        # (batch, selectors, experts)
        selected = ops.prod(ops.where(self._codes, bits, 1 - bits), axis=-1)
        if training:
            self._add_losses(selected)
        if self.k > 1:
            alpha = ops.softmax(_apply(self.alpha, features))
            selected = ops.expand_dims(alpha, -1) * selected
        gate = ops.sum(selected, axis=1)
        if self.static:
            shape = (ops.shape(inputs)[0], self.num_experts)
            gate = ops.broadcast_to(gate, shape)
        return ops.cast(gate, self.compute_dtype)

    def _smooth_step(self, t: Any) -> Any:
        # Cut to where the cubic rises from 0 to 1: its ends are flat.
        t = ops.clip(t / self.gamma, -0.5, 0.5)
        return t * (1.5 - 2 * t * t) + 0.5

    def _add_losses(self, selected: Any) -> None:
        if self.entropy:
            logs = ops.log(ops.maximum(selected, TINY))
            entropy = -ops.sum(selected * logs, axis=(1, 2))
            self.add_loss(self.entropy * ops.mean(entropy))
        if self.num_experts < 2**self.num_bits:
            reached = ops.maximum(ops.sum(selected, axis=-1), TINY)
            self.add_loss(ops.mean(ops.sum(1 / reached - 1, axis=-1)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(batch, experts)`."""
        return (input_shape[0], self.num_experts)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: positions are gone."""
        return

    def get_config(self) -> dict[str, Any]:
        """All arguments."""
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "k": self.k,
            "static": self.static,
            "entropy": self.entropy,
            "gamma": self.gamma,
            "z_initializer": serialize(self.z_initializer),
            "alpha_initializer": serialize(self.alpha_initializer),
        }


def _apply(weights: list[Any], features: Any) -> Any:
    """An affine function of features, or (1, width) if there are none."""
    *kernel, bias = weights
    if kernel:
        return ops.add(ops.matmul(features, kernel[0]), bias)
    return ops.expand_dims(bias, 0)
