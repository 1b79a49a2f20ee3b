"""A Functional model as one flat list of calls, nested models included."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras


@dataclass(eq=False)
class Step:
    """One call of one operation.

    Tensors are numbered by slots: one slot for each tensor of each call, so
    that a layer called twice, or a model nested twice, has different slots.

    Attributes:
        operation: The Keras layer or operation.
        arguments: The symbolic arguments of the call, with a `fill_in` that
            puts tensors in the place of symbols.
        inputs: From the id of a symbolic input tensor to its slot.
        outputs: Slots of the flat outputs.
    """

    operation: Any
    arguments: Any
    inputs: dict[int, int]
    outputs: list[int]


@dataclass
class UnrolledGraph:
    """Calls in an order in which they can run.

    Attributes:
        steps: The calls.
        inputs: Slots of the model's flat inputs.
        outputs: Slots of the model's outputs, by key.
        symbols: The symbolic tensor of each slot.
    """

    steps: list[Step] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: dict[str, int] = field(default_factory=dict)
    symbols: list[Any] = field(default_factory=list)

    def new_slot(self, symbol: Any) -> int:
        """A slot for one more tensor."""
        self.symbols.append(symbol)
        return len(self.symbols) - 1

    def run(
        self,
        inputs: list[Any],
        operation_fn: Callable[[Any], Callable[..., Any]],
        read: Callable[[Step | str, int, Any], Any],
    ) -> dict[str, Any]:
        """Runs the calls on tensors.

        Args:
            inputs: Flat input tensors.
            operation_fn: Wraps an operation before it is called, as Keras
                does to hand on `training`.
            read: Called as `read(consumer, slot, tensor)` for each tensor
                that a step, or the output of a key, reads; returns the
                tensor that it is to read.

        Returns:
            The outputs by key.
        """
        values: dict[int, Any] = dict(zip(self.inputs, inputs, strict=True))
        for step in self.steps:
            filled = {
                symbol: read(step, slot, values[slot])
                for symbol, slot in step.inputs.items()
            }
            args, kwargs = step.arguments.fill_in(filled)
            results = operation_fn(step.operation)(*args, **kwargs)
            values.update(
                zip(step.outputs, keras.tree.flatten(results), strict=True)
            )
        return {
            key: read(key, slot, values[slot])
            for key, slot in self.outputs.items()
        }


def unroll(model: Any, *, nested: bool = True) -> UnrolledGraph:
    """Unrolls a Functional model whose outputs are a dict by key.

    Nested Functional models are unrolled too, so that each of their outputs
    is known by its own calls; other layers, `Sequential` and subclassed
    models included, stay whole.

    Args:
        model: A built Functional `keras.Model` with `{key: tensor}` outputs.
        nested: Whether nested models are unrolled.

    Returns:
        The flat graph.
    """
    graph = UnrolledGraph()
    graph.inputs = [graph.new_slot(x) for x in model.inputs]
    slots = _unroll_into(graph, model, graph.inputs, nested)
    keys = keras.tree.pack_sequence_as(model.output, slots)
    assert isinstance(keys, Mapping)
    graph.outputs = dict(keys)
    return graph


def _unroll_into(
    graph: UnrolledGraph, function: Any, inputs: list[int], into_nested: bool
) -> list[int]:
    slots = {
        id(symbol): slot
        for symbol, slot in zip(function.inputs, inputs, strict=True)
    }
    # Keras itself runs nodes in this order: the deepest, from the outputs
    # backwards, first.
    by_depth = function._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.is_input or not node.operation:
                continue
            nested = _nested_inputs(node) if into_nested else None
            if nested is None:
                outputs = [graph.new_slot(x) for x in node.outputs]
                graph.steps.append(
                    Step(
                        operation=node.operation,
                        arguments=node.arguments,
                        inputs={
                            id(x): slots[id(x)] for x in node.input_tensors
                        },
                        outputs=outputs,
                    )
                )
            else:
                outputs = _unroll_into(
                    graph,
                    node.operation,
                    [slots[id(x)] for x in nested],
                    into_nested,
                )
            slots.update(
                (id(x), slot)
                for x, slot in zip(node.outputs, outputs, strict=True)
            )
    return [slots[id(x)] for x in function.outputs]


def _nested_inputs(node: Any) -> list[Any] | None:
    """The flat inputs of a call that can be unrolled, or None."""
    model = node.operation
    # Only models whose `call` is Keras's own walk through the graph, called
    # in the plain way; whatever else a call does must go on being done.
    if (
        not isinstance(model, keras.Model)
        or not hasattr(model, "_nodes_by_depth")
        or not _walks_as_keras(type(model))
        or model.activity_regularizer is not None
        or node.arguments.kwargs.get("mask") is not None
        or len(node.arguments.args) != 1
    ):
        return None
    (inputs,) = node.arguments.args
    flat: list[Any] = keras.tree.flatten(inputs)
    expected = keras.tree.flatten(model.input)
    try:
        keras.tree.assert_same_structure(inputs, model.input)
    except (ValueError, TypeError):
        if len(flat) != 1 or len(expected) != 1:
            return None
    if any(
        not isinstance(x, keras.KerasTensor)
        or x.ndim != y.ndim
        or x.dtype != y.dtype
        for x, y in zip(flat, expected, strict=True)
    ):
        return None
    return flat


def _walks_as_keras(model_class: Any) -> bool:
    # Keras does not name the class of Functional models publicly.
    return any(
        base.__name__ == "Functional" and model_class.call is base.call
        for base in model_class.__mro__
    )
