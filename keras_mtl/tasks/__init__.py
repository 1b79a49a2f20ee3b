"""What a model is asked to learn: one task per output key."""

from keras_mtl.tasks.task import Task
from keras_mtl.tasks.task_set import TaskSet

__all__ = ["Task", "TaskSet"]
