"""The backward passes of one step, through heads and shared part."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_mtl.training.backends.tensorflow.boundary import BoundaryTap

Gradients = list[Any]  # one tensor or None a variable
Mix = Callable[[Any], Any]  # the tasks' gradients (T, p) -> one (p,)


@dataclass
class Block:
    """One tensor's gradients for all tasks: a piece of the Jacobian.

    Attributes:
        rows: `(T, p)`, 0 for a task that does not use the tensor.
        like: A gradient of the tensor, for shape and dtype.
    """

    rows: Any
    like: Any


def block(gradients: Sequence[Any], dtype: str = "float32") -> Block | None:
    """One tensor's gradients of all tasks, stacked; None if there is none."""
    like = next((g for g in gradients if g is not None), None)
    if like is None:
        return None
    like = tf.convert_to_tensor(like)  # embeddings give indexed slices
    rows = [
        tf.zeros([tf.size(like)], dtype)
        if g is None
        else tf.reshape(tf.cast(g, dtype), [-1])
        for g in gradients
    ]
    return Block(tf.stack(rows), like)


def mixed(blocks: list[Block | None], mix: Mix) -> Gradients:
    """One gradient for each block."""
    return [
        None
        if block is None
        else tf.cast(
            tf.reshape(mix(block.rows), tf.shape(block.like)), block.like.dtype
        )
        for block in blocks
    ]


class Backward:
    """The backward passes of one step, through heads and shared part.

    One pass through the heads is taken at once; passes through the shared
    part when they are asked for.

    Args:
        tap: The boundary, filled by the forward pass.
        losses: Scalar loss of each task, scaled as the optimizer wants it.
        dtype: That of the rows of `variable_blocks`.
    """

    def __init__(
        self, tap: BoundaryTap, losses: list[Any], dtype: str = "float32"
    ) -> None:
        self.dtype = dtype
        self.tape, self.shared = tap.tape, tap.partition.shared
        self.slots = sorted({s for own in tap.copies.values() for s in own})
        self.targets = [tap.originals[slot] for slot in self.slots]
        self.copies = tap.copies
        # For each task: gradients at the boundary slots (None where it reads
        # none), of its own variables, and of shared variables that its own
        # calls use directly, the latter two by id.
        self.at_boundary: list[Gradients] = []
        self.private: list[dict[int, Any]] = []
        self.direct: list[dict[int, Any]] = []
        for task, loss in zip(tap.partition.tasks, losses, strict=True):
            copies = tap.copies.get(task, {})
            own = tap.partition.private[task]
            used = tap.partition.called_privately[task]
            sources = [*copies.values(), *own, *used]
            found = iter(self.tape.gradient(loss, sources) if sources else [])
            at_copies = {slot: next(found) for slot in copies}
            self.at_boundary.append([at_copies.get(s) for s in self.slots])
            self.private.append({id(v): next(found) for v in own})
            self.direct.append({id(v): next(found) for v in used})

    def through_shared(self, at_boundary: Gradients) -> Gradients:
        """Gradients of the shared variables from those at the boundary."""
        pairs = [
            (target, gradient)
            for target, gradient in zip(self.targets, at_boundary, strict=True)
            if gradient is not None
        ]
        if not pairs or not self.shared:
            return [None] * len(self.shared)
        targets, gradients = zip(*pairs, strict=True)
        return self.tape.gradient(  # type: ignore[no-any-return]
            list(targets), self.shared, output_gradients=list(gradients)
        )

    @functools.cached_property
    def boundary_blocks(self) -> list[Block | None]:
        """The tasks' gradients at the boundary.

        Returns:
            A block for each of `slots`; then one for each shared variable,
            with what reaches it past the boundary.
        """
        direct = [[row.get(id(v)) for row in self.direct] for v in self.shared]
        columns = [*zip(*self.at_boundary, strict=True), *direct]
        return [block(column) for column in columns]

    def variable_blocks(self) -> list[Block | None]:
        """The tasks' gradients of each shared variable: T passes."""
        rows = [
            [
                add([gradient, direct.get(id(v))])
                for v, gradient in zip(
                    self.shared, self.through_shared(boundary), strict=True
                )
            ]
            for boundary, direct in zip(
                self.at_boundary, self.direct, strict=True
            )
        ]
        return [block(column, self.dtype) for column in zip(*rows, strict=True)]

    def through(self, gradients: Gradients) -> Gradients:
        """Gradients of the shared variables, in one pass.

        Args:
            gradients: One for each of `boundary_blocks`.
        """
        count = len(self.slots)
        through = self.through_shared(gradients[:count])
        return [
            add(list(pair))
            for pair in zip(through, gradients[count:], strict=True)
        ]

    def of_extra(self, extra: Any, variables: list[Any]) -> dict[int, Any]:
        """Gradients of `add_loss` terms and regularizers, by variable's id."""
        copies = [
            (slot, copy)
            for by_slot in self.copies.values()
            for slot, copy in by_slot.items()
        ]
        found = self.tape.gradient(extra, [*variables, *(c for _, c in copies)])
        gradients = dict(zip(map(id, variables), found, strict=False))
        # What a head adds as a loss reaches the shared part through the copies.
        at_copies = list(
            zip([s for s, _ in copies], found[len(variables) :], strict=True)
        )
        at_boundary = [
            add([g for s, g in at_copies if s == slot]) for slot in self.slots
        ]
        for v, gradient in zip(
            self.shared, self.through_shared(at_boundary), strict=True
        ):
            gradients[id(v)] = add([gradients[id(v)], gradient])
        return gradients


def add(gradients: list[Any]) -> Any:
    """The sum of those that are there; None if none is."""
    there = [g for g in gradients if g is not None]
    if len(there) < 2:
        return there[0] if there else None
    return tf.add_n([tf.convert_to_tensor(g) for g in there])
