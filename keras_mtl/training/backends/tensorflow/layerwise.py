"""The Gram matrix of the tasks' gradients, without ever holding them all."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_mtl.graph import Step
from keras_mtl.linalg.gram import gram
from keras_mtl.training.backends.tensorflow import replicas
from keras_mtl.training.backends.tensorflow.backward import (
    Backward,
    Gradients,
    add,
    block,
)
from keras_mtl.training.backends.tensorflow.boundary import BoundaryTap

# Called with a place in `partition.shared`, and that variable's gradients.
Emit = Callable[[int, Gradients], Any]


class LayerwiseBackward(Backward):
    """Backward passes that go through the shared part call by call.

    For the Gram matrix all tasks pass through one call, and the gradients of
    its variables are multiplied with each other and forgotten, before the
    call beneath it begins. What is held of J is the part of one layer.

    Args:
        tap: A boundary with `cuts`, filled by the forward pass.
        losses: Scalar loss of each task, scaled as the optimizer wants it.
    """

    def __init__(self, tap: BoundaryTap, losses: list[Any]) -> None:
        super().__init__(tap, losses)
        self.tap = tap
        self.places = {id(v): i for i, v in enumerate(self.shared)}

    def gram(self) -> Any:
        """G `(T, T)` with respect to all shared variables, of all replicas."""
        num_tasks = len(self.private)
        total = tf.zeros([num_tasks, num_tasks])

        def count(_: int, gradients: Gradients) -> Any:
            nonlocal total
            found = block(gradients)
            if found is not None:
                total = total + gram(replicas.added(found.rows))
            return total

        at = {
            slot: [row[i] for row in self.at_boundary]
            for i, slot in enumerate(self.slots)
        }
        direct = [[row.get(id(v)) for row in self.direct] for v in self.shared]
        self._walk(at, direct, count)
        return total

    def through_shared(self, at_boundary: Gradients) -> Gradients:
        """Gradients of the shared variables from those at the boundary."""
        pairs = zip(self.slots, at_boundary, strict=True)
        return self._through({slot: [g] for slot, g in pairs})

    def of_extra(self, extra: Any, variables: list[Any]) -> dict[int, Any]:
        """Gradients of `add_loss` terms and regularizers, by variable's id."""
        copies = [
            (slot, copy)
            for by_slot in [*self.copies.values(), *self.tap.cut.values()]
            for slot, copy in by_slot.items()
        ]
        found = self.tape.gradient(extra, [*variables, *(c for _, c in copies)])
        gradients = dict(zip(map(id, variables), found, strict=False))
        at: dict[int, Gradients] = {}
        for (slot, _), gradient in zip(
            copies, found[len(variables) :], strict=True
        ):
            at[slot] = [add([*at.get(slot, []), gradient])]
        for v, gradient in zip(self.shared, self._through(at), strict=True):
            gradients[id(v)] = add([gradients[id(v)], gradient])
        return gradients

    def _through(self, at: dict[int, Gradients]) -> Gradients:
        found: Gradients = [None] * len(self.shared)

        def keep(place: int, gradients: Gradients) -> None:
            found[place] = gradients[0]

        self._walk(at, [[None]] * len(self.shared), keep)
        return found

    def _walk(
        self, at: dict[int, Gradients], first: Sequence[Gradients], emit: Emit
    ) -> None:
        """Takes gradients from the boundary down to the shared variables.

        Args:
            at: By slot, one gradient or None for each of so many rows.
            first: By shared variable, what reaches it past the boundary.
            emit: Told of a variable once all of its gradients are added up.
        """
        calls = [
            (step, self._variables(step)) for step in reversed(self.tap.steps)
        ]
        left = Counter(place for _, used in calls for place in used)
        sums = [list(row) for row in first]
        done = [
            emit(place, sums[place])
            for place in range(len(self.shared))
            if not left[place]
        ]
        for step, used in calls:
            # What is below waits for what is done with the gradients above.
            with tf.control_dependencies([x for x in done if x is not None]):
                self._through_call(step, used, at, sums)
            done = []
            for place in used:
                left[place] -= 1
                if not left[place]:
                    done.append(emit(place, sums[place]))
                    sums[place] = []

    def _through_call(
        self,
        step: Step,
        used: list[int],
        at: dict[int, Gradients],
        sums: list[Gradients],
    ) -> None:
        slots = [slot for slot in step.outputs if slot in at]
        columns = [at.pop(slot) for slot in slots]
        copies = self.tap.cut[id(step)]
        sources = [*copies.values(), *(self.shared[place] for place in used)]
        if not columns or not sources:
            return
        rows = []
        for row in zip(*columns, strict=True):
            pairs = [
                (self.tap.originals[slot], gradient)
                for slot, gradient in zip(slots, row, strict=True)
                if gradient is not None
            ]
            rows.append(
                self.tape.gradient(
                    [target for target, _ in pairs],
                    sources,
                    output_gradients=[gradient for _, gradient in pairs],
                )
                if pairs
                else [None] * len(sources)
            )
        found = [list(column) for column in zip(*rows, strict=True)]
        for slot, column in zip(copies, found, strict=False):
            before = at.get(slot, [None] * len(column))
            at[slot] = [
                add(list(pair)) for pair in zip(before, column, strict=True)
            ]
        for place, column in zip(used, found[len(copies) :], strict=True):
            sums[place] = [
                add(list(pair))
                for pair in zip(sums[place], column, strict=True)
            ]

    def _variables(self, step: Step) -> list[int]:
        """The places of the shared variables of a call."""
        own = getattr(step.operation, "trainable_variables", ())
        return [self.places[id(v)] for v in own if id(v) in self.places]
