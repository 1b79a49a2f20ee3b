"""The drawing of who shares what, as a file."""

import keras
import pytest
from keras import layers
from matplotlib.image import imread

import keras_mtl
from keras_mtl import Task, builders


def model():
    return builders.hard_sharing(
        keras.Input((3,), name="x"),
        [Task("a", "binary"), Task("b", "regression")],
        [layers.Dense(4, name=name) for name in ("low", "high")],
        {"a": 2, "b": 1},
    )


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_files(tmp_path, ending):
    path = keras_mtl.plot_sharing(model(), tmp_path / f"new/sharing.{ending}")
    assert path == tmp_path / f"new/sharing.{ending}"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    if ending == "png":
        assert imread(path).shape[1] >= 600


def test_bad_input(tmp_path):
    with pytest.raises(
        ValueError, match=r"`to_file` must end in .*png.*'.*txt'"
    ):
        keras_mtl.plot_sharing(model(), tmp_path / "sharing.txt")
    plain = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match=r"`model` must be a keras_mtl.Multi"):
        keras_mtl.plot_sharing(plain, tmp_path / "sharing.png")
    assert not list(tmp_path.iterdir())
