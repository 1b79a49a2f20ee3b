"""Census-Income: two answers from one questionnaire, shared in five ways.

    keras-mtl compare recipes/census.py --seeds 5 --data-dir DIR

trains every task alone and both together in each way, five seeds each. Expect
areas under the ROC curve on test data, and parameters of all models together:

                   income           never_married    parameters
    single-task    .9522 ± .0002    .9947 ± .0001       406,402
    hard_sharing   .9519 ± .0003    .9947 ± .0000       203,458
    cross_stitch   .9520 ± .0003    .9947 ± .0000       203,186
    mmoe           .9521 ± .0003    .9947 ± .0000       203,370
    ple            .9522 ± .0005    .9947 ± .0000       204,888
    dselect_k      .9519 ± .0003    .9947 ± .0000       203,922

Sharing does not help measurably, nor does it harm: one model for both tasks
does as well as two, at half of their parameters, and no way of sharing stands
out by more than a seed does. Published neighbours (.9198 and .9748 single
tasks, .9148 and .9754 shared bottom, .9152 and .9756 MMoE, .9161 and .9764 PLE)
are lower; their columns and budgets are not known.
`benchmarks/results/census` has the figures and the versions.

The tasks are those of the paper on MMoE (Ma et al., KDD 2018): does the income
exceed $50,000, and was the person never married? The data is the Current
Population Survey of 1994 and 1995, from UCI, in its official split; half of the
test file is for validation. TensorFlow Datasets must have prepared it in
`--data-dir` before (it is downloaded; to prepare it takes two minutes):

    from keras_mtl.data.tfds import CensusIncome
    CensusIncome(data_dir="DIR").download_and_prepare()

or `census-income.data` and `census-income.test` must lie in that folder.

Models read 39 columns: all but the two answers and the instance weight. The 32
nominal ones have embeddings of 4; "?" and "Not in universe" are categories
like others. The 7 numbers are standardized by the training part, those of money
after log(1 + x). Each way of sharing has as many parameters as `hard_sharing`,
within 1 %; a single-task model has as many for its one task.
"""

from typing import Any

import keras
import numpy as np

import keras_mtl
from keras_mtl.data import (
    CENSUS_CATEGORIES,
    CENSUS_NUMBERS,
    load_census_income,
)

# Nominal columns that models read: all but the two answers.
COLUMNS = tuple(
    name for name in CENSUS_CATEGORIES if name not in ("income", "marital_stat")
)
SIZES = [len(CENSUS_CATEGORIES[name]) for name in COLUMNS]
# Where the categories of each column begin in the table of embeddings.
OFFSETS = np.cumsum([0, *SIZES[:-1]])
MONEY = (
    "wage_per_hour",
    "capital_gains",
    "capital_losses",
    "dividends_from_stocks",
)
# Widths of the two hidden layers, of a tower or of one of four experts, that
# give equally many parameters; and what else the builders are told.
WAYS: dict[str, tuple[int, int, dict[str, int]]] = {
    "hard_sharing": (512, 256, {}),
    "cross_stitch": (332, 166, {"depth": 1}),
    "mmoe": (208, 104, {"depth": 1, "num_experts": 4}),
    "ple": (
        208,
        104,
        {"depth": 1, "num_shared_experts": 2, "num_task_experts": 1},
    ),
    "dselect_k": (208, 104, {"depth": 1, "num_experts": 4, "k": 2}),
}


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """The three parts, numbers standardized as the training part says."""
    parts = load_census_income(data_dir)
    train = numbers(parts["train"])
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    return keras_mtl.Splits(
        **{
            name: (
                {
                    "categories": categories(part),
                    "numbers": (numbers(part) - mean) / deviation,
                },
                labels(part),
            )
            for name, part in parts.items()
        }
    )


def categories(part: dict[str, Any]) -> Any:
    """Rows in the table of embeddings, `(n, 32)`, int32."""
    codes = np.stack([part[name] for name in COLUMNS], axis=1)
    return (codes + OFFSETS).astype("int32")


def numbers(part: dict[str, Any]) -> Any:
    """The numbers `(n, 7)`, float32; sums of money as log(1 + x)."""
    return np.stack(
        [
            np.log1p(part[name]) if name in MONEY else part[name]
            for name in CENSUS_NUMBERS
        ],
        axis=1,
    )


def labels(part: dict[str, Any]) -> dict[str, Any]:
    """The labels of the two tasks, 0 or 1."""
    never = CENSUS_CATEGORIES["marital_stat"].index("Never married")
    return {
        "income": part["income"],
        "never_married": (part["marital_stat"] == never).astype("int64"),
    }


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """Embeddings that all tasks share, two hidden layers, heads."""
    sharing = hp.Choice("sharing", list(WAYS))
    wide, narrow, options = WAYS[sharing]
    inputs = {
        "categories": keras.Input(
            (len(COLUMNS),), dtype="int32", name="categories"
        ),
        "numbers": keras.Input((len(CENSUS_NUMBERS),), name="numbers"),
    }
    layers = keras.layers
    return keras_mtl.builders.registry[sharing](
        inputs,
        tasks,
        blocks=[
            columns(inputs),
            layers.Dense(wide, activation="relu", name="wide"),
            layers.Dense(narrow, activation="relu", name="narrow"),
        ],
        **options,
    )


def columns(inputs: dict[str, Any]) -> Any:
    """Embeddings and numbers, side by side: `(batch, 32 · 4 + 7)`."""
    layers = keras.layers
    # One table for all columns is far quicker than one each.
    embedded = layers.Embedding(sum(SIZES), 4, name="embeddings")(
        inputs["categories"]
    )
    features = layers.Concatenate(name="features")(
        [layers.Flatten(name="embedded")(embedded), inputs["numbers"]]
    )
    return keras.Model(inputs, features, name="columns")


def auc() -> keras.metrics.AUC:
    """The area under the ROC curve, exact to some 1e-5.

    Thresholds are spaced evenly in log-odds. By default there are 200, spaced
    evenly in probability: too coarse where few are positive, .002 too low for
    the income.
    """
    log_odds = np.linspace(-12, 12, 500)
    return keras.metrics.AUC(
        thresholds=(1 / (1 + np.exp(-log_odds))).tolist(), name="auc"
    )


recipe = keras_mtl.Recipe(
    name="census",
    tasks=[
        keras_mtl.Task("income", "binary", metrics=[auc()]),
        keras_mtl.Task("never_married", "binary", metrics=[auc()]),
    ],
    sources=("census",),
    load=load,
    build=build,
    optimizer=keras.optimizers.Adam(1e-3),
    batch_size=256,
    epochs=5,  # best for the single-task models on validation data
    balancers=(),
    sharings=tuple(WAYS),
)
