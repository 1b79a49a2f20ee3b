import dataclasses
import pathlib
import runpy
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl.analysis.training import build_model, evaluate, train_once
from keras_mtl.data import JOINT_SLU_SLOTS
from keras_mtl.recipe import load_recipe

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "understanding.py"
FILES = ROOT / "tests" / "data" / "tfds" / "joint_slu"  # invented sentences


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(RECIPE))


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(RECIPE)


@pytest.fixture(scope="module")
def splits(page):
    return page["load"]("commands", None)


@pytest.fixture(scope="module")
def model(recipe):
    keras.utils.set_random_seed(0)
    return build_model(recipe, recipe.tasks)


def likely(codes, units):
    """Probabilities that make a code the likeliest."""
    return np.eye(units)[np.asarray(codes)] * 0.5


class Told:
    """A model that says what it is told to say."""

    def __init__(self, **outputs):
        self.outputs = outputs

    def predict(self, x, batch_size, verbose):
        return self.outputs


def test_classes_of_both_data_sets_are_told_apart(page):
    assert len(page["INTENTS"]) == 7 + 26 == len(set(page["INTENTS"]))
    both = {*JOINT_SLU_SLOTS["snips"], *JOINT_SLU_SLOTS["atis"]}
    assert set(page["TAGS"]) == both and len(page["TAGS"]) == len(both)


def test_commands_to_test_have_names_of_their_own(page):
    parts = page["commands"]()
    assert {k: len(v["words"]) for k, v in parts.items()} == page["COMMANDS"]
    words = {
        name: {word for text in part["words"] for word in text.split()}
        for name, part in parts.items()
    }
    assert {"oslo", "anna", "will"} <= words["train"]
    assert not {"graz", "luisa"} & (words["train"] | words["validation"])
    assert {"graz", "luisa", "oslo"} <= words["test"]


def test_commands_have_a_tag_for_each_word(page):
    part = page["commands"]()["train"]
    row = part["words"].index("play some anna bell please")
    assert page["INTENTS"][part["intent"][row]] == "PlayMusic"
    tags = [page["TAGS"][code] for code in part["slots"][row] if code >= 0]
    assert tags == ["O", "O", "B-artist", "I-artist", "O"]
    lengths = [len(text.split()) for text in part["words"]]
    np.testing.assert_array_equal((part["slots"] >= 0).sum(axis=1), lengths)


def test_words_are_read_as_numbers_and_letters(page):
    read = page["ReadWords"]()(tf.constant(["Fly to  Málaga", "TO", ""]))
    words, letters = read["words"].numpy(), read["letters"].numpy()
    assert words.shape == (3, 3) and letters.shape == (3, 3, 12)
    assert words[0, 1] == words[1, 0] > 0
    assert len({*words[0]}) == 3
    assert words[1, 1:].tolist() == [0, 0] and not words[2].any()
    spelt = letters[0, 2].astype("uint8").tobytes()
    assert spelt == "málaga".encode().ljust(12, b"\0")
    assert not letters[1, 1:].any()


def test_no_words_at_all_are_read_as_one_that_is_missing(page):
    read = page["ReadWords"]()(tf.constant(["", " "]))
    assert read["words"].numpy().tolist() == [[0], [0]]
    assert not read["letters"].numpy().any()


def test_sentences_are_filled_up_or_cut_off(page):
    read = page["read"](["a b c", "a"], 2)
    assert read["words"].shape == (2, 2) and read["letters"].shape[1] == 2
    assert page["read"](["a b c"], 5)["words"][0, 3:].tolist() == [0, 0]


@pytest.mark.parametrize("source", ["atis", "snips"])
def test_codes_can_be_read_back(page, tmp_path, source):
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    splits = page["load"](source, str(tmp_path))
    for name, file in (
        ("train", "train"),
        ("validation", "valid"),
        ("test", "test"),
    ):
        x, y = getattr(splits, name)
        lines = (FILES / source / f"{file}.tsv").read_text().splitlines()
        for row, line in enumerate(lines):
            intent, words, tags = line.split("\t")
            assert page["INTENTS"][y["intent"][row]] == intent
            codes = y["slots"][row]
            assert [page["TAGS"][c] for c in codes[codes >= 0]] == tags.split()
            count = len(words.split())
            assert (x["words"][row] > 0).sum() == count
            assert (codes[:count] >= 0).all() and (codes[count:] == -1).all()
        assert x["words"].shape == y["slots"].shape


def test_absent_data_is_said(page, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"`joint_slu/atis.*` is not prep"
    ):
        page["load"]("atis", str(tmp_path))


