"""Steps that several processes take together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from keras_mtl.training.backends.tensorflow import replicas

# What a collective operation raises when a process at its other end is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Workers:
    """The processes of a `MultiWorkerMirroredStrategy`, seen from one of them.

    Args:
        model: A compiled `MultiTaskModel`.

    Raises:
        ValueError: The model was not made in the scope of such a strategy.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.strategy = model, model.distribute_strategy
        if not isinstance(
            self.strategy, tf.distribute.MultiWorkerMirroredStrategy
        ):
            raise ValueError(
                "`model` must be made in the scope of a "
                "tf.distribute.MultiWorkerMirroredStrategy. Received: one made "
                f"in that of {type(self.strategy).__name__}. On one machine, "
                "`model.fit` does the same."
            )

        def add_up(flag: Any) -> Any:
            return self._first(self.strategy.run(_added, (flag,)))

        self._add_up = tf.function(add_up, autograph=False)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        cluster = self.strategy.cluster_resolver
        kind, place = cluster.task_type, cluster.task_id
        if kind is None or kind == "chief":
            return True
        jobs = cluster.cluster_spec().jobs
        return kind == "worker" and place == 0 and "chief" not in jobs

    def share(self, dataset: Any) -> Any:
        """This process's part of every batch of a `tf.data.Dataset`."""
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        return self.strategy.experimental_distribute_dataset(
            dataset.with_options(options)
        )

    def train_step(
        self, batches: Any
    ) -> Callable[[Any, bool], tuple[dict[str, Any], bool]]:
        """A step of training on a batch.

        Args:
            batches: From `share`: where batches come from.

        Returns:
            A function of a batch and of whether this process wants to stop,
            which gives this process's logs and whether any wants to.
        """

        def on_replica(batch: Any, stops: Any) -> tuple[Any, Any]:
            return self.model.train_step(batch), _added(stops)

        # By the data's own shapes, as in `fit`: those of the first batch would
        # say how losses are averaged.
        signature = [batches.element_spec, tf.TensorSpec([])]

        @tf.function(input_signature=signature, autograph=False)
        def step(batch: Any, stops: Any) -> Any:
            return self._first(self.strategy.run(on_replica, (batch, stops)))

        def call(batch: Any, stops: bool) -> tuple[dict[str, Any], bool]:
            logs, asked = step(batch, tf.constant(float(stops)))
            return logs, bool(asked > 0)

        return call

    def test_step(self, batches: Any) -> Callable[[Any], dict[str, Any]]:
        """A step of evaluation on a batch, with this process's logs."""

        @tf.function(input_signature=[batches.element_spec], autograph=False)
        def step(batch: Any) -> Any:
            return self._first(
                self.strategy.run(self.model.test_step, (batch,))
            )

        return step  # type: ignore[no-any-return]

    def any_wants_to_stop(self, stops: bool) -> bool:
        """Whether one of the processes wants to, told to all."""
        return bool(self._add_up(tf.constant(float(stops))) > 0)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Tells of a process that is gone.

        Raises:
            ConnectionError: Another process has ended.
        """
        try:
            yield
        except _LOST as error:
            raise ConnectionError(
                "Another worker has ended, or cannot be reached, and no step "
                "can be taken without it. Start all workers again; with a "
                "keras_mtl.callbacks.Checkpoint they go on from the last "
                "epoch that was finished."
            ) from error

    def _first(self, values: Any) -> Any:
        """The first replica's part of what was run."""
        return tf.nest.map_structure(
            lambda x: self.strategy.experimental_local_results(x)[0],
            values,
            expand_composites=False,
        )


def _added(value: Any) -> Any:
    # What is handed in from outside is on no device yet, and could not be sent.
    return replicas.added(tf.identity(value))
