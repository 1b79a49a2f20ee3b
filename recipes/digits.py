"""Two overlapping digits, three tasks: left, right and their sum.

    keras-mtl compare recipes/digits.py

trains every task alone, all of them with equal weights, and all of them with
each balancer, three seeds each, and compares them on test images. Expect on
two CPU cores, in about two minutes:

                     left, accuracy  right, accuracy  sum, MAE     Δm, %
    single-task      .979 ± .001     .977 ± .002      1.48 ± .18    0.0 ± 4.1
    equal weights    .946 ± .007     .947 ± .013      1.38 ± .03    0.0 ± 0.6
    uncertainty      .955 ± .004     .960 ± .003      1.43 ± .06   -0.4 ± 1.2
    pcgrad           .970 ± .009     .969 ± .001      1.37 ± .05   +2.0 ± 0.9

Sharing does not help here measurably: the squared error of `sum` is the largest
loss, and the two classes suffer from it unless gradients are balanced.

The images are scikit-learn's 1,797 scans of handwritten digits, 8 × 8, which
come with it. They are split into training, validation and test digits *first*,
and pasted in overlapping pairs only then, so that no scan is ever on two sides.

`--data mnist` and `--data fashion` use pairs of MNIST and Fashion-MNIST, which
TensorFlow Datasets must have prepared in `--data-dir` before. They are shrunk
to the same 12 × 12. In Fashion-MNIST, `sum` is the sum of the class indices: it
can be learned, though it means nothing.

`--data disjoint` labels each training image for one task alone, as three data
sets with one label each would: every third image has its left digit, and so on.
"""

from typing import Any

import keras
import numpy as np

import keras_mtl
from keras_mtl.data import draw_pairs, load_multi_digits, paste_pairs

OFFSET = (4, 4)  # 8 + 4 pixels: a quarter of each digit is overlapped
PAIRS = {"train": 4000, "validation": 800, "test": 1000}


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Images `(n, 12, 12, 1)` in 0..1, and the labels of each task."""
    if source == "digits":
        return keras_mtl.Splits(**digit_pairs())
    if source == "disjoint":
        return keras_mtl.Splits(**one_label_each(digit_pairs()))
    pairs = load_multi_digits(source, data_dir)
    # The last 10,000 training pairs share no image with those before.
    train = {key: values[:50_000] for key, values in pairs["train"].items()}
    held_out = {key: values[50_000:] for key, values in pairs["train"].items()}
    return keras_mtl.Splits(
        train=example(train),
        validation=example(held_out),
        test=example(pairs["test"]),
    )


def digit_pairs() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Pairs of scikit-learn's digits, by split."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    images = (scans.images / 16).astype("float32")
    splits = {}
    for seed, (name, digits) in enumerate(split_digits(scans.target).items()):
        left, right = (
            digits[drawn]
            for drawn in draw_pairs(
                len(digits), len(digits), PAIRS[name], seed=seed
            )
        )
        canvases = paste_pairs(images[left], images[right], OFFSET)
        splits[name] = (
            canvases,
            labels(scans.target[left], scans.target[right]),
        )
    return splits


def one_label_each(splits: dict[str, Any]) -> dict[str, Any]:
    """The same, with labels of one task for each training image."""
    images, labelled = splits["train"]
    turn = np.arange(len(images)) % len(labelled)
    return {
        **splits,
        "train": (
            images,
            {
                name: np.where(
                    turn == number,
                    values,
                    np.float32("nan") if name == "sum" else -1,
                )
                for number, (name, values) in enumerate(labelled.items())
            },
        ),
    }


def split_digits(classes: Any) -> dict[str, Any]:
    """Indices of the scans of each split, 60 : 15 : 25 in every class."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(
        np.arange(len(classes)),
        test_size=0.25,
        stratify=classes,
        random_state=0,
    )
    train, validation = train_test_split(
        rest, test_size=0.2, stratify=classes[rest], random_state=0
    )
    return {"train": train, "validation": validation, "test": test}


def example(pairs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Shrinks 36 × 36 to 12 × 12, by the mean of 3 × 3 pixels."""
    images = pairs["image"].reshape(-1, 12, 3, 12, 3, 1)
    images = images.mean(axis=(2, 4), dtype="float32") / 255
    return images, labels(pairs["left"], pairs["right"])


def labels(left: Any, right: Any) -> dict[str, Any]:
    """The labels of the three tasks."""
    return {
        "left": left,
        "right": right,
        "sum": (left + right).astype("float32"),
    }


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """A small convolutional network; `depth` of its three blocks are shared."""
    layers = keras.layers
    return keras_mtl.builders.hard_sharing(
        keras.Input((12, 12, 1), name="image"),
        tasks,
        blocks=[
            keras.Sequential(
                [
                    layers.Conv2D(16, 3, padding="same", activation="relu"),
                    layers.MaxPooling2D(2),
                ],
                name="edges",
            ),
            keras.Sequential(
                [
                    layers.Conv2D(32, 3, padding="same", activation="relu"),
                    layers.MaxPooling2D(2),
                    layers.Flatten(),
                ],
                name="strokes",
            ),
            layers.Dense(64, activation="relu", name="digits"),
        ],
        depth=hp.Int("depth", 1, 3, default=2),
    )


def optimizer(hp: Any) -> keras.optimizers.Optimizer:
    """Adam."""
    rate = hp.Float("learning_rate", 5e-4, 1e-2, sampling="log", default=4e-3)
    return keras.optimizers.Adam(rate)


recipe = keras_mtl.Recipe(
    name="digits",
    tasks=[
        keras_mtl.Task("left", "multiclass", units=10),
        keras_mtl.Task("right", "multiclass", units=10),
        keras_mtl.Task("sum", "regression", unit="points"),
    ],
    sources=("digits", "disjoint", "mnist", "fashion"),
    load=load,
    build=build,
    optimizer=optimizer,
    batch_size=128,
    epochs=12,
    balancers=("uncertainty", "pcgrad"),
)
