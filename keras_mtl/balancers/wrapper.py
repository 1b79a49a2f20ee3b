"""What balancers share that wrap other balancers."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.balancers.base import (
    Balancer,
    CoordinateBalancer,
    GradientBalancer,
    LossBalancer,
    TrackingBalancer,
    get,
)
from keras_mtl.tasks import TaskSet


class Wrapper(GradientBalancer):
    """Weighs gradients by what other balancers make of them.

    The inner balancers are those that give one weight a task: of gradients,
    or of losses where neither the optimizer learns the weights nor the
    objective is another one than their sum.

    Args:
        inner: The balancers inside.
        wrt: `"variables"` or `"features"`. By default as the inner balancers
            have it, `"variables"` where they differ.
        update_every: Solve every so many steps. By default as often as the
            inner balancer that does it most often. What they say of it
            themselves has no effect. Weights of losses alone are worked out
            in every step.
    """

    def __init__(
        self,
        inner: Sequence[Balancer],
        wrt: str | None = None,
        update_every: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        methods = [b for b in inner if isinstance(b, GradientBalancer)]
        methods = [b for b in methods if b.needs_gradients]
        if wrt is None:
            features = {b.wrt for b in methods} == {"features"}
            wrt = "features" if features else "variables"
        if update_every is None:
            update_every = min((b.update_every for b in methods), default=1)
        if "jacobian" not in kwargs:
            kinds = {b.jacobian for b in methods}
            kwargs["jacobian"] = kinds.pop() if len(kinds) == 1 else "float32"
        super().__init__(
            wrt=wrt, update_every=update_every, name=name, **kwargs
        )
        self.inner = list(inner)
        self.needs_gradients = bool(methods)
        self.needs_losses = any(
            isinstance(b, LossBalancer) or b.needs_losses for b in inner
        )
        self.needs_positive_losses = any(b.needs_positive_losses for b in inner)
        self.double_sampled = any(b.double_sampled for b in methods)
        self.exact_only = next((b.exact_only for b in methods), "")
        self.supports_jit = all(b.supports_jit for b in inner)
        self._check_wrt()

    def bind(self, tasks: TaskSet) -> None:
        """Tells the tasks to the inner balancers, too."""
        super().bind(tasks)
        for balancer in self.inner:
            balancer.bind(tasks)

    def build(self, input_shape: Sequence[int]) -> None:
        """Creates the state of the inner balancers, too."""
        for balancer in self.inner:
            build_inner(balancer, int(input_shape[0]))
        super().build(input_shape)

    def on_epoch_end(self) -> None:
        """Passed on to the inner balancers."""
        for balancer in self.inner:
            balancer.on_epoch_end()


def inner_balancer(identifier: Any, argument: str) -> Balancer:
    """A balancer that can be wrapped.

    Raises:
        ValueError: It gives no weights, or not from one step's losses and
            Gram matrix.
    """
    balancer = get(identifier)
    if isinstance(balancer, CoordinateBalancer):
        reason = "combines gradients entry by entry, without weights"
    elif isinstance(balancer, TrackingBalancer):
        reason = "combines gradients of earlier steps, which it keeps"
    elif isinstance(balancer, GradientBalancer):
        return balancer
    elif not isinstance(balancer, LossBalancer):
        reason = "gives no weights"
    elif type(balancer).loss is not LossBalancer.loss:
        reason = "has an objective of its own, which is no sum of losses"
    elif balancer.looks_again:
        reason = "looks at the losses again after the step"
    else:
        return balancer
    raise _unsuitable(balancer, argument, reason)


def build_inner(balancer: Balancer, num_tasks: int) -> None:
    """Builds a balancer inside another, for so many tasks.

    Raises:
        ValueError: It is built for another number, or has something to learn.
    """
    if not balancer.built:
        balancer.build((num_tasks,))
    if balancer.num_tasks != num_tasks:
        raise ValueError(
            f"`{balancer.name}` was built for {balancer.num_tasks} tasks and "
            f"is to balance {num_tasks}. Pass a new one."
        )
    if balancer.trainable_variables:
        raise _unsuitable(
            balancer, "balancer", "has weights that the optimizer learns"
        )


def inner_weights(
    balancer: Balancer, gram: Any, losses: Any, present: Any
) -> Any:
    """Weights `(T,)` by a balancer of either kind; moves its state."""
    if isinstance(balancer, LossBalancer):
        balancer.observe(losses, present)
        return balancer.task_weights(losses, present)
    return balancer.task_weights(gram, losses, present)  # type: ignore[attr-defined]


def inner_head_weights(
    balancer: Balancer, weights: Any, losses: Any, present: Any
) -> Any:
    """Factors `(T,)` on the heads' gradients, or None.

    What weighs losses weighs the heads as well.
    """
    if isinstance(balancer, LossBalancer):
        return weights
    return balancer.head_weights(weights, losses, present)  # type: ignore[attr-defined]


def _unsuitable(balancer: Balancer, argument: str, reason: str) -> ValueError:
    return ValueError(
        f"`{argument}` must weigh losses or gradients by numbers that follow "
        f"from this step. Received: {type(balancer).__name__}, which {reason}."
        " Use it by itself, or wrap another method."
    )
