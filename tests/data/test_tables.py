"""Columns to features, by hand; and a model that takes them raw."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import Task, builders
from keras_mtl.data import TableEncoder, table
from keras_mtl.serving import check

NAN = float("nan")
DATA = {
    "age": np.array([20, 40, 60, 40]),
    "wage": np.array([0.0, 99.0, NAN, 9.0], "float32"),
    "city": np.array(["Rome", "Bern", "Rome", ""]),
    "zone": np.array([3, 1, 1, 7]),
    "unused": np.array([1, 2, 3, 4]),
}
KINDS = {
    "age": "number",
    "city": "category",
    "wage": "log_number",
    "zone": "category",
}
TASKS = [Task("buys", "binary"), Task("spends", "regression")]
LABELS = {"buys": np.array([0, 1, 0, 1]), "spends": np.arange(4.0)}


def features(people, data):
    return np.asarray(people.encoder(next(iter(people.dataset(data).batch(9)))))


def test_numbers_by_hand():
    people = table({"age": "number", "wage": "log_number"}, DATA)
    age = (DATA["age"] - 40) / np.sqrt(200)
    logs = np.log1p(DATA["wage"])
    wage = (logs - np.nanmean(logs)) / np.nanstd(logs)
    wage[2] = 0  # the mean
    expected = np.stack([age, wage, [0, 0, 1, 0]], axis=1)
    np.testing.assert_allclose(features(people, DATA), expected, rtol=1e-5)
    # What had no gap in the data has no place to tell of one.
    other = {"age": [NAN], "wage": [-99.0]}
    wage = (-np.log(100) - np.nanmean(logs)) / np.nanstd(logs)
    np.testing.assert_allclose(
        features(people, other), [[0, wage, 0]], rtol=1e-5
    )


def test_numbers_that_are_always_the_same_or_never_there():
    people = table(
        dict.fromkeys("ab", "number"), {"a": [2, 2], "b": [NAN, NAN]}
    )
    np.testing.assert_array_equal(
        features(people, {"a": [2, 3], "b": [NAN, 1.0]}),
        [[0, 0, 1], [1, 1, 0]],
    )


def test_categories_have_a_row_each():
    people = table({"city": "category", "zone": "category"}, DATA, width=2)
    assert people.encoder.categories == {
        "city": ["", "Bern", "Rome"],
        "zone": [1, 3, 7],
    }
    assert people.inputs["zone"].dtype == "int64"
    given = {
        "city": ["Rome", "Bern", "", "Oslo", "1", None],
        "zone": [7, 3, 1, 2, -1, 1],
    }
    found = features(people, given)
    rows = np.asarray(people.encoder.weights[0])
    assert rows.shape == (2 + 6, 2)
    # The first of each column is that of unknown categories.
    city = [3, 2, 1, 0, 0, 1]
    zone = [7, 6, 5, 4, 4, 5]
    np.testing.assert_array_equal(
        found, np.concatenate([rows[city], rows[zone]], axis=1)
    )


def test_rare_categories_are_unknown():
    people = table({"city": "category"}, DATA, min_count=2)
    assert people.encoder.categories == {"city": ["Rome"]}


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a", "b"],
        np.array([b"b", b"a", b"b"]),
        np.array([["b"], ["a"], ["b"]]),
        np.array(["b", "a", "b"], object),
    ],
    ids=["list", "bytes", "two_axes", "objects"],
)
def test_strings_of_all_sorts(values):
    people = table({"city": "category"}, {"city": values})
    assert people.encoder.categories == {"city": ["a", "b"]}
    found = features(people, {"city": values})
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[0] != found[1]).any()


def model_of(people):
    keras.utils.set_random_seed(0)
    return builders.hard_sharing(
        people.inputs,
        TASKS,
        [people.encoder, keras.layers.Dense(8, activation="relu", name="low")],
    )


def test_a_saved_model_reads_the_same(tmp_path):
    people = table(KINDS, DATA, width=4)
    model = model_of(people)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = next(iter(people.dataset(DATA).batch(4)))
    expected = model(x)
    for name, values in again(x).items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.slow
def test_another_process_loads_it(tmp_path):
    path = tmp_path / "model.keras"
    model_of(table(KINDS, DATA, width=4)).save(path)
    code = f"import keras, keras_mtl; keras.saving.load_model({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_model_is_trained_and_served_on_raw_columns(tmp_path):
    people = table(KINDS, DATA, width=4)
    model = model_of(people)
    model.compile(keras.optimizers.Adam(0.05), balancer="mgda")
    data = people.dataset(DATA, LABELS).batch(2)
    history = model.fit(data, epochs=20, shuffle=False, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    version = keras_mtl.export(again, tmp_path / "served")
    assert check(version).ok
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    x = next(iter(people.dataset(DATA).batch(4)))
    expected = model(x)
    for name, values in served(**x).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["cross_stitch", "mmoe"])
def test_builders_take_it_as_a_block(name):
    people = table(KINDS, DATA, width=4)
    blocks = [people.encoder, keras.layers.Dense(8, name="low")]
    model = builders.registry[name](people.inputs, TASKS, blocks, depth=1)
    x = next(iter(people.dataset(DATA).batch(4)))
    assert model(x)["buys"].shape == (4, 1)


def test_half_precision_comes_after_the_standardizing():
    data = {"year": [2001.0, 2002.0, 2003.0], "city": ["a", "b", "c"]}
    people = table({"year": "number", "city": "category"}, data)
    config = {**people.encoder.get_config(), "dtype": "mixed_bfloat16"}
    encoder = TableEncoder.from_config(config)
    found = encoder(next(iter(people.dataset(data).batch(3))))
    assert found.dtype == "bfloat16"
    np.testing.assert_allclose(
        np.asarray(found, "float32")[:, 0], [-1.2247, 0, 1.2247], rtol=4e-3
    )


def test_it_reads_in_the_order_of_the_columns_whatever_the_data_has():
    people = table(KINDS, DATA)
    assert list(people.inputs) == list(KINDS)
    assert people.encoder(people.inputs).shape == (None, 2 + 1 + 2 * 8)
    (x, y) = next(iter(people.dataset(DATA, LABELS)))
    assert set(x) == set(KINDS) and set(y) == set(LABELS)


@pytest.mark.parametrize(
    ("columns", "data", "message"),
    [
        ({}, DATA, "`columns` must name a column"),
        ({"age": "numeric"}, DATA, r"`columns\['age'\]` must be one of number"),
        ({"ages": "number"}, DATA, "have a column 'ages'.* mean 'age'"),
        ({"city": "number"}, DATA, r"`data\['city'\]` must be numbers"),
        ({"wage": "category"}, DATA, r"`data\['wage'\]` must be strings or"),
        (
            {"age": "number", "zone": "category"},
            {"age": [1], "zone": [1, 2]},
            "same number of rows, .*'age': 1, 'zone': 2",
        ),
        ({"age": "number"}, {"age": []}, "one at least"),
        ({"city": "category"}, {"city": ["a"]}, "`min_count` must be reached"),
        ({"age": "number"}, {"age": np.ones((2, 2))}, r"must be a column \(n"),
    ],
)
def test_bad_tables_are_refused(columns, data, message):
    with pytest.raises(ValueError, match=message):
        table(columns, data, min_count=2)


@pytest.mark.parametrize("argument", ["width", "min_count"])
def test_bad_numbers_are_refused(argument):
    with pytest.raises(ValueError, match=f"`{argument}` must be a positive"):
        table(KINDS, DATA, **{argument: 0})
