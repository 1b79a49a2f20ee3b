"""Each balancer trains a model, and is saved with it."""

import keras
import numpy as np
import pytest

from keras_mtl import MultiTaskModel, Task, balancers
from tests.balancers.cases import CASES, make

TASKS = [
    Task("kind", "multiclass", units=3),
    Task("age", "regression"),
    Task("old", "binary"),
]
WRAPPERS = ("gradient_normalization", "momentum", "task_groups")


def _rows():
    """The first variant of each balancer, more of those that wrap."""
    for case in CASES:
        kind = balancers.registry[case.name]
        weighs_losses = issubclass(kind, balancers.LossBalancer)
        places = (None,) if weighs_losses else ("variables", "features")
        last = None if case.name in WRAPPERS else 1
        for i, variant in enumerate(case.variants[:last]):
            for wrt in places[:1] if i else places:
                yield pytest.param(
                    case,
                    variant if wrt is None else {**variant, "wrt": wrt},
                    id="-".join(filter(None, (case.name, wrt, str(i or "")))),
                )


def new_model():
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    h = keras.layers.Dense(5, activation="tanh", name="trunk")(x)
    return MultiTaskModel(
        x,
        {
            "kind": keras.layers.Dense(3, activation="softmax")(h),
            "age": keras.layers.Dense(1)(h),
            "old": keras.layers.Dense(1, activation="sigmoid")(h),
        },
        tasks=TASKS,
    )


def batches():
    """Two batches of four; the second has one "age" and no "old"."""
    rng = np.random.default_rng(0)
    age = rng.normal(size=8).astype("float32")
    age[5:] = np.nan
    return rng.normal(size=(8, 4)).astype("float32"), {
        "kind": rng.integers(0, 3, 8),
        "age": age,
        "old": np.array([0, 1, 1, 0, -1, -1, -1, -1]),
    }


@pytest.mark.parametrize(("case", "variant"), list(_rows()))
def test_it_trains_and_is_saved(case, variant, tmp_path):
    method = balancers.registry[case.name]
    if variant.get("wrt") == "features" and method.exact_only:
        with pytest.raises(ValueError, match=r"`wrt` of .* must be 'var"):
            make(case, variant, 3)
        return
    model = new_model()
    (x, y), trunk = batches(), model.get_layer("trunk")
    before = trunk.get_weights()
    model.compile(
        keras.optimizers.SGD(0.1),
        balancer=make(case, variant, 3),
        jit_compile=False,
    )
    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    for key, values in history.items():
        assert np.isfinite(values).all(), key
    for old, new in zip(before, trunk.get_weights(), strict=True):
        assert np.isfinite(new).all()
        assert (old != new).any()

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.balancer.get_config() == model.balancer.get_config()
    pairs = zip(
        model.balancer.variables, loaded.balancer.variables, strict=True
    )
    for own, revived in pairs:
        np.testing.assert_array_equal(own, revived, err_msg=own.path)
    for name, outputs in model(x).items():
        np.testing.assert_array_equal(outputs, loaded(x)[name])


@pytest.mark.parametrize(
    ("wrapper", "one_pass"),
    [
        (balancers.Momentum("fixed"), True),
        (
            balancers.TaskGroups(
                {"person": ["old", "age"], "thing": ["kind"]},
                [balancers.Fixed({"age": 0.5, "old": 1.0}), "fixed"],
                balancers.Fixed({"thing": 1.0, "person": 3.0}),
            ),
            True,
        ),
        (balancers.GradientNormalization(balancers.Fixed(0.5), "none"), False),
    ],
)
def test_wrapped_constants_train_as_constants(wrapper, one_pass):
    constants = {
        "Momentum": 1.0,
        "TaskGroups": {"age": 1.5, "old": 3.0, "kind": 1.0},
        "GradientNormalization": 0.5,
    }[type(wrapper).__name__]
    found = []
    for balancer in (wrapper, balancers.Fixed(constants)):
        model, (x, y) = new_model(), batches()
        model.compile(
            keras.optimizers.SGD(0.1), balancer=balancer, jit_compile=False
        )
        logs = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
        found.append([v.numpy() for v in model.trainable_variables])
        assert ("min_cosine" in logs) == (balancer is wrapper and not one_pass)
    for own, expected in zip(*found, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)
