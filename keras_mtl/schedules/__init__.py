"""Which tasks train when."""

from keras_mtl.schedules.all_tasks import AllTasks
from keras_mtl.schedules.alternate import Alternate
from keras_mtl.schedules.base import Schedule, get, registry, serialize
from keras_mtl.schedules.curriculum import Curriculum
from keras_mtl.schedules.loss_driven import LossDriven
from keras_mtl.schedules.random_task import RandomTask
from keras_mtl.schedules.round_robin import RoundRobin
from keras_mtl.schedules.task_early_stopping import TaskEarlyStopping

__all__ = [
    "AllTasks",
    "Alternate",
    "Curriculum",
    "LossDriven",
    "RandomTask",
    "RoundRobin",
    "Schedule",
    "TaskEarlyStopping",
    "get",
    "registry",
    "serialize",
]
