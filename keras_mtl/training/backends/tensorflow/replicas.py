"""What the replicas of one model tell each other within a step.

Each works on its part of the batch. What they add up here is the same on all
of them, so that all come to the same weights and keep the same state. Without
a distribution strategy every function hands on what it is given.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from keras_mtl.tasks import Task
from keras_mtl.training.losses import Labels, Totals

_KERAS_SUM = "_all_reduce_sum_gradients"


def count() -> int:
    """How many replicas take this step together."""
    if tf.distribute.in_cross_replica_context():
        return 1
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def are_there() -> bool:
    """Whether a strategy takes this step, be it with one replica.

    Its optimizers wait for all replicas, which no condition may hold.
    """
    strategy = tf.distribute.has_strategy()
    return bool(strategy and not tf.distribute.in_cross_replica_context())


def added(tensors: Any) -> Any:
    """The sums over the replicas of any structure of tensors, in one go."""
    if count() == 1:
        return tensors
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def added_gradients(gradients: Sequence[Any]) -> list[Any]:
    """`added` for gradients, of which some may be None."""
    if count() == 1:
        return list(gradients)
    there = [i for i, g in enumerate(gradients) if g is not None]
    found: list[Any] = [None] * len(gradients)
    if there:
        sums = added([gradients[i] for i in there])
        for i, gradient in zip(there, sums, strict=True):
            found[i] = gradient
    return found


def everywhere(flags: Any) -> Any:
    """Booleans that are true on all replicas."""
    if count() == 1:
        return flags
    against = tf.cast(tf.logical_not(flags), "float32")
    return tf.equal(added(against), 0.0)


def mean_loss(loss: Any) -> Any:
    """The mean over the replicas; each adds its part of the gradient."""
    if count() == 1:
        return loss
    return _with_gradient_of(loss / count(), added(loss / count()))


def added_totals(
    tasks: Mapping[str, Task], totals: Mapping[str, Totals]
) -> dict[str, Totals]:
    """Sums of losses, divisors and counts over the whole batch, by task.

    The value of a loss is that of all replicas; its gradient is of this
    replica's part. Added up over the replicas, gradients of the mean loss are
    those of the whole batch.
    """
    if count() == 1:
        return dict(totals)
    sums = tf.unstack(
        added(
            tf.stack(
                [
                    tf.cast(number, "float32")
                    for own in totals.values()
                    for number in own
                ]
            )
        )
    )
    found = {}
    for t, (name, own) in enumerate(totals.items()):
        loss, divisor, labels = (
            tf.cast(whole, part.dtype)
            for whole, part in zip(sums[3 * t : 3 * t + 3], own, strict=True)
        )
        if tasks[name].loss.reduction == "sum":
            divisor = own.divisor  # 1, on each of them
        found[name] = Totals(_with_gradient_of(own.loss, loss), divisor, labels)
    return found


def examples_before(labels: Labels) -> Any:
    """How many examples of the batch the replicas before this one have."""
    if count() == 1:
        return 0
    place = tf.distribute.get_replica_context().replica_id_in_sync_group
    here = tf.one_hot(place, count(), dtype="int32")
    sizes = added(here * tf.shape(labels.there)[0])
    return tf.reduce_sum(tf.where(tf.range(count()) < place, sizes, 0))


@contextmanager
def already_added(optimizer: Any) -> Iterator[None]:
    """Keeps an optimizer from adding gradients up over the replicas again.

    Keras's adds up what it is given, after it has clipped it. To divide by
    the number of replicas before would clip at the wrong length.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(type(optimizer), _KERAS_SUM):
        raise RuntimeError(
            "This version of Keras adds gradients up over replicas in a way "
            "that keras_mtl does not know. Expected: Keras 3.15. Received: "
            f"{keras.__version__}. Train on one device, or with another Keras."
        )
    vars(optimizer)[_KERAS_SUM] = lambda pairs: pairs
    try:
        yield
    finally:
        # Replicas trace in turns: another may have been here already.
        vars(optimizer).pop(_KERAS_SUM, None)


def _with_gradient_of(part: Any, value: Any) -> Any:
    """`value`, of which the derivative by `part` is 1."""

    @tf.custom_gradient
    def pass_on(_: Any) -> Any:
        return tf.identity(value), lambda gradient: gradient

    return pass_on(part)
