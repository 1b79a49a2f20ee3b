"""TF Serving's own loader, in C++, on what `export` writes."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_mtl.serving import export
from keras_mtl.serving.signatures import feed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="needs g++"),
]


@pytest.fixture(scope="module")
def load_and_run(tmp_path_factory):
    """The program, built against the installed TensorFlow."""
    program = tmp_path_factory.mktemp("native") / "load_and_run"
    library = tf.sysconfig.get_lib()
    subprocess.run(
        [
            "g++",
            *("-w", "-O1"),
            str(pathlib.Path(__file__).with_name("load_and_run.cc")),
            *tf.sysconfig.get_compile_flags(),
            f"-L{library}",
            "-Wl,--no-as-needed",  # else no session is registered
            "-l:libtensorflow_cc.so.2",
            "-l:libtensorflow_framework.so.2",
            f"-Wl,-rpath,{library}",
            *("-o", str(program)),
        ],
        check=True,
    )
    return program


def run_all(program, version_dir, folder, signatures, inputs):
    for name in signatures:
        place = folder / "in" / name
        place.mkdir(parents=True)
        for key, array in feed(name, inputs).items():
            proto = tf.make_tensor_proto(array)
            (place / f"{key}.pb").write_bytes(proto.SerializeToString())
    done = subprocess.run(
        [program, version_dir, folder],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(signatures)
    return {
        name: {
            file.stem: tf.make_ndarray(
                tensor_pb2.TensorProto.FromString(file.read_bytes())
            )
            for file in (folder / "out" / name).iterdir()
        }
        for name in signatures
    }


@pytest.mark.parametrize("float16", [False, True])
def test_every_signature_runs_in_cpp(
    load_and_run, two_tasks, rows, tmp_path, float16
):
    model = two_tasks()
    path = export(
        model,
        tmp_path / "two",
        groups={"both": ["left", "right"]},
        examples=True,
        float16=float16,
    )
    answers = run_all(
        load_and_run,
        path,
        tmp_path,
        ["serving_default", "serving_examples", "left", "right", "both"],
        {"x": rows},
    )
    expected = model.predict(rows, verbose=0)
    assert set(answers["left"]) == {"left"}
    assert set(answers["serving_examples"]) == {"left", "right"}
    for outputs in answers.values():
        for key, y in outputs.items():
            scale = np.abs(expected[key]).max()
            np.testing.assert_allclose(
                y, expected[key], atol=scale * (1e-2 if float16 else 1e-5)
            )


def test_text_and_tables_run_in_cpp(load_and_run, text_model, tmp_path):
    path = export(text_model, tmp_path / "text", examples=True)
    texts = np.array([b"a b", b"c", b""], object)
    answers = run_all(
        load_and_run,
        path,
        tmp_path,
        ["serving_default", "serving_examples", "tone"],
        {"text": texts},
    )
    expected = text_model.predict(tf.constant(texts), verbose=0)["tone"]
    for outputs in answers.values():
        np.testing.assert_allclose(outputs["tone"], expected, rtol=1e-5)


def test_cpp_refuses_what_is_broken(load_and_run, exported, tmp_path):
    path = shutil.copytree(exported[1], tmp_path / "1")
    file = path / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:1000])
    done = subprocess.run(
        [load_and_run, path, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 1 and "cannot load" in done.stderr


def test_cpp_finds_no_variables_of_a_tracked_keras_model(
    load_and_run, model, tmp_path
):
    """Why `export` saves raw variables, and why this program is needed."""
    module = tf.Module()
    module.model = model
    serve = tf.function(
        lambda x: model(x),
        input_signature=[tf.TensorSpec((None, 4), name="x")],
    )
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": serve})
    (tmp_path / "in" / "serving_default").mkdir(parents=True)
    proto = tf.make_tensor_proto(np.ones((2, 4), "float32"))
    (tmp_path / "in/serving_default/x.pb").write_bytes(
        proto.SerializeToString()
    )
    done = subprocess.run(
        [load_and_run, tmp_path / "1", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Could not find variable" in done.stderr
