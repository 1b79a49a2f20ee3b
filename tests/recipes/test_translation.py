import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl.analysis.training import build_model, evaluate, train_once
from keras_mtl.data import SubwordDetokenizer, SubwordTokenizer
from keras_mtl.recipe import load_recipe

REASON = "needs the packages of the extra `recipes`"
pytest.importorskip("num2words", reason=REASON)
sacrebleu = pytest.importorskip("sacrebleu", reason=REASON)
pytest.importorskip("tokenizers", reason=REASON)

ROOT = pathlib.Path(__file__).parents[2]
FILES = ROOT / "tests" / "data" / "tfds" / "multi30k"  # invented sentences
LANGUAGES = ("en", "de", "fr", "cs")


@pytest.fixture(scope="module")
def recipe():
    recipe = load_recipe(ROOT / "recipes" / "translation.py")
    recipe.load.__globals__.update(
        NUMBERS={"train": 600, "validation": 40, "test": 40},
        LENGTH=36,
        FEW={"numbers": 10},
        BATCH=32,
        POOL=2,
        WORD_DROPOUT=0.0,
        width_for=lambda vocabulary: 32,
    )
    return recipe


@pytest.fixture(scope="module")
def page(recipe):
    return recipe.load.__globals__


@pytest.fixture(scope="module")
def splits(recipe):
    return recipe.load("numbers", None)


@pytest.fixture(scope="module")
def french(recipe, splits):
    keras.utils.set_random_seed(0)
    return build_model(recipe, keras_mtl.TaskSet([recipe.tasks["fr"]]))


def test_sums_of_a_thousand_are_in_one_part(page):
    parts = page["numbers"]()
    thousands = {
        part: {text.partition(" thousand")[0] for text in texts["en"]}
        for part, texts in parts.items()
    }
    for one, other in (("train", "test"), ("train", "validation")):
        assert len(thousands[one]) > 5
        assert not thousands[one] & thousands[other]
    for language in LANGUAGES:
        known = "".join(parts["train"][language])
        for text in parts["test"][language]:
            assert set(text) <= set(known)


def test_sums_are_the_same_in_all_languages(page):
    sums = page["numbers"]()["train"]
    row = next(
        row
        for row, text in enumerate(sums["en"])
        if text.startswith("forty-three thousand")
    )
    assert "euro" in sums["en"][row]
    assert sums["de"][row].startswith("dreiundvierzigtausend")
    assert sums["fr"][row].startswith("quarante-trois mille")
    assert sums["cs"][row].startswith("čtyřicet tři tisíc")


@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_in_the_graph_are_those_of_the_library(page, language):
    """Of sentences, too, with characters that were never seen."""
    name = "train.{}"
    sentences = (FILES / name.format(language)).read_text("utf-8").splitlines()
    pieces = page["train_pieces"](sentences[:4], 60)
    assert len(pieces) <= 60
    assert tuple(pieces[:4]) == page["SPECIAL"]
    texts = [
        text
        for other in LANGUAGES
        for text in (FILES / name.format(other)).read_text("utf-8").splitlines()
    ]
    texts += ["", " ", "(a) «b»—c…", " two\t spaces ", "日本 – ok", "a,b,,c"]
    library = page["wordpiece"]({p: i for i, p in enumerate(pieces)})
    found = SubwordTokenizer(pieces, 120, unknown=3)(tf.constant(texts)).numpy()
    for text, row in zip(texts, found, strict=True):
        expected = library.encode(text).ids
        assert row[: len(expected)].tolist() == expected, text
        assert not row[len(expected) :].any()
    known = [t for t, row in zip(texts, found, strict=True) if 3 not in row]
    back = SubwordDetokenizer(pieces, special=3)(found).numpy()
    assert len(known) > 5
    for text, row, joined in zip(texts, found, back, strict=True):
        if 3 not in row:
            assert joined.decode() == " ".join(text.split())


def test_vocabularies_are_the_same_each_time(page):
    sentences = page["numbers"]()["train"]["de"]
    assert page["train_pieces"](sentences, 80) == page["train_pieces"](
        sentences[::-1], 80
    )


def test_decoders_read_what_they_have_written(page, splits):
    x, y = splits.test
    assert x["en"].shape == (40, 36)
    for language in ("de", "fr", "cs"):
        read, labels = x[f"{language}_in"], y[language]
        assert (read[:, 0] == 1).all()
        length = (labels != 0).sum(axis=1)
        assert ((read != 0).sum(axis=1) == length).all()
        assert (labels[np.arange(40), length - 1] == 2).all()
        for before, after, n in zip(read, labels, length, strict=True):
            assert before[1:n].tolist() == after[: n - 1].tolist()


def test_batches_hold_sentences_of_like_length(splits):
    batches = list(splits.train)
    assert len(batches) == len(splits.train) == 20
    for x, y in batches:
        assert (x["en"] != 0).numpy().any(axis=0).all()
        for language, labels in y.items():
            assert labels.shape == x[f"{language}_in"].shape
            assert (labels != 0).numpy().any(axis=0).all()


def test_word_dropout(page, recipe, monkeypatch):
    monkeypatch.setitem(page, "WORD_DROPOUT", 0.3)
    x = {"en": tf.fill((400, 10), 7), "de_in": tf.fill((400, 10), 7)}
    x["en"] *= tf.constant([1] * 5 + [0] * 5)
    x, y = page["shortened"](x, {"de": tf.fill((400, 10), 7)})
    assert x["en"].shape == (400, 5)
    assert x["de_in"].shape == y["de"].shape == (400, 10)
    unknown = (x["de_in"].numpy() == 3).mean()
    assert unknown == pytest.approx(0.3, abs=0.03)
    assert (y["de"].numpy() == 7).all()


