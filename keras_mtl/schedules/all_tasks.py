"""All tasks in every step."""

from typing import Any

from keras_mtl.schedules.base import Schedule, registry


@registry.register("all_tasks")
class AllTasks(Schedule):
    """Trains all tasks in every step, as no schedule does.

    It is there to have a name, where schedules are chosen by name.

    Args:
        name: Name of the layer.

    Example:
        >>> import keras_mtl
        >>> schedule = AllTasks()
        >>> tasks = [keras_mtl.Task(name, "binary") for name in "ab"]
        >>> schedule.bind(keras_mtl.TaskSet(tasks), {})
        >>> schedule.build((2,))
        >>> schedule.factors(7).numpy().tolist()
        [1.0, 1.0]
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)

    def get_config(self) -> dict[str, Any]:
        """The name."""
        return {"name": self.name}
