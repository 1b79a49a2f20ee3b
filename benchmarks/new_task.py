"""A task that was never seen, on the encoder that the others have made.

A model of the other tasks is trained with all their labels; a model of the new
task alone then learns from few examples: from scratch, fine-tuned (beginning
with the weights of the shared encoder) or frozen (a new head on the encoder,
which stays as it is). All three see the same examples in equally many steps.
"""

from collections.abc import Iterator
from typing import Any

import keras
import keras_tuner
from label_variants import few_examples, passes

from keras_mtl import MultiTaskModel, Recipe, Splits, TaskSet

SCRATCH = "from scratch"
WAYS = (SCRATCH, "fine-tuned", "frozen")


def build(recipe: Recipe, names: list[str]) -> MultiTaskModel:
    """The recipe's model of some tasks, shared in its first way."""
    tasks = TaskSet([recipe.tasks[name] for name in names])
    return recipe.build(keras_tuner.HyperParameters(), tasks)


def compile_model(recipe: Recipe, model: MultiTaskModel) -> None:
    """With an optimizer as the recipe has it."""
    optimizer = recipe.optimizer
    if isinstance(optimizer, keras.optimizers.Optimizer):
        optimizer = type(optimizer).from_config(optimizer.get_config())
    elif callable(optimizer):
        optimizer = optimizer(keras_tuner.HyperParameters())
    model.compile(optimizer)


def encoder_layers(model: Any, shared: Any) -> list[Any]:
    """Layers with weights that both models have and that are no heads.

    Raises:
        ValueError: There are none.
    """
    theirs = {layer.name: layer for layer in shared.layers}
    heads = {*model.tasks, *shared.tasks}
    found = [
        layer
        for layer in model.layers
        if layer.weights
        and layer.name in theirs
        and layer.name not in heads
        and [w.shape for w in layer.weights]
        == [w.shape for w in theirs[layer.name].weights]
    ]
    if not found:
        raise ValueError(
            "The models share no layer that could be handed on. Received: "
            f"{[layer.name for layer in model.layers]} and {list(theirs)}"
        )
    return found


def fit(model: Any, x: Any, y: Any, batch_size: int, epochs: int) -> None:
    """Trains on the labels of the model's tasks."""
    labels = {name: y[name] for name in model.tasks}
    model.fit(x, labels, batch_size=batch_size, epochs=epochs, verbose=0)


def learn_new_task(
    recipe: Recipe,
    splits: Splits,
    name: str,
    *,
    fractions: tuple[float, ...],
    seed: int,
    epochs: int,
) -> Iterator[dict[str, Any]]:
    """Trains the other tasks, then the new one in every way.

    Args:
        recipe: Of all tasks, in arrays.
        splits: Its data.
        name: Of the new task.
        fractions: Of the training examples that the new task has.
        seed: Of weights and orders.
        epochs: Of the other tasks; steps of the new one are as many.

    Yields:
        What each model makes of test data.
    """
    x, y = splits.train
    keras.utils.set_random_seed(seed)
    shared = build(recipe, [task for task in recipe.tasks if task != name])
    compile_model(recipe, shared)
    fit(shared, x, y, recipe.batch_size, epochs)
    task = recipe.tasks[name]
    for fraction in fractions:
        few_x, few_y = few_examples(x, y, fraction)
        for way in WAYS:
            keras.utils.set_random_seed(seed)
            model = build(recipe, [name])
            if way != SCRATCH:
                for layer in encoder_layers(model, shared):
                    theirs = shared.get_layer(layer.name)
                    layer.set_weights(theirs.get_weights())
                    layer.trainable = way != "frozen"
            compile_model(recipe, model)
            batch_size = max(1, round(recipe.batch_size / passes(fraction)))
            fit(model, few_x, few_y, batch_size, epochs)
            test_x, test_y = splits.test
            found = model.evaluate(
                test_x, {name: test_y[name]}, return_dict=True, verbose=0
            )
            yield {
                "task": name,
                "fraction": fraction,
                "examples": len(few_y[name]) // passes(fraction),
                "seed": seed,
                "way": way,
                "metric": task.monitor.removeprefix(f"{name}_"),
                "direction": task.direction,
                "test": float(found[task.monitor]),
            }
