"""The cut between the shared part and the heads, in one forward pass."""

from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from keras_mtl.graph import Partition, Step


@dataclass
class BoundaryTap:
    """Cuts the graph of one forward pass between shared part and heads.

    Each task's private calls read copies of the tensors at the boundary.
    The tape does not see the copying: a task's gradient stops at its copies
    and cannot run on into the shared part.

    Attributes:
        partition: Where to cut.
        tape: The tape of the forward pass.
        originals: The tensor of each boundary slot.
        copies: The copy of each boundary slot, by task.
        cuts: Whether calls of the shared part, too, read copies, so that a
            backward pass goes through one call at a time.
        steps: These calls, in the order in which they ran.
        cut: The copies that each of them read, by slot, by the call's id.
    """

    partition: Partition
    tape: tf.GradientTape
    originals: dict[int, Any] = field(default_factory=dict)
    copies: dict[str, dict[int, Any]] = field(default_factory=dict)
    cuts: bool = False
    steps: list[Step] = field(default_factory=list)
    cut: dict[int, dict[int, Any]] = field(default_factory=dict)

    def read(self, consumer: Any, slot: int, tensor: Any) -> Any:
        """The tensor that a consumer of the graph reads."""
        task = self.partition.task_across(consumer, slot)
        if task is None:
            return self._read_shared(consumer, slot, tensor)
        self.originals[slot] = tensor
        return self._copy(self.copies.setdefault(task, {}), slot, tensor)

    def _read_shared(self, consumer: Any, slot: int, tensor: Any) -> Any:
        if (
            not self.cuts
            or isinstance(consumer, str)
            or len(self.partition.readers[id(consumer)]) < 2
        ):
            return tensor
        if id(consumer) not in self.cut:
            self.steps.append(consumer)
        copies = self.cut.setdefault(id(consumer), {})
        if not tensor.dtype.is_floating:
            return tensor
        self.originals[slot] = tensor
        return self._copy(copies, slot, tensor)

    def _copy(self, copies: dict[int, Any], slot: int, tensor: Any) -> Any:
        """A copy of which the tape does not know where it came from."""
        if slot not in copies:
            with self.tape.stop_recording():
                copy = tf.identity(tensor)
            # `tf.identity` drops the mask that Keras hangs on a tensor.
            mask = getattr(tensor, "_keras_mask", None)
            if mask is not None:
                copy._keras_mask = mask
            self.tape.watch(copy)
            copies[slot] = copy
        return copies[slot]
