import pathlib
import runpy
import shutil

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.analysis.training import (
    build_model,
    evaluate,
    judged,
    judging_metrics,
    train_once,
)
from keras_mtl.data import (
    CENSUS_CATEGORIES,
    CENSUS_NUMBERS,
    load_census_income,
)
from keras_mtl.recipe import load_recipe

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "census.py"
FILES = ROOT / "tests" / "data" / "tfds" / "census_income"  # invented records
NAMES = ("census-income.data", "census-income.test")


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(RECIPE))


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(RECIPE)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("census")
    for name in NAMES:
        shutil.copy(FILES / name, path)
    return path


@pytest.fixture(scope="module")
def parts(data_dir):
    return load_census_income(data_dir)


@pytest.fixture(scope="module")
def splits(page, parts, data_dir):
    return page["load"]("census", str(data_dir))


def test_each_column_has_its_own_rows_of_the_embedding_table(page):
    names, sizes, offsets = (page[k] for k in ("COLUMNS", "SIZES", "OFFSETS"))
    assert len(names) == 32
    assert not {"income", "marital_stat", "instance_weight"} & set(names)
    taken = [
        row
        for size, offset in zip(sizes, offsets, strict=True)
        for row in range(offset, offset + size)
    ]
    assert taken == list(range(sum(sizes)))


def test_categories_can_be_read_back(page, parts, splits):
    for name, part in parts.items():
        rows = getattr(splits, name)[0]["categories"]
        assert rows.dtype == np.int32
        for column, offset in zip(
            page["COLUMNS"], page["OFFSETS"], strict=True
        ):
            codes = rows[:, page["COLUMNS"].index(column)] - offset
            np.testing.assert_array_equal(codes, part[column])


def test_numbers_are_scaled_as_the_training_part_says(page, parts, splits):
    for column, name in enumerate(CENSUS_NUMBERS):
        raw = {
            split: np.array(
                [
                    np.log(1 + float(v)) if name in page["MONEY"] else float(v)
                    for v in part[name]
                ]
            )
            for split, part in parts.items()
        }
        mean = sum(raw["train"]) / 12
        variance = sum((v - mean) ** 2 for v in raw["train"]) / 12
        for split, values in raw.items():
            np.testing.assert_allclose(
                getattr(splits, split)[0]["numbers"][:, column],
                (values - mean) / variance**0.5,
                atol=1e-5,
            )


def test_labels(splits):
    # Written so into the invented records: every third, every second.
    number = {"train": range(12), "validation": [12, 14, 16, 18]}
    number["test"] = [13, 15, 17]
    for split, numbers in number.items():
        labels = getattr(splits, split)[1]
        assert labels["income"].tolist() == [n % 3 == 0 for n in numbers]
        assert labels["never_married"].tolist() == [n % 2 for n in numbers]


def test_answers_and_weight_are_not_read(page, splits, tmp_path):
    for name in NAMES:
        lines = []
        for line in (FILES / name).read_text().splitlines():
            fields = line.split(",")
            fields[7] = " Widowed"
            fields[24] = " 1.00"
            fields[41] = " - 50000."
            lines.append(",".join(fields))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    changed = page["load"]("census", str(tmp_path))
    for one, two in zip(splits[:3], changed[:3], strict=True):
        assert not two[1]["never_married"].any()
        assert not two[1]["income"].any()
        for key, values in one[0].items():
            np.testing.assert_array_equal(values, two[0][key])


def test_ways_of_sharing_have_as_many_parameters(recipe):
    counts = {
        way: build_model(recipe, recipe.tasks, sharing=way).count_params()
        for way in recipe.sharings
    }
    assert list(counts) == [
        "hard_sharing",
        "cross_stitch",
        "mmoe",
        "ple",
        "dselect_k",
    ]
    # Embeddings, 135 → 512 → 256, two heads.
    categories = sum(map(len, CENSUS_CATEGORIES.values())) - 2 - 7
    dense = 136 * 512 + 513 * 256 + 2 * 257
    assert counts["hard_sharing"] == 4 * categories + dense
    for count in counts.values():
        assert count == pytest.approx(counts["hard_sharing"], rel=0.01)


def test_single_tasks_have_as_many_parameters(recipe):
    shared = build_model(recipe, recipe.tasks).count_params()
    for task in recipe.tasks.values():
        single = build_model(recipe, keras_mtl.TaskSet([task]))
        assert list(single.output) == [task.name]
        assert single.count_params() == shared - 257


def test_auc_is_exact_where_few_are_positive(page):
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(0)
    labels = (generator.random(20_000) < 0.06).astype("float32")
    log_odds = generator.normal(-6 + 2.5 * labels, 2)
    scores = (1 / (1 + np.exp(-log_odds))).astype("float32")
    exact = roc_auc_score(labels, scores)
    metric, default = page["auc"](), keras.metrics.AUC()
    for rows in range(0, 20_000, 256):
        batch = slice(rows, rows + 256)
        metric.update_state(labels[batch], scores[batch])
    default.update_state(labels, scores)
    assert float(metric.result()) == pytest.approx(exact, abs=3e-5)
    assert float(default.result()) < exact - 0.003


def test_training(recipe, splits):
    model, history, _ = train_once(
        recipe, splits, recipe.tasks, seed=0, epochs=20, sharing="mmoe"
    )
    # Twelve records are soon learned by heart.
    assert history["income_auc"][-1] == pytest.approx(1, abs=1e-3)
    assert history["never_married_auc"][-1] == pytest.approx(1, abs=1e-3)
    learned = splits._replace(test=splits.train)
    measures = evaluate(model, recipe, learned, "test", recipe.tasks)
    assert min(judged(measures, judging_metrics(recipe)).values()) > 0.99


def test_absent_data_is_said(page, tmp_path):
    message = "`census_income.* is not prepared in .*CensusIncome"
    with pytest.raises(FileNotFoundError, match=message):
        page["load"]("census", str(tmp_path))
