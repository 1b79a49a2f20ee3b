"""The three contracts of balancers. None of them knows a model."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._registry import Registry
from keras_mtl.tasks import TaskSet
from keras_mtl.tasks.task_set import check_keys

registry = Registry("balancer")


class Balancer(keras.layers.Layer):
    """Turns several losses, or their gradients, into one direction.

    A balancer is a Keras layer, so that its state is saved with the model
    and resumed. It works on vectors and matrices over the tasks alone:
    losses `(T,)`, a Gram matrix `(T, T)` or a Jacobian `(T, P)`. Subclass
    `LossBalancer`, `GradientBalancer` or `CoordinateBalancer`.

    In every contract `present` is a boolean tensor `(T,)`: False for a task
    without a label in the batch. Its loss, its row and its column are zero,
    its weight must come out as zero, and the other weights must be those of
    the problem without it.
    """

    # Set by the training model before `build`; tests may leave it None.
    tasks: TaskSet | None = None

    # Whether a loss of 0 or less has no meaning here. The training step then
    # treats such a task as absent, counts that, and says so.
    needs_positive_losses = False

    # Arguments that may hold a number for each task, by task or in their order.
    task_arguments: tuple[str, ...] = ()

    def bind(self, tasks: TaskSet) -> None:
        """Tells the tasks, in the order of every vector. Called once."""
        self.tasks = tasks

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the state for `input_shape == (T,)`.

        Raises:
            ValueError: An argument does not suit the tasks.
        """
        self.num_tasks = int(input_shape[0])
        if self.task_arguments:
            config = self.get_config()
            for argument in self.task_arguments:
                if config[argument] is not None:
                    self.per_task(config[argument], argument)
        self.built = True

    def get_build_config(self) -> None:
        """None: a revived balancer is built when the model binds its tasks."""
        return

    def add_state(
        self, name: str, shape: Sequence[int], initializer: str = "zeros"
    ) -> Any:
        """A variable that the balancer moves itself, for `build` to make.

        Replicas of a distribution strategy move a copy each, by the same
        numbers: what a balancer is told is the same on all of them.
        """
        return self.add_weight(
            shape=tuple(shape),
            initializer=initializer,
            trainable=False,
            name=name,
        )

    def on_epoch_end(self) -> None:
        """Called after each epoch of `fit`, outside the graph."""

    def logged_loss(self, losses: Any) -> Any:
        """The scalar that logs call `loss`: by default the plain sum."""
        return ops.sum(losses)

    def per_task(self, value: Any, argument: str) -> list[float]:
        """One float per task from a number, a list or a dict by task.

        Raises:
            ValueError: A wrong length, or keys that are not the tasks.
        """
        if isinstance(value, Mapping):
            if self.tasks is None:
                raise ValueError(
                    f"`{argument}` by name needs named tasks. Expected: a list "
                    f"of {self.num_tasks} numbers. Received: {dict(value)}"
                )
            check_keys(value, self.tasks, argument=argument, all_needed=True)
            return [float(value[name]) for name in self.tasks]
        if isinstance(value, (int, float)):
            return [float(value)] * self.num_tasks
        values = [float(v) for v in value]
        if len(values) != self.num_tasks:
            raise ValueError(
                f"`{argument}` must hold one number for each of the "
                f"{self.num_tasks} tasks. Received: {values}"
            )
        return values


def plain_numbers(
    value: Any,
    argument: str,
    low: float = -math.inf,
    high: float = math.inf,
) -> float | list[float] | dict[str, float]:
    """A number, list or dict of plain floats, as `per_task` and configs want.

    Raises:
        ValueError: Something in `value` is no finite number in [low, high].
    """
    plain: float | list[float] | dict[str, float]
    try:
        if isinstance(value, Mapping):
            plain = {str(name): float(v) for name, v in value.items()}
            numbers = list(plain.values())
        elif hasattr(value, "__len__") and not isinstance(value, str):
            plain = numbers = [float(v) for v in value]
        else:
            plain = float(value)
            numbers = [plain]
    except (TypeError, ValueError):
        numbers = [math.nan]
    if not all(math.isfinite(v) and low <= v <= high for v in numbers):
        within = "" if math.isinf(low) else f" in [{low:g}, {high:g}]"
        raise ValueError(
            f"`{argument}` must be a finite number{within}, a list of one for "
            f"each task, or a dict by task. Received: {argument}={value!r}"
        )
    return plain


