"""Tasks that help each other, are unrelated or fight, by construction."""

import keras
import numpy as np

import keras_mtl

INPUTS = 20


def built(kind, problem=0):
    """A recipe whose tasks are related as its name says.

    - helping: both want the same direction of one shared unit and have few,
      noisy labels, so that each doubles what the other learns from.
    - unrelated: each reads inputs of its own, and there is room for both.
    - fighting: there is one shared unit, and each wants another direction.
    - grouped: `a` and `b` want the same direction of it, `c` another.

    Heads cannot make up for it: where there is one unit, they hand it on.
    """
    names = "abc" if kind == "grouped" else "ab"
    roomy = kind == "unrelated"

    def load(source, data_dir):
        generator = np.random.default_rng([7, problem])
        u, v = np.linalg.qr(generator.normal(size=(INPUTS, 2)))[0].T
        left, right = np.array_split(np.full(INPUTS, (2 / INPUTS) ** 0.5), 2)
        wanted = {
            "helping": (u, u),
            "unrelated": (np.r_[left, 0 * right], np.r_[0 * left, right]),
            "fighting": (u, v),
            "grouped": (u, u, v),
        }[kind]
        noise = 1.0 if kind == "helping" else 0.2

        def split(examples):
            x = generator.normal(size=(examples, INPUTS))
            labels = {
                name: (x @ w + noise * generator.normal(size=examples))
                for name, w in zip(names, wanted, strict=True)
            }
            return x.astype("float32"), {
                name: values.astype("float32")
                for name, values in labels.items()
            }

        examples = 96 if kind == "helping" else 960
        return keras_mtl.Splits(split(examples), split(320), split(10))

    def build(hp, tasks):
        return keras_mtl.builders.hard_sharing(
            keras.Input((INPUTS,), name="x"),
            tasks,
            [keras.layers.Dense(32, activation="relu", name="shared")]
            if roomy
            else [keras.layers.Dense(1, use_bias=False, name="shared")],
        )

    def head(name):
        if roomy:
            return None
        return keras.layers.Dense(
            1,
            use_bias=False,
            kernel_initializer="ones",
            kernel_constraint=keras.constraints.UnitNorm(),
            name=name,
        )

    return keras_mtl.Recipe(
        name=kind,
        tasks=[
            keras_mtl.Task(name, "regression", metrics=["mse"], head=head(name))
            for name in names
        ],
        load=load,
        build=build,
        optimizer=lambda hp: keras.optimizers.Adam(2e-2),
        batch_size=32,
        epochs=12 if kind == "helping" else 4,
    )
