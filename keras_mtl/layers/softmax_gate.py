"""The gate of a mixture of experts."""

from typing import Any

import keras
from keras import ops

from keras_mtl.layers.pooled_features import pooled_features
from keras_mtl.layers.registry import registry


@registry.register("softmax_gate")
class SoftmaxGate(keras.layers.Layer):
    """Weights of experts for each example, from its features.

        gate(x) = softmax(x · kernel)

    Each task has a gate of its own. Features with more axes, such as
    sequences and maps, are averaged over all positions first, so that an
    example has one gate whatever shape its features have. To see how experts
    are used, call the gate on features, or read its output in a model:
    `keras.Model(model.input, model.get_layer("a_gate").output)`.

    Args:
        num_experts: How many experts the gate chooses from, at least 2.
        dropout: Rate at which an expert is shut for an example in training;
            the rest of its weights are scaled up so that they add up to 1
            (Zhao et al.). Where all would be shut, none is.
        load_balance: Factor on the squared coefficient of variation of the
            experts' importance, their summed weights over the batch (Shazeer
            et al.). It is added to the loss in training, and small where all
            experts are used equally.
        use_bias: Whether the gate has a bias; the paper's has none.
        kernel_initializer: Initializer of the kernel `(channels, experts)`.
        kernel_regularizer: Regularizer of the kernel.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype` and the like, for `keras.layers.Layer`.

    Raises:
        ValueError: Fewer than 2 experts, a rate out of [0, 1), or a negative
            factor.

    Call arguments:
        inputs: `(batch, ..., channels)`. A mask leaves out positions.
        training: Whether dropout and the load balance are active.

    Returns:
        `(batch, experts)`: not negative, and adding up to 1.

    Example:
        >>> import keras
        >>> gate = SoftmaxGate(4, kernel_initializer="zeros")
        >>> gate(keras.ops.ones((1, 3))).numpy().tolist()
        [[0.25, 0.25, 0.25, 0.25]]

    Reference:
        Ma et al., "Modeling Task Relationships in Multi-task Learning with
        Multi-gate Mixture-of-Experts", KDD 2018.
        Zhao et al., "Recommending What Video to Watch Next: A Multitask
        Ranking System", RecSys 2019 (dropout).
        Shazeer et al., "Outrageously Large Neural Networks", ICLR 2017,
        arXiv:1701.06538 (load balance).
    """

    def __init__(
        self,
        num_experts: int,
        dropout: float = 0.0,
        load_balance: float = 0.0,
        use_bias: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Small differences of logits are lost in half precision. Keras needs
        # to be told of inputs here and of weights where they are added.
        super().__init__(autocast=False, **kwargs)
        if type(num_experts) is not int or num_experts < 2:
            raise ValueError(
                "`num_experts` must be a number of experts to choose from, at "
                f"least 2. Received: num_experts={num_experts!r}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                "`dropout` must be a rate, at least 0 and below 1. Received: "
                f"dropout={dropout!r}"
            )
        if not load_balance >= 0:
            raise ValueError(
                "`load_balance` must be a factor that is not negative. "
                f"Received: load_balance={load_balance!r}"
            )
        self.num_experts = num_experts
        self.dropout = dropout
        self.load_balance = load_balance
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        if dropout:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Creates the kernel."""
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.num_experts),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            autocast=False,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.num_experts,),
                initializer="zeros",
                autocast=False,
                name="bias",
            )

    def call(
        self, inputs: Any, mask: Any = None, training: bool = False
    ) -> Any:
        """The weights of the experts for each example."""
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        logits = ops.matmul(pooled_features(inputs, mask, dtype), self.kernel)
        if self.use_bias:
            logits = ops.add(logits, self.bias)
        gate = ops.softmax(logits)
        if training and self.load_balance:
            self.add_loss(self.load_balance * squared_variation(gate))
        if training and self.dropout:
            gate = self._dropped(gate)
        return ops.cast(gate, self.compute_dtype)

    def _dropped(self, gate: Any) -> Any:
        draw = keras.random.uniform(
            ops.shape(gate), dtype=gate.dtype, seed=self.seed_generator
        )
        kept = ops.where(draw >= self.dropout, gate, ops.zeros_like(gate))
        total = ops.sum(kept, axis=-1, keepdims=True)
        # A division by a chosen 1: one by 0 would make NaN gradients.
        safe = ops.where(total > 0, total, ops.ones_like(total))
        return ops.where(total > 0, kept / safe, gate)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """`(batch, experts)`."""
        return (input_shape[0], self.num_experts)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: positions are gone."""
        return

    def get_config(self) -> dict[str, Any]:
        """All arguments."""
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "dropout": self.dropout,
            "load_balance": self.load_balance,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "seed": self.seed,
        }


def squared_variation(gate: Any) -> Any:
    """Squared coefficient of variation of the experts' importance."""
    importance = ops.sum(gate, axis=0)
    mean = ops.mean(importance)
    return ops.mean(ops.square(importance - mean)) / ops.square(mean)
