import pytest
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.util import tensor_util

from keras_mtl.callbacks import TaskTensorBoard
from keras_mtl.callbacks.tensorboard import scalar_tag


class Model:
    tasks = ("age", "age_group")


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [
            (e.step, float(tensor_util.make_ndarray(e.tensor_proto)))
            for e in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def test_scalars_are_grouped_and_split_into_runs(tmp_path):
    callback = TaskTensorBoard(tmp_path)
    callback.set_model(Model())
    for epoch in range(2):
        callback.on_epoch_end(
            epoch, {"age_loss": 2.0 - epoch, "loss": 3.0, "val_age_loss": 4.0}
        )
    callback.on_train_end()
    assert read(tmp_path / "train") == {
        "loss/age": [(0, 2.0), (1, 1.0)],
        "all tasks/loss": [(0, 3.0), (1, 3.0)],
    }
    assert read(tmp_path / "validation") == {"loss/age": [(0, 4.0), (1, 4.0)]}


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("age_mean_error", "mean_error/age"),
        ("age_group_loss", "loss/age_group"),
        ("min_cosine", "all tasks/min_cosine"),
    ],
)
def test_the_longest_task_name_counts(key, tag):
    assert scalar_tag(key, Model.tasks) == tag
