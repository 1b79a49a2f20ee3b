from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
from many_seeds import ManySeeds

from keras_mtl.recipe import load_recipe

RECIPE = load_recipe(Path(__file__).parents[2] / "recipes" / "correlation.py")
EXAMPLES, BATCH, EPOCHS = 60, 20, 3


def build(sharing, seed):
    keras.utils.set_random_seed(seed)
    hp = keras_tuner.HyperParameters()
    hp.values["sharing"] = sharing
    return RECIPE.build(hp, RECIPE.tasks)


def order(seed, epoch):
    return np.random.default_rng([seed, epoch]).permutation(EXAMPLES)


@pytest.mark.parametrize("sharing", RECIPE.sharings)
def test_all_at_once_is_fit_one_by_one(sharing):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2, EXAMPLES, 100)).astype("float32")
    y = generator.normal(size=(2, EXAMPLES, 2)).astype("float32")
    models = [build(sharing, seed) for seed in (7, 8)]
    together = ManySeeds(models)
    # Twice: the second begins from the initial weights again.
    for _ in range(2):
        errors = together.fit(
            (x, y),
            (x, y),
            learning_rate=1e-2,
            epochs=EPOCHS,
            batch_size=BATCH,
            orders=lambda e: np.stack([order(seed, e) for seed in (0, 1)]),
        )
    for seed, model in enumerate(models):
        model.compile(keras.optimizers.Adam(1e-2))
        for epoch in range(EPOCHS):
            rows = order(seed, epoch)
            model.fit(
                x[seed][rows],
                dict(zip(RECIPE.tasks, y[seed][rows].T, strict=True)),
                batch_size=BATCH,
                shuffle=False,
                verbose=0,
            )
        for i, weight in enumerate(model.trainable_variables):
            np.testing.assert_allclose(
                together.weights[i].numpy()[seed],
                weight.numpy(),
                rtol=1e-3,
                atol=2e-5,
            )
        outputs = model.predict(x[seed], verbose=0)
        for task, name in enumerate(RECIPE.tasks):
            error = np.mean((outputs[name][:, 0] - y[seed, :, task]) ** 2)
            assert errors[-1, seed, task] == pytest.approx(error, rel=1e-4)


def test_models_with_state_are_refused():
    inputs = keras.Input((3,))
    outputs = keras.layers.BatchNormalization()(inputs)
    with pytest.raises(ValueError, match="Models with state"):
        ManySeeds([keras.Model(inputs, outputs)])
