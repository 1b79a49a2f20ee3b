import pathlib
import runpy

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import keras_mtl
from keras_mtl.analysis.training import build_model, train_once
from keras_mtl.recipe import load_recipe
from keras_mtl.tasks import TaskSet

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "movies.py"


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(RECIPE))


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(RECIPE)


@pytest.fixture(scope="module")
def splits(page):
    x, stars = page["made_ratings"](people=40, movies=30, each=10)
    rows = {
        "train": slice(0, 300),
        "validation": slice(300, 350),
        "test": slice(350, 400),
    }
    y = {
        "rating": stars.astype("float32"),
        "liked": (stars >= 4).astype("int64"),
        "watched": x["movie"],
    }
    return keras_mtl.Splits(
        **{
            name: tuple(
                {k: v[part] for k, v in each.items()} for each in (x, y)
            )
            for name, part in rows.items()
        }
    )


def test_no_rating_is_on_two_sides(page):
    splits = page["load"]("made", None)
    pairs = [
        set(zip(x["person"].tolist(), x["movie"].tolist(), strict=True))
        for x, _ in splits[:3]
    ]
    assert [len(p) for p in pairs] == [21_000, 3_000, 6_000]
    assert not pairs[0] & pairs[1] and not pairs[0] & pairs[2]
    x, y = splits.train
    assert x["person"].max() < page["PEOPLE"]
    assert x["movie"].max() < page["MOVIES"]
    np.testing.assert_array_equal(y["liked"], y["rating"] >= 4)
    np.testing.assert_array_equal(y["watched"], x["movie"])


def test_ranking_does_not_see_the_movie(recipe, splits):
    model = build_model(recipe, recipe.tasks)
    x = {name: values[:5] for name, values in splits.test[0].items()}
    other = x | {"movie": x["movie"] + 1, "genres": 1 - x["genres"]}
    seen, unseen = (model.predict(each, verbose=0) for each in (x, other))
    np.testing.assert_array_equal(seen["watched"], unseen["watched"])
    assert np.all(seen["rating"] != unseen["rating"])
    assert np.allclose(seen["watched"].sum(axis=1), 1, atol=1e-4)


def test_the_catalogue_ranks_by_its_own_vectors(page):
    catalogue = page["Catalogue"](7, 3)
    vectors = keras.ops.convert_to_numpy(catalogue(np.arange(7)))
    person = np.array([[1.0, -2.0, 0.5]], "float32")
    np.testing.assert_allclose(
        catalogue(person, rank=True), person @ vectors.T, rtol=1e-6
    )


def test_all_tasks_share_the_catalogue(recipe):
    served = build_model(recipe, recipe.tasks).variables_by_task()
    paths = {task: {v.path for v in found} for task, found in served.items()}
    assert "catalogue/embeddings" in set.intersection(*paths.values())
    assert "wide/kernel" not in paths["watched"]


@pytest.mark.parametrize("names", [["watched"], ["rating", "watched"]])
def test_some_of_the_tasks_train_alone(recipe, splits, names):
    tasks = TaskSet([recipe.tasks[name] for name in names])
    model, history, _ = train_once(recipe, splits, tasks, seed=0, epochs=1)
    assert list(model.output) == names
    assert np.isfinite(history["val_loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("sharing", ["hard_sharing", "mmoe", "ple"])
def test_each_way_learns_and_exports(recipe, splits, sharing, tmp_path):
    model, history, _ = train_once(
        recipe, splits, recipe.tasks, seed=0, epochs=30, sharing=sharing
    )
    assert history["rating_rmse"][-1] < 0.6 * history["rating_rmse"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = {name: values[:5] for name, values in splits.test[0].items()}
    for task, values in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(loaded.predict(x, verbose=0)[task], values)
    version = keras_mtl.export(model, tmp_path / "movies")
    served = tf.saved_model.load(str(version)).signatures
    assert sorted(served) == ["liked", "rating", "serving_default", "watched"]


def test_movielens_columns_become_these(page, monkeypatch):
    ratings = {
        "user_id": [b"7", b"943", b"1"],
        "movie_id": [b"1", b"1682", b"50"],
        "bucketized_user_age": [1.0, 56.0, 25.0],
        "user_gender": [True, False, True],
        "user_occupation_label": [0, 21, 3],
        "movie_genres": [[0, 4], [7], [20, 1, 2]],
        "user_rating": [5.0, 1.0, 4.0],
    }
    features = tfds.builder("movielens/100k-ratings").info.features
    signature = {name: features.get_tensor_spec()[name] for name in ratings}
    examples = [
        {name: values[row] for name, values in ratings.items()}
        for row in range(3)
    ]

    class Prepared:
        def dataset(self, split):
            assert split == "train"
            dataset = tf.data.Dataset.from_generator(
                lambda: examples, output_signature=signature
            )
            return dataset.map(self.example)

    def tasks_from_tfds(*args, **kwargs):
        found = keras_mtl.data.tasks_from_tfds(*args, **kwargs)
        prepared = Prepared()
        prepared.example = found.example
        return prepared

    monkeypatch.setitem(
        page["movielens"].__globals__, "tasks_from_tfds", tasks_from_tfds
    )
    x, stars = page["movielens"](None)
    np.testing.assert_array_equal(stars, [5, 1, 4])
    np.testing.assert_array_equal(x["person"], [7, 943, 1])
    np.testing.assert_array_equal(x["movie"], [1, 1682, 50])
    np.testing.assert_array_equal(x["age"], [0, 6, 2])
    np.testing.assert_array_equal(x["gender"], [1, 0, 1])
    assert [np.flatnonzero(row).tolist() for row in x["genres"]] == [
        *([0, 4], [7], [1, 2, 20])
    ]


def test_absent_data_is_said(page, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"movielens.*not prepared"):
        page["load"]("100k", str(tmp_path))