class LossBalancer(Balancer):
    """Balances the losses before any gradient is taken: one backward pass.

    Implement `task_weights`, and `observe` where they follow from losses seen
    before. Implement `loss` too, if weights are learned by the optimizer or
    if the objective is not a weighted sum.
    """

    # Whether `observe_again` wants the losses of the same batch once more,
    # after the optimizer's step: one more forward pass.
    looks_again = False

    # Named so because `weights` is what Keras calls a layer's variables.
    def task_weights(self, losses: Any, present: Any) -> Any:
        """Weights `(T,)`: the objective's derivative by losses `(T,)`.

        Moves no state, so that it may be called again for logs.
        """
        raise NotImplementedError

    def observe(self, losses: Any, present: Any) -> None:
        """Moves the state by the losses of a step. Called once, by `loss`."""

    def observe_again(self, losses: Any, present: Any) -> None:
        """Moves the state by the same batch's losses after the step."""

    def loss(self, losses: Any, present: Any) -> Any:
        """The scalar objective of losses `(T,)`, differentiable in them."""
        constants = ops.stop_gradient(losses)
        self.observe(constants, present)
        weights = self.task_weights(constants, present)
        return ops.sum(ops.stop_gradient(weights) * losses)


class _GradientMethod(Balancer):
    """What gradient methods share: where gradients are taken, how often.

    Args:
        wrt: `"variables"`: exact gradients with respect to all shared
            variables, one backward pass per task through the shared part.
            `"features"`: with respect to the tensors between the shared part
            and the heads, one backward pass in all.
    """

    # Whether the values of the losses count, not the gradients alone.
    needs_losses = False

    # Why gradients at the features cannot serve, for those of which it is so.
    exact_only = ""

    def __init__(
        self, wrt: str = "variables", name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if wrt not in ("variables", "features"):
            raise ValueError(
                "`wrt` must be 'variables' (exact) or 'features' (one backward "
                f"pass). Received: wrt={wrt!r}"
            )
        self.wrt = wrt
        self._check_wrt()

    def _check_wrt(self) -> None:
        if self.exact_only and self.wrt == "features":
            raise ValueError(
                f"`wrt` of {type(self).__name__} must be 'variables': "
                f"{self.exact_only}. Received: wrt='features'"
            )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "wrt": self.wrt}


