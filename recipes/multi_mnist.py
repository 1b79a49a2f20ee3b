"""Two overlapping digits at full size, in a LeNet as in the MGDA paper.

    keras-mtl compare recipes/multi_mnist.py --data-dir DIR

trains each digit alone, and both together with equal weights and with each
balancer, three seeds each, and compares them on 10,000 test pictures. This has
not been run to its end: no difference between sharing and single-task models is
known yet. What is known are single models, of the first seed, trained as

    keras-mtl train recipes/multi_mnist.py --data-dir DIR [--balancer mgda]

is to train them; they were trained from Python with the same settings, and the
command itself has not been run. Accuracies were, in percent,

                    left     right
    equal weights   98.18    97.73
    mgda            98.43    97.61

The pictures are those of `multi_digits`, 36 × 36 pixels: one digit of MNIST top
left, another 8 pixels lower and further right. TensorFlow Datasets must have
prepared `mnist` in `--data-dir` before; the pairs are made from it on first
use. `--data fashion` takes Fashion-MNIST (`fashion_mnist`) instead. The first
50,000 training pairs are learned from; the other 10,000, which share no digit
with them, are for validation.

Sener and Koltun (NeurIPS 2018, arXiv:1810.04650) have, on pairs of their own:

                    left     right
    single-task     97.23    95.90
    equal weights   96.46    94.99
    MGDA            97.26    95.90

The network is much as theirs: convolutions of 10 filters of 9 × 9 and of 20 of
5 × 5, each with pooling, and 50 units are shared; each head has 50 more. Their
code has 5 × 5 in both, on pictures of 28 × 28, and more dropout. With another
budget, optimizer and pairs the tables are neighbours and no more.
"""

from typing import Any

import keras

import keras_mtl
from keras_mtl.data import load_multi_digits

# Training pairs behind these share no digit with those before.
PAIRS = 50_000
BATCH, EPOCHS = 128, 12
STEPS = EPOCHS * PAIRS // BATCH


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Pictures `(n, 36, 36, 1)`, uint8, and the two classes."""
    pairs = load_multi_digits(source, data_dir)
    return keras_mtl.Splits(
        train=example(pairs["train"], slice(PAIRS)),
        validation=example(pairs["train"], slice(PAIRS, None)),
        test=example(pairs["test"], slice(None)),
    )


def example(pairs: dict[str, Any], rows: slice) -> tuple[Any, dict[str, Any]]:
    """Some of the pictures, and their labels."""
    return pairs["image"][rows], {
        side: pairs[side][rows] for side in ("left", "right")
    }


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """A LeNet that all tasks share, and a small head for each."""
    layers = keras.layers
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.1)
    return keras_mtl.builders.hard_sharing(
        keras.Input((36, 36, 1), dtype="uint8", name="image"),
        tasks,
        blocks=[
            layers.Rescaling(1 / 255, name="pixels"),
            layers.Conv2D(10, 9, activation="relu", name="strokes"),
            layers.MaxPooling2D(2, name="strokes_pooling"),
            layers.Conv2D(20, 5, activation="relu", name="parts"),
            layers.MaxPooling2D(2, name="parts_pooling"),
            layers.Flatten(name="flat"),
            layers.Dropout(dropout, name="dropout"),
            layers.Dense(50, activation="relu", name="digits"),
        ],
    )


def head() -> Any:
    """A hidden layer and ten probabilities."""
    return keras.Sequential(
        [
            keras.layers.Dense(50, activation="relu"),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )


def optimizer(hp: Any) -> keras.optimizers.Optimizer:
    """Adam, at a rate that falls to zero over the `EPOCHS`."""
    rate = hp.Float("learning_rate", 5e-4, 5e-3, sampling="log", default=2e-3)
    return keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(rate, STEPS)
    )


recipe = keras_mtl.Recipe(
    name="multi_mnist",
    tasks=[
        keras_mtl.Task(side, "multiclass", units=10, head=head())
        for side in ("left", "right")
    ],
    sources=("mnist", "fashion"),
    load=load,
    build=build,
    optimizer=optimizer,
    batch_size=BATCH,
    epochs=EPOCHS,
    balancers=("uncertainty", "mgda"),
)