def test_few_czech_sentences_are_drawn_more_often(recipe, page):
    few = recipe.load("numbers_few_cs", None)
    czech = total = 0
    for x, y in few.train:
        labelled = (x["cs_in"].numpy() != 0).any(axis=1)
        assert ((y["cs"].numpy() == -1).all(axis=1) == ~labelled).all()
        assert (x["de_in"].numpy() != 0).any(axis=1).all()
        czech, total = czech + labelled.sum(), total + len(labelled)
    # 60 and 540 sentences: 60^.2 / (60^.2 + 540^.2)
    assert czech / total == pytest.approx(0.392, abs=0.01)
    assert len(few.truth["test"]["cs"]) == 40
    recipe.load("numbers", None)  # the vocabulary that other tests expect


def test_deployed_strings_are_those_of_the_score(recipe, page, splits, french):
    english = tf.constant(splits.truth["test"]["en"])
    found = recipe.deploy(french).predict(english, verbose=0)
    assert list(found) == ["fr"]
    expected = page["translate"](french, splits.test[0], "fr")
    assert [text.decode() for text in found["fr"]] == expected
    assert len({*expected}) > 1


def test_bleu(recipe, page, splits, monkeypatch):
    truth = splits.truth["test"]
    monkeypatch.setitem(page, "translate", lambda *_: truth["fr"])
    score = recipe.scores["fr"][0]
    assert (score.name, score.direction) == ("bleu", "max")
    assert score.function(None, None, truth) == pytest.approx(100)
    texts = ["un " + text for text in truth["fr"]]
    monkeypatch.setitem(page, "translate", lambda *_: texts)
    expected = sacrebleu.corpus_bleu(texts, [truth["fr"]]).score
    assert score.function(None, None, truth) == pytest.approx(expected)
    assert 50 < expected < 99


def test_pictures(recipe, page, splits, monkeypatch, french):
    truth = splits.truth["test"]
    monkeypatch.setitem(page, "translate", lambda *_: ["un", "deux"])
    figures = recipe.pictures(french, splits.test[0], truth)
    assert list(figures) == ["English into fr"]
    first, second = figures["English into fr"].texts
    assert truth["en"][0] in first.get_text()
    assert "deux" in second.get_text()
    assert truth["fr"][1] in second.get_text()


def test_a_single_language_reads_its_own_tokens(splits, french):
    assert list(french.output) == ["fr"]
    assert sorted(french.input) == ["en", "fr_in"]
    few = {name: splits.test[0][name][:3, :5] for name in french.input}
    before = french(few)["fr"]
    for name in few:
        after = french({**few, name: few[name] * 0 + 5})["fr"]
        assert not np.allclose(after, before), name


@pytest.mark.parametrize(
    "sharing",
    ["cross_stitch", pytest.param("soft_sharing", marks=pytest.mark.slow)],
)
def test_other_ways_share_the_english_words_alone(recipe, splits, sharing):
    tasks = keras_mtl.TaskSet([recipe.tasks["de"], recipe.tasks["fr"]])
    model = build_model(recipe, tasks, sharing=sharing)
    german, french = (
        {v.path for v in variables}
        for variables in model.variables_by_task().values()
    )
    assert "subwords/embeddings" in german & french
    context = {
        path
        for path in german
        if path.startswith(("de_context/", "fr_context/"))
    }
    assert context
    assert (context <= french) is (sharing == "cross_stitch")
    # What stands behind the end of a sentence is not read.
    x = splits.test[0]
    shorter = {name: x[name][:2, :30] for name in model.input}
    assert not x["en"][:2, 30:].any()
    whole = {**shorter, "en": x["en"][:2]}
    expected = model(shorter)
    for task, found in model(whole).items():
        np.testing.assert_allclose(found, expected[task], atol=1e-5)


@pytest.mark.slow
def test_other_ways_write_strings(recipe, page, splits):
    tasks = keras_mtl.TaskSet([recipe.tasks["de"], recipe.tasks["fr"]])
    model = build_model(recipe, tasks, sharing="cross_stitch")
    english = tf.constant(splits.truth["test"]["en"][:4])
    found = recipe.deploy(model).predict(english, verbose=0)
    few = {name: values[:4] for name, values in splits.test[0].items()}
    for language in tasks:
        expected = page["translate"](model, few, language)
        assert [text.decode() for text in found[language]] == expected


def test_missing_packages_are_said_before_training(page):
    with pytest.raises(ModuleNotFoundError, match=r"tokenzers\. .*\[recipes\]"):
        page["require"]("tokenzers", "sacrebleu")


@pytest.mark.slow
def test_training_and_export(recipe, splits, tmp_path):
    model, history, _ = train_once(
        recipe, splits, recipe.tasks, seed=0, epochs=2
    )
    for language in recipe.tasks:
        assert history[f"{language}_loss"][1] < history[f"{language}_loss"][0]
    measures = evaluate(model, recipe, splits, "test", recipe.tasks)
    assert 0 <= measures["de_bleu"] <= 100
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    path = keras_mtl.export(recipe.deploy(loaded), tmp_path / "served")
    saved = tf.saved_model.load(str(path))
    english = ["forty-two thousand and one euro", "seven", ""]
    expected = recipe.deploy(model).predict(tf.constant(english), verbose=0)
    served = saved.signatures["serving_default"](en=tf.constant(english))
    assert sorted(served) == ["cs", "de", "fr"]
    for language, texts in served.items():
        assert texts.numpy().tolist() == expected[language].tolist()
        alone = saved.signatures[language](en=tf.constant(english))
        assert alone[language].numpy().tolist() == texts.numpy().tolist()