def test_scores_by_hand(page):
    tags = page["TAGS"]
    b, i = tags.index("B-artist"), tags.index("I-artist")
    truth = {
        "intent": np.array([0, 1, 2]),
        "slots": np.array([[0, b, i], [b, 0, -1], [0, -1, -1]]),
    }
    # One span is right, one is missed, one is found behind the end.
    slots = likely([[0, b, i], [0, 0, b], [0, b, b]], len(tags))
    x = {"words": (truth["slots"] >= 0).astype("int32")}
    model = Told(intent=likely([0, 1, 1], 33), slots=slots)
    assert page["slot_f1"](model, x, truth) == pytest.approx(2 / 3)
    assert page["sentence_accuracy"](model, x, truth) == pytest.approx(1 / 3)
    # Of slots alone, the first sentence is right and the third.
    alone = Told(slots=slots)
    assert page["sentence_accuracy"](alone, x, truth) == pytest.approx(2 / 3)


def test_no_slot_begins_with_its_inside(page):
    tags = page["TAGS"]
    chances = np.zeros((2, 3, len(tags)))
    b, i, other = (tags.index(t) for t in ("B-artist", "I-artist", "I-city"))
    chances[0, 0, [i, b, 0]] = 0.6, 0.3, 0.1
    chances[0, 1, [i, 0]] = 0.9, 0.1
    chances[0, 2, [other, 0]] = 0.9, 0.1
    # The first word decides that of the second is none.
    chances[1, 0, [0, b]] = 0.9, 0.1
    chances[1, 1, [i, 0]] = 0.6, 0.4
    words = np.array([[5, 5, 5], [5, 5, 0]])
    found = page["best_tags"](chances, words).numpy()
    assert found.tolist() == [[b, i, 0], [0, 0, 0]]


def test_nothing_behind_the_end_counts(page, model):
    short = page["read"](["play some anna bell"], 4)
    long = page["read"](["play some anna bell"], 9)
    one = model.predict(short, verbose=0)
    two = model.predict(long, verbose=0)
    np.testing.assert_allclose(one["intent"], two["intent"], atol=1e-6)
    np.testing.assert_allclose(one["slots"], two["slots"][:, :4], atol=1e-6)


def test_the_deployed_model_reads_text(page, model):
    texts = ["play some anna bell please", "in lima"]
    said = page["deploy"](model)(tf.constant(texts))
    expected = model.predict(page["read"](texts, 5), verbose=0)
    np.testing.assert_allclose(said["intent"], expected["intent"], atol=1e-6)
    words = page["read"](texts, 5)["words"]
    codes = page["best_tags"](expected["slots"], words).numpy()
    tags = [[tag.decode() for tag in row] for row in said["slots"].numpy()]
    assert tags[0] == [page["TAGS"][code] for code in codes[0]]
    assert tags[1] == [
        *(page["TAGS"][code] for code in codes[1][:2]),
        "",
        "",
        "",
    ]


def test_the_deployed_model_of_intents_alone(page, recipe):
    tasks = keras_mtl.TaskSet([recipe.tasks["intent"]])
    deployed = page["deploy"](build_model(recipe, tasks))
    assert list(deployed.output) == ["intent"]


@pytest.mark.parametrize(
    ("sharing", "common"), [("cross_stitch", True), ("soft_sharing", False)]
)
def test_other_ways_have_an_encoder_for_each_task(recipe, sharing, common):
    model = build_model(recipe, recipe.tasks, sharing=sharing)
    intent, slots = (
        {id(v) for v in variables}
        for variables in model.variables_by_task().values()
    )
    assert bool(intent & slots) is common
    encoders = [model.get_layer(f"{task}_encoder") for task in recipe.tasks]
    for one, two in zip(*(e.get_weights() for e in encoders), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_the_deployed_model_is_exported(page, model, tmp_path):
    path = keras_mtl.export(page["deploy"](model), tmp_path / "understanding")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    answer = served(text=tf.constant(["play it in oslo", ""]))
    assert answer["slots"].shape == (2, 4)
    assert answer["slots"].numpy()[1].tolist() == [b""] * 4


@pytest.mark.slow
def test_training(recipe, splits):
    (x, y), rows = splits.train, slice(0, 384)
    few = splits._replace(
        train=(
            {key: values[rows] for key, values in x.items()},
            {key: values[rows] for key, values in y.items()},
        )
    )
    quick = dataclasses.replace(recipe, batch_size=32)
    model, _, _ = train_once(quick, few, recipe.tasks, seed=0, epochs=7)
    known = evaluate(model, quick, few, "validation", recipe.tasks)
    assert known["intent_accuracy"] > 0.95
    assert known["slots_f1"] > 0.9
    # Names that it has never seen are harder.
    unknown = evaluate(model, quick, few, "test", recipe.tasks)
    assert unknown["slots_f1"] < known["slots_f1"]
    assert unknown["slots_sentence_accuracy"] <= unknown["intent_accuracy"]
