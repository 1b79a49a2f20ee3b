import shlex

import pytest

from keras_mtl.serving import next_commands, write_configs
from keras_mtl.serving.configs import BATCHING, MODELS


@pytest.fixture
def saved_models(tmp_path):
    for name in ("digits", "my model", "half/staged", "empty/1"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("digits/1", "digits/2", "my model/3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
    extra = tmp_path / "digits/2/assets.extra"
    extra.mkdir()
    (extra / "request.json").write_text('{"instances": [[1]]}')
    return tmp_path


def test_every_model_with_a_version(saved_models):
    assert write_configs(saved_models) == saved_models / MODELS
    text = (saved_models / MODELS).read_text()
    assert text.count("config {") == 2
    assert 'name: "my_model"\n    base_path: "/models/my model"' in text
    assert 'name: "digits"' in text and "empty" not in text


def test_protobufs_are_those_of_tf_serving(saved_models):
    config = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2"
    )
    from google.protobuf import text_format

    write_configs(saved_models)
    parsed = text_format.Parse(
        (saved_models / MODELS).read_text(), config.ModelServerConfig()
    )
    models = parsed.model_config_list.config
    assert [(m.name, m.base_path, m.model_platform) for m in models] == [
        ("digits", "/models/digits", "tensorflow"),
        ("my_model", "/models/my model", "tensorflow"),
    ]


def test_batching_is_the_users_once_written(saved_models):
    write_configs(saved_models)
    assert (
        "max_batch_size { value: 32 }" in (saved_models / BATCHING).read_text()
    )
    (saved_models / BATCHING).write_text("max_batch_size { value: 8 }\n")
    write_configs(saved_models)
    assert (saved_models / BATCHING).read_text() == (
        "max_batch_size { value: 8 }\n"
    )


def test_two_models_of_one_address(saved_models):
    (saved_models / "my model").rename(saved_models / "digits ")
    (saved_models / "digits").rename(saved_models / "digits_")
    with pytest.raises(ValueError, match=r"'digits ' and 'digits_'.*rename"):
        write_configs(saved_models)


def test_no_model(tmp_path):
    with pytest.raises(ValueError, match="`saved_models` must hold"):
        write_configs(tmp_path)


def test_command_for_all_models(saved_models):
    assert set(next_commands(saved_models / "digits")) == {"serve", "ask"}
    write_configs(saved_models)
    words = shlex.split(next_commands(saved_models / "digits")["serve_all"])
    assert f"type=bind,source={saved_models},target=/models" in words
    assert words[-3:] == [
        "--model_config_file=/models/models.config",
        "--enable_batching",
        "--batching_parameters_file=/models/batching.config",
    ]
