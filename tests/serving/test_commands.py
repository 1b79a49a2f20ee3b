import json
import shlex

import keras
import numpy as np
import pytest

from keras_mtl.serving import export, next_commands
from keras_mtl.serving.session import open_session


def request_of(command):
    """What curl would send."""
    curl, flag, data, url = shlex.split(command)
    assert (curl, flag) == ("curl", "-d")
    if data.startswith("@"):
        with open(data[1:]) as file:
            data = file.read()
    return json.loads(data), url


def served(path, request):
    """The outputs, with the request read as TF Serving reads it."""
    with open_session(path) as model:
        infos = model.signatures["serving_default"].inputs
        rows = request["instances"]
        if len(infos) == 1:
            columns = {next(iter(infos)): rows}
        else:
            assert all(set(row) == set(infos) for row in rows)
            columns = {name: [row[name] for row in rows] for name in infos}
        feed = {}
        for name, info in infos.items():
            dtype = object if info.dtype == "string" else info.dtype
            feed[name] = np.array(columns[name], dtype)
            assert feed[name].ndim == len(info.shape)
        return model.run("serving_default", feed)


def test_commands_for_one_input(exported):
    _, path = exported
    commands = next_commands(path)
    source = path.parent.resolve()
    assert commands["serve"] == (
        "docker run -p 8501:8501 --mount "
        f"type=bind,source={source},target=/models/two "
        "-e MODEL_NAME=two -t tensorflow/serving"
    )
    request, url = request_of(commands["ask"])
    assert url == "http://localhost:8501/v1/models/two:predict"
    assert "@" not in commands["ask"]
    assert served(path, request)["left"].shape == (1, 3)


def test_newest_version_of_a_model_directory(exported):
    _, path = exported
    assert next_commands(path.parent) == next_commands(path)


def test_several_inputs_go_by_name(tmp_path):
    x = keras.Input((), name="x")
    ids = keras.Input((2,), dtype="int64", name="ids")
    text = keras.Input((1,), dtype="string", name="text")
    flag = keras.Input((1,), dtype="bool", name="flag")
    length = keras.layers.StringLookup(vocabulary=["a"], output_mode="one_hot")(
        text
    )
    y = keras.layers.Dense(1)(
        keras.layers.Concatenate()(
            [
                keras.ops.expand_dims(x, -1),
                keras.ops.cast(ids, "float32"),
                keras.ops.cast(length, "float32"),
                keras.ops.cast(flag, "float32"),
            ]
        )
    )
    path = export(keras.Model([x, ids, text, flag], {"a": y}), tmp_path / "m")
    request, _ = request_of(next_commands(path)["ask"])
    (row,) = request["instances"]
    assert isinstance(row["x"], float)
    assert [type(v) for v in row["ids"]] == [int, int]
    assert [type(v) for v in row["text"]] == [str]
    assert [type(v) for v in row["flag"]] == [bool]
    assert served(path, request)["a"].shape == (1, 1)


def test_made_up_text_is_no_empty_string(text_model, tmp_path):
    request, _ = request_of(next_commands(export(text_model, tmp_path))["ask"])
    assert request == {"instances": ["a"]}


def test_long_request_comes_from_a_file(tmp_path):
    x = keras.Input((16, 16, 1), name="image")
    y = keras.layers.Dense(1)(keras.layers.Flatten()(x))
    path = export(keras.Model(x, {"a": y}), tmp_path / "my model's")
    commands = next_commands(path)
    assert len(commands["ask"]) < 300
    request, url = request_of(commands["ask"])
    assert url.endswith("/my_model_s:predict")
    assert np.shape(request["instances"]) == (1, 16, 16, 1)
    assert served(path, request)["a"].shape == (1, 1)
    words = shlex.split(commands["serve"])
    assert words[5] == (
        f"type=bind,source={path.parent.resolve()},target=/models/my_model_s"
    )


def test_directory_that_export_did_not_write(tmp_path):
    x = keras.Input((2,), name="x")
    model = keras.Model(x, {"a": keras.layers.Dense(1)(x)})
    model.export(tmp_path / "1", verbose=False)
    with pytest.raises(ValueError, match=r"`version_dir` must be.*/1'; export"):
        next_commands(tmp_path)
