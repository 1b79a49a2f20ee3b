"""Two regressions that are related more or less: the MMoE paper's experiment.

    keras-mtl compare recipes/correlation.py --data 0.5

trains each task alone, both in five ways of sharing, and both with each
balancer, three seeds each, and compares the errors on test data. `--data` is
the correlation of the two tasks: 1.0, 0.9 or 0.5. `--sharing mmoe` picks one
way of sharing.

The data and the widths are those of the paper (Ma et al., KDD 2018, section
3.2): 100 inputs, 5 sines, noise of 0.1; 8 experts of 16 units under towers of 8
units. `keras_mtl.data.correlated_tasks` tells what the paper leaves open. All
ways have as many parameters, within 3 %:

    hard_sharing   126 units shared, then a tower for each task       14,776
    mmoe           8 experts of 16, a gate and a tower for each       14,818
    ple            4 shared and 2 + 2 own experts of 16, likewise     14,418
    cross_stitch   68 units and a tower for each, mixed twice         14,866
    soft_sharing   68 units and a tower for each, tied by a penalty   14,858
    single-task    68 units and a tower, two models                   14,858

`benchmarks/correlation.py` compares them over 20 seeds at all correlations
(`benchmarks/results/correlation`). Final errors, ± half a 95 % interval; noise
alone is .010:

                   1.0             0.9             0.5
    hard_sharing   .0245 ± .0056   .0253 ± .0057   .0266 ± .0084
    mmoe           .0231 ± .0110   .0237 ± .0108   .0247 ± .0102
    ple            .0206 ± .0050   .0211 ± .0051   .0242 ± .0101
    cross_stitch   .0211 ± .0056   .0223 ± .0050   .0222 ± .0055
    soft_sharing   .0201 ± .0040   .0238 ± .0061   .0228 ± .0048
    single-task    .0293 ± .0070   .0282 ± .0064   .0286 ± .0067

The paper's picture is not reproduced: the advantage of MMoE over the shared
bottom does not grow as the correlation falls, beyond chance. Sharing in any of
these ways helps; which way matters less than the seed.
"""

from typing import Any

import keras

import keras_mtl
from keras_mtl.data import correlated_tasks

SHARINGS = ("hard_sharing", "mmoe", "ple", "cross_stitch", "soft_sharing")
EXAMPLES = {"train": 50_000, "validation": 5_000, "test": 5_000}


def load(source: str, data_dir: str | None) -> keras_mtl.Splits:
    """Inputs `(n, 100)` and the labels of both tasks."""
    return draw(float(source), seed=0)


def draw(correlation: float, seed: int) -> keras_mtl.Splits:
    """Examples of one problem; each seed makes another."""
    problem = correlated_tasks(correlation, seed)
    return keras_mtl.Splits(
        **{
            name: problem.draw(count, seed=3 * seed + part)
            for part, (name, count) in enumerate(EXAMPLES.items())
        }
    )


def build(hp: Any, tasks: keras_mtl.TaskSet) -> keras_mtl.MultiTaskModel:
    """One hidden layer, and a tower of 8 units for each task."""
    sharing = hp.Choice("sharing", SHARINGS)
    inputs = keras.Input((100,), name="x")
    if len(tasks) == 1:
        return keras_mtl.builders.hard_sharing(inputs, tasks, layers(68, 8))
    if sharing == "hard_sharing":
        return keras_mtl.builders.hard_sharing(
            inputs, tasks, layers(126, 8), depth=1
        )
    if sharing == "mmoe":
        return keras_mtl.builders.mmoe(
            inputs, tasks, layers(16), num_experts=8, tower_units=(8,)
        )
    if sharing == "ple":
        return keras_mtl.builders.ple(
            inputs,
            tasks,
            layers(16),
            num_shared_experts=4,
            num_task_experts=2,
            tower_units=(8,),
        )
    return keras_mtl.builders.registry[sharing](inputs, tasks, layers(68, 8))


def layers(*widths: int) -> list[Any]:
    """Dense layers with ReLU."""
    return [
        keras.layers.Dense(width, activation="relu", name=f"hidden_{number}")
        for number, width in enumerate(widths, 1)
    ]


def optimizer(hp: Any) -> keras.optimizers.Optimizer:
    """Adam."""
    rate = hp.Float("learning_rate", 5e-4, 2e-2, sampling="log", default=3e-3)
    return keras.optimizers.Adam(rate)


recipe = keras_mtl.Recipe(
    name="correlation",
    tasks=[
        keras_mtl.Task("first", "regression", metrics=["mse"]),
        keras_mtl.Task("second", "regression", metrics=["mse"]),
    ],
    sources=("1.0", "0.9", "0.5"),
    load=load,
    build=build,
    optimizer=optimizer,
    batch_size=100,
    epochs=10,
    sharings=SHARINGS,
)
