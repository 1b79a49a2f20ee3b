"""A search space of multi-task models, for any KerasTuner tuner."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from keras_mtl.analysis.training import named_balancers
from keras_mtl.recipe import Recipe
from keras_mtl.tasks import Task, TaskSet
from keras_mtl.training import MultiTaskModel
from keras_mtl.tuner.balancer_space import FIXED, choose_balancer
from keras_mtl.tuner.optimizer_space import choose_optimizer
from keras_mtl.tuner.sharing_space import PATTERNS, sharing_search


class MultiTaskHyperModel(keras_tuner.HyperModel):
    """Compiled models over a space of sharing, balancing and optimizing.

    The space holds what `build` asks for; the balancer with its most
    important hyperparameter, or else loss weights; and the learning rate, or
    what a function `optimizer(hp)` asks for. The defaults are those of the
    recipe, with equal weights.

    Args:
        build: `build(hp, tasks)` returns a `MultiTaskModel`.
        tasks: The tasks.
        optimizer: As in `Recipe`.
        balancers: Names, configs or instances of balancers to choose from;
            fixed weights are always among them.

    Example:
        >>> import keras
        >>> model = MultiTaskHyperModel.from_blocks(
        ...     keras.Input((8,)),
        ...     [Task("a", "binary"), Task("b", "regression")],
        ...     blocks=[keras.layers.Dense(16, name="low")],
        ...     balancers=["cagrad"],
        ... )
        >>> [p.name for p in model.space().space][-4:]
        ['balancer', 'weight/b', 'cagrad/c', 'learning_rate']
    """

    def __init__(
        self,
        build: Callable[[Any, TaskSet], MultiTaskModel],
        tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
        optimizer: Any = "adam",
        balancers: Iterable[Any] = (),
    ) -> None:
        super().__init__()
        self.make_model = build
        self.tasks = tasks if isinstance(tasks, TaskSet) else TaskSet(tasks)
        self.optimizer = optimizer
        # Equal weights are fixed ones.
        named = named_balancers(b for b in balancers if b is not None)
        self.balancers = {FIXED: None, **named}

    @classmethod
    def from_recipe(
        cls, recipe: Recipe, balancers: Iterable[Any] | None = None
    ) -> "MultiTaskHyperModel":
        """The space of a recipe.

        Args:
            recipe: Its `build` and `optimizer` tell most of the space.
            balancers: By default the recipe's.
        """
        return cls(
            recipe.build,
            recipe.tasks,
            recipe.optimizer,
            recipe.balancers if balancers is None else balancers,
        )

    @classmethod
    def from_blocks(
        cls,
        inputs: Any,
        tasks: TaskSet | Mapping[str, Task] | Iterable[Task],
        blocks: Any,
        *,
        patterns: Sequence[str] = PATTERNS,
        optimizer: Any = "adam",
        balancers: Iterable[Any] = (),
    ) -> "MultiTaskHyperModel":
        """The space of the ways in which a tower can be shared.

        Args:
            inputs: As in `sharing_search`.
            tasks: The tasks.
            blocks: As in `sharing_search`.
            patterns: As in `sharing_search`.
            optimizer: As in `Recipe`.
            balancers: Names, configs or instances to choose from.
        """
        build = sharing_search(inputs, blocks, patterns)
        return cls(build, tasks, optimizer, balancers)

    def build(self, hp: Any) -> MultiTaskModel:
        """A compiled model.

        Raises:
            ValueError: What the hyperparameters tell cannot be built.
        """
        # Bayesian optimization proposes numpy numbers, which configs of
        # layers and balancers cannot hold.
        hp.values = plain_values(hp.values)
        model = self.make_model(hp, self.tasks)
        if not isinstance(model, MultiTaskModel):
            raise ValueError(
                "`build` must return a keras_mtl.MultiTaskModel. Received: "
                f"{type(model).__name__}"
            )
        balancer = choose_balancer(hp, self.balancers, self.tasks)
        model.compile(choose_optimizer(hp, self.optimizer), balancer=balancer)
        return model

    def space(self) -> Any:
        """All hyperparameters, also those of choices that are no default.

        Raises:
            ValueError: There is nothing to search, or a model cannot be built.
        """
        oracle = keras_tuner.oracles.RandomSearchOracle(
            keras_tuner.Objective("delta_m", "max"), max_trials=1
        )
        try:
            with tempfile.TemporaryDirectory() as directory:
                # Builds a model for each scope.
                space = BaseTuner(oracle, self, directory).oracle.get_space()
        except Exception as error:
            raise ValueError(
                "The space cannot be searched, for a model of it cannot be "
                f"built: {type(error).__name__}: {error}"
            ) from error
        if not any(_choices(parameter) for parameter in space.space):
            raise ValueError(
                "There is nothing to search: `build` and `optimizer` ask for "
                "no hyperparameter with two values or more. Ask for one, such "
                "as hp.Int('depth', 1, 3), or leave the optimizer's learning "
                "rate to the search. Received: "
                f"{[parameter.name for parameter in space.space]}"
            )
        return space


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of hyperparameters as Python's own types."""
    return {
        name: value.item() if hasattr(value, "item") else value
        for name, value in values.items()
    }


def _choices(parameter: Any) -> bool:
    """Whether a hyperparameter can have two values or more."""
    drawn = {str(parameter.random_sample(seed)) for seed in range(64)}
    return len(drawn) > 1