class GradientBalancer(_GradientMethod):
    """Weighs task gradients by their Gram matrix G = J Jᵀ.

    Args:
        wrt: `"variables"` (exact) or `"features"` (one backward pass).
        update_every: Solve for the weights every so many steps and reuse
            them in between; steps in between cost one backward pass.
        jacobian: How the exact gradients J, T numbers for each shared one,
            are kept until the weights are known. `"float32"`: as they are.
            `"bfloat16"`: in half the memory, with three digits. `"layerwise"`:
            not at all; G is summed layer by layer, and the direction takes
            one more backward pass.
    """

    # Whether gradients are needed at all. If not, `gram` is None, and the sum
    # of weighted losses is descended in one backward pass.
    needs_gradients = True

    # Whether `gram` is J₁J₂ᵀ, not symmetric, of two halves of the batch.
    double_sampled = False

    def __init__(
        self,
        wrt: str = "variables",
        update_every: int = 1,
        name: str | None = None,
        jacobian: str = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(wrt=wrt, name=name, **kwargs)
        if jacobian not in ("float32", "bfloat16", "layerwise"):
            raise ValueError(
                "`jacobian` must be 'float32', 'bfloat16' (half the memory) "
                "or 'layerwise' (never held as a whole). "
                f"Received: jacobian={jacobian!r}"
            )
        if jacobian != "float32" and wrt == "features":
            raise ValueError(
                "`jacobian` must be 'float32' with wrt='features', where no "
                f"gradients of variables are held. Received: {jacobian!r}"
            )
        self.jacobian = jacobian
        if int(update_every) != update_every or update_every < 1:
            raise ValueError(
                "`update_every` must be a positive integer: the number of "
                f"steps that weights are kept. Received: {update_every!r}"
            )
        self.update_every = int(update_every)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the state for `input_shape == (T,)`."""
        if self.jacobian == "layerwise" and self.double_sampled:
            raise ValueError(
                f"`jacobian` of {type(self).__name__} must be 'float32' or "
                "'bfloat16': it multiplies the gradients of two halves of the "
                "batch with each other. Received: jacobian='layerwise'"
            )
        super().build(input_shape)
        if self.update_every > 1:
            self.steps = self.add_weight(
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
                name="steps",
            )
            self.kept_weights = self.add_state(
                "kept_weights", (self.num_tasks,), "ones"
            )

    # Named so because `weights` is what Keras calls a layer's variables.
    def task_weights(self, gram: Any, losses: Any, present: Any) -> Any:
        """Weights `(T,)` of the direction Jᵀw, in the dtype of `gram`.

        Moves the state, where there is one: called once a solved step.
        """
        raise NotImplementedError

    def head_weights(self, weights: Any, losses: Any, present: Any) -> Any:
        """Factors `(T,)` on the gradients of the tasks' own variables.

        None, by default, for no factors: heads descend their own losses.
        """
        return None

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "update_every": self.update_every,
            "jacobian": self.jacobian,
        }


class TrackingBalancer(GradientBalancer):
    """Weighs gradients by what it keeps of earlier ones.

    It keeps one number for each task and each shared variable's entry: as
    much memory as the Jacobian itself. Implement `track`, and `task_weights`
    as in `GradientBalancer`.
    """

    exact_only = (
        "it remembers gradients, and those at the features belong to the "
        "examples of one batch"
    )

    def __init__(
        self, wrt: str = "variables", name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(wrt=wrt, name=name, **kwargs)
        if self.jacobian != "float32":
            raise ValueError(
                f"`jacobian` of {type(self).__name__} must be 'float32': it "
                "keeps one number for each entry anyway. Received: "
                f"jacobian={self.jacobian!r}"
            )
        self.sizes: tuple[int, ...] = ()
        self.tracks: list[Any] = []

    def bind_variables(self, sizes: Sequence[int]) -> None:
        """Tells the shared variables' sizes p. Called before `build`.

        Raises:
            ValueError: It was built for others.
        """
        if self.built and self.sizes != tuple(sizes):
            raise ValueError(
                f"`balancer={self.name}` was built for shared variables of "
                f"sizes {self.sizes}. Received: {tuple(sizes)}. Pass a new one."
            )
        self.sizes = tuple(sizes)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates a track `(T, p)`, zero at first, for each shared variable."""
        super().build(input_shape)
        self.tracks = [
            self.add_state(f"track_{i}", (self.num_tasks, size))
            for i, size in enumerate(self.sizes)
        ]

    def track(
        self, index: int, rows: Any, losses: Any, present: Any
    ) -> tuple[Any, Any]:
        """Moves one track by new gradients. Called once a step.

        Args:
            index: Which of `tracks`.
            rows: The tasks' gradients of one variable `(T, p)`, zero for
                absent tasks.
            losses: Losses `(T,)`.
            present: Which tasks count, boolean `(T,)`.

        Returns:
            The rows whose Gram matrix `task_weights` sees, and the rows that
            the weights combine; both `(T, p)` and zero for absent tasks.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments; a track has to move in every step."""
        config = super().get_config()
        del config["update_every"], config["jacobian"]
        return config


class CoordinateBalancer(_GradientMethod):
    """Combines task gradients coordinate by coordinate."""

    # Whether a value that is not finite may be left out of the direction.
    drops_values = False

    def combine(self, jacobian: Any, losses: Any, present: Any) -> Any:
        """The direction `(P,)` of a Jacobian `(T, P)`.

        Called once for each variable (or boundary tensor), so it must treat
        coordinates alike and apart from each other.
        """
        raise NotImplementedError


def get(identifier: Any, **kwargs: Any) -> Balancer:
    """A balancer from its name, its config or itself, as Keras does it.

    Args:
        identifier: A name ("mgda"), a config dict as from
            `keras.saving.serialize_keras_object`, or a balancer.
        **kwargs: Arguments of the constructor, with a name.

    Raises:
        ValueError: No such balancer, or one that needs arguments.

    Example:
    >>> get("pcgrad", seed=1).seed
    1
    """
    if isinstance(identifier, Balancer):
        return identifier
    if isinstance(identifier, str):
        method = registry[identifier]
        _check_complete(method, identifier, kwargs)
        return method(**kwargs)  # type: ignore[no-any-return]
    if isinstance(identifier, Mapping):
        revived = keras.saving.deserialize_keras_object(dict(identifier))
        if isinstance(revived, Balancer):
            return revived
    raise ValueError(
        "`balancer` must be a name, a config or a keras_mtl balancer. "
        f"Received: {identifier!r}. Names: {', '.join(registry)}."
    )


def _check_complete(
    method: Any, name: str, arguments: Mapping[str, Any]
) -> None:
    missing = [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind
        not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and parameter.name not in arguments
    ]
    if missing:
        raise ValueError(
            f"`balancer={name!r}` needs {', '.join(f'`{m}`' for m in missing)}"
            ". Pass an instance: keras_mtl.balancers."
            f"{method.__name__}({', '.join(f'{m}=…' for m in missing)})"
        )


def serialize(balancer: Balancer | None) -> Any:
    """The config of a balancer, for `get`."""
    return keras.saving.serialize_keras_object(balancer)
