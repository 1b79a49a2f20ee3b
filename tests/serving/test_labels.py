"""Versions are asked for by labels, which move from one to another."""

import json
import shlex
import shutil

import pytest
from werkzeug.test import Client as WsgiClient

from keras_mtl.serving import (
    Client,
    label_version,
    next_commands,
    write_configs,
)
from keras_mtl.serving.configs import MODELS
from keras_mtl.serving.rest_server import RestApp
from tests.serving.conftest import echo_model


@pytest.fixture
def model_dir(tmp_path):
    """Three versions of a model that hold nothing."""
    for version in (1, 2, 3):
        extra = tmp_path / "m" / str(version) / "assets.extra"
        extra.mkdir(parents=True)
        (extra / "request.json").write_text('{"instances": [[1]]}')
        (extra.parent / "saved_model.pb").write_bytes(b"")
    return tmp_path / "m"


def served_by(model_dir):
    """Versions and labels, as TF Serving reads them."""
    config = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2"
    )
    from google.protobuf import text_format

    (model,) = text_format.Parse(
        (model_dir.parent / MODELS).read_text(), config.ModelServerConfig()
    ).model_config_list.config
    versions = model.model_version_policy.specific.versions
    return list(versions), dict(model.version_labels)


def test_labels_and_the_newest_are_served(model_dir):
    label_version(model_dir / "1", "stable")
    assert served_by(model_dir) == ([1, 3], {"stable": 1})
    label_version(model_dir, "canary")
    assert served_by(model_dir) == ([1, 3], {"stable": 1, "canary": 3})
    label_version(model_dir / "2", "stable")
    assert served_by(model_dir) == ([2, 3], {"stable": 2, "canary": 3})
    # What is exported later is served, too, and changes no label.
    (model_dir / "4").mkdir()
    shutil.copy(model_dir / "1" / "saved_model.pb", model_dir / "4")
    write_configs(model_dir.parent)
    assert served_by(model_dir) == ([2, 3, 4], {"stable": 2, "canary": 3})
    (model_dir.parent / "labels.json").unlink()
    write_configs(model_dir.parent)
    assert served_by(model_dir) == ([], {})


def test_the_command_lets_labels_change(model_dir):
    flags = {
        "--allow_version_labels_for_unavailable_models",
        "--model_config_file_poll_wait_seconds=60",
    }
    write_configs(model_dir.parent)
    assert not flags & set(shlex.split(next_commands(model_dir)["serve_all"]))
    label_version(model_dir, "stable")
    assert flags < set(shlex.split(next_commands(model_dir)["serve_all"]))


def test_a_version_that_is_gone(model_dir):
    label_version(model_dir / "1", "stable")
    before = (model_dir.parent / MODELS).read_text()
    shutil.rmtree(model_dir / "1")
    with pytest.raises(ValueError, match=r"'stable'.*of \[2, 3\]. Received: 1"):
        write_configs(model_dir.parent)
    assert (model_dir.parent / MODELS).read_text() == before
    label_version(model_dir / "2", "stable")
    assert served_by(model_dir) == ([2, 3], {"stable": 2})


@pytest.mark.parametrize("label", ["", "..", "a/b", "a b", "-x", 'a"', "a\n"])
def test_labels_that_are_no_part_of_an_address(model_dir, label):
    with pytest.raises(ValueError, match="`label` must start with a letter"):
        label_version(model_dir, label)
    assert not (model_dir.parent / "labels.json").exists()


def test_what_is_no_version_has_no_label(model_dir):
    (model_dir / "3").rename(model_dir / "third")
    with pytest.raises(ValueError, match="`path` must be a version"):
        label_version(model_dir / "third", "stable")


@pytest.mark.parametrize(
    "labels",
    [[], {"m": 1}, {"m": {"a": "1"}}, {"m": {"a/": 1}}, {"m": {"": 1}}],
)
def test_a_file_that_is_none(model_dir, labels):
    (model_dir.parent / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(ValueError, match=r"Labels must be like.*labels.json"):
        write_configs(model_dir.parent)


@pytest.fixture(scope="module")
def labelled(serve, tmp_path_factory):
    """A server of version 2 of three, which is `stable`."""
    model_dir = tmp_path_factory.mktemp("saved") / "echo"
    echo_model(model_dir / "2")
    label_version(model_dir, "stable")
    shutil.copytree(model_dir / "2", model_dir / "3")
    label_version(model_dir, "canary")
    return serve(model_dir / "2")


def test_requests_by_label(labelled, address_of):
    inputs = {"text": ["a"], "count": [[1, 2]]}
    address = address_of(labelled)
    with Client(address, "echo", label="stable") as client:
        assert client.predict(inputs)["count"].tolist() == [[2, 3]]
    with (
        Client(address, "echo", label="canary") as client,
        pytest.raises(ValueError, match=r"label: canary.*version 2.*'stable'"),
    ):
        client.predict(inputs)


def test_the_status_by_label(labelled):
    web = WsgiClient(RestApp(labelled.model, "", 10_000))
    path = "/v1/models/echo/labels"
    assert web.get(f"{path}/stable").status_code == 200
    assert web.get(f"{path}/canary").status_code == 400
    assert web.get(f"{path}/stable/versions/2").status_code == 400


def test_a_number_or_a_label():
    with pytest.raises(ValueError, match="One of `version` and `label`"):
        Client("http://localhost:1", "m", version=1, label="stable")
