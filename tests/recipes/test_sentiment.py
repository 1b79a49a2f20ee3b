import json
import pathlib
import runpy

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl.analysis.training import build_model, evaluate, train_once
from keras_mtl.data import REVIEW_DOMAINS
from keras_mtl.recipe import load_recipe

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "sentiment.py"
GOOD, BAD = ("fine", "great", "lovely"), ("dull", "poor", "broken")


def review(domain, number, label):
    """A review that says in its third word whether it is good."""
    word = (GOOD if label else BAD)[number % 3]
    return f"this is {word} for {domain} number {number}"


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(RECIPE))


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(RECIPE).for_source("review_domains")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("reviews")
    for name, numbers in (("train", range(16)), ("test", range(100, 104))):
        lines = [
            json.dumps(
                {
                    "domain": domain,
                    "label": number % 2,
                    "text": review(domain, number, number % 2),
                }
            )
            for number in numbers
            for domain in REVIEW_DOMAINS
        ]
        (path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def splits(page, data_dir):
    return page["load"]("review_domains", str(data_dir))


def small(recipe, names, **options):
    tasks = keras_mtl.TaskSet([recipe.tasks[name] for name in names])
    keras.utils.set_random_seed(0)
    return build_model(recipe, tasks, **options)


def test_examples_have_a_review_of_each_domain(page, splits):
    for split, count in (("train", 14), ("validation", 2), ("test", 4)):
        x, y = getattr(splits, split)
        assert tuple(y) == REVIEW_DOMAINS
        assert x.shape == (count, len(page["DOMAINS"]), 256)
        assert (x[:, :16, :7] > 0).all() and not x[:, :16, 7:].any()
        assert not x[:, 16:].any()  # of TFDS alone
        assert all(((v >= 0) & (v <= 1)).all() for v in y.values())


def test_no_review_is_in_two_parts(splits):
    seen = [
        {row.tobytes() for row in part[0][:, :16].reshape(-1, 256)}
        for part in splits[:3]
    ]
    assert [len(rows) for rows in seen] == [16 * 14, 16 * 2, 16 * 4]
    assert len(set.union(*seen)) == 16 * (14 + 2 + 4)


def test_texts_and_labels_stay_together(page, splits):
    x, y = splits.test
    domain = REVIEW_DOMAINS[3]
    texts = [review(domain, 100 + n, n % 2) for n in range(4)]
    np.testing.assert_array_equal(x[:, 3], page["read"](texts))
    assert y[domain].tolist() == [0, 1, 0, 1]


def test_domains_with_fewer_reviews_miss_labels(page):
    parts = {
        "books": {"text": ["a", "b c"], "label": np.array([1, 0])},
        "music": {"text": ["d"], "label": np.array([0])},
    }
    x, y = page["examples"](parts)
    assert y["books"].tolist() == [1, 0] and y["music"].tolist() == [0, -1]
    books, music = (page["DOMAINS"].index(name) for name in parts)
    assert (x > 0).sum(axis=2)[:, [books, music]].tolist() == [[1, 1], [2, 0]]


def test_words_are_read_as_numbers(page):
    numbers = page["read"](["A great  book", "book", ""])
    assert numbers.shape == (3, page["LONGEST"])
    assert numbers[0, 2] == numbers[1, 0] > 0
    assert (numbers[0, :3] <= page["HASHES"]).all()
    assert not numbers[0, 3:].any() and not numbers[2].any()
    long = page["read"]([" ".join(f"w{i}" for i in range(300))])
    assert long.shape == (1, page["LONGEST"]) and long.all()


def test_a_bag_adds_up_words_and_pairs(page):
    words = keras.Input((3, None), dtype="int32")
    bag = page["bag"](words, [2, 0], 4, 0.5)
    vectors = bag.get_layer("vectors")
    assert not vectors.get_weights()[0].any()
    size = page["WORDS"] + page["PAIRS"]
    table = np.random.default_rng(0).normal(size=(size, 4)).astype("float32")
    vectors.set_weights([table])
    one, two = 70_000, 123_456
    found = bag(
        np.array(
            [
                [[two, 0, 0], [9, 9, 9], [one, two, 0]],
                [[0, 0, 0], [9, 9, 9], [two, 0, 0]],
            ]
        )
    )
    # Words, then the pair.
    both = [one % 2**15, two % 2**15, (one * 31 + two) % 2**15 + 2**15]
    alone = table[two % 2**15]
    np.testing.assert_allclose(
        found,
        [[table[both].sum(0) / 3**0.5, alone], [alone, np.zeros(4)]],
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("sharing", ["hard_sharing", "ple"])
def test_ways_of_sharing(recipe, sharing):
    assert sharing in recipe.sharings
    model = small(recipe, ["books", "music"], sharing=sharing)
    by_task = model.variables_by_task()
    own = {id(v) for v in by_task["books"]}
    shared = [v.path for v in by_task["music"] if id(v) in own]
    assert any("vectors" in path for path in shared)
    private = [v.path for v in by_task["music"] if id(v) not in own]
    assert any("expert" in path for path in private) == (sharing == "ple")


def test_the_deployed_model_reads_text(page, recipe):
    model = small(recipe, ["books", "music"])
    vectors = model.get_layer("bag").get_layer("vectors")
    shape = vectors.get_weights()[0].shape
    vectors.set_weights([np.random.default_rng(0).normal(size=shape)])
    texts = ["what a dull book", "great , great !", ""]
    said = page["deploy"](model)(tf.constant(texts))
    words = np.zeros((3, len(page["DOMAINS"]), 256), "int32")
    for domain in ("books", "music"):
        words[:, page["DOMAINS"].index(domain)] = page["read"](texts)
    expected = model.predict(words, verbose=0)
    assert sorted(said) == ["books", "music"]
    assert np.ptp(expected["books"]) > 0.01
    for domain, probability in said.items():
        np.testing.assert_allclose(probability, expected[domain], atol=1e-6)


@pytest.mark.slow
def test_training(recipe, splits):
    names = REVIEW_DOMAINS[:2]
    tasks = keras_mtl.TaskSet([recipe.tasks[name] for name in names])
    model, _, _ = train_once(recipe, splits, tasks, seed=0, epochs=40)
    measures = evaluate(model, recipe, splits, "test", tasks)
    assert min(measures[f"{name}_accuracy"] for name in names) == 1


def test_absent_data_is_said(page, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"`review_domains.*` is not prep"
    ):
        page["load"]("review_domains", str(tmp_path))
    with pytest.raises(
        FileNotFoundError,
        match=r"`imdb_reviews` is not prepared in .*--data-dir",
    ):
        page["load"]("imdb_and_yelp", str(tmp_path))


def test_the_source_tells_the_tasks():
    recipe = load_recipe(RECIPE)
    assert tuple(recipe.for_source("review_domains").tasks) == REVIEW_DOMAINS
    assert list(recipe.for_source("imdb_and_yelp").tasks) == ["imdb", "yelp"]
