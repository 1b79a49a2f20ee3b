import json

import keras
import numpy as np
import pytest
import trajectories as benchmark
from descent import Adam, GradientDescent, trajectories
from toy_problems import Quadratics, TwoObjectiveToy

from keras_mtl import balancers

TRIANGLE = Quadratics([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
# What goes coordinate by coordinate is bound to a box around the centres,
# which is their hull where they differ in one coordinate.
SEGMENT = Quadratics([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])


def methods(base):
    return [
        name
        for name in balancers.registry
        if issubclass(balancers.registry[name], base)
    ]


def end_on(problem, method, start=(0.4, 2.0, -1.5), steps=500):
    keras.utils.set_random_seed(0)
    ((first, end),) = trajectories(
        method,
        problem,
        [start],
        steps,
        steps,
        optimizer=GradientDescent(halves_at=100),
        jit_compile=False,
    )
    assert problem.distance(first) > 1.0
    return problem.distance(end)


@pytest.mark.parametrize("name", methods(balancers.GradientBalancer))
def test_gradient_methods_end_on_the_front_of_quadratics(name):
    arguments = {"groups": [[0, 1], [2]]} if name == "task_groups" else {}
    method = benchmark.method(name, **arguments)
    assert end_on(TRIANGLE, method) < 0.02


@pytest.mark.parametrize("name", methods(balancers.CoordinateBalancer))
def test_coordinate_methods_end_on_the_front_of_quadratics(name):
    assert end_on(SEGMENT, benchmark.method(name)) < 0.02


def test_what_ascends_does_not_end_on_the_front():
    method = balancers.Fixed([1.0, 1.0, -3.0])
    assert end_on(TRIANGLE, method) > 1.0


@pytest.mark.parametrize(
    ("name", "x1"), [("fixed", -5.727), ("famo", None), ("nash_mtl", 0.0)]
)
def test_toy_from_the_middle(name, x1):
    keras.utils.set_random_seed(0)
    toy = TwoObjectiveToy()
    ((*_, end),) = trajectories(
        benchmark.method(name), toy, [(0.0, 0.0)], 14_000, 14_000
    )
    assert toy.distance(end) < toy.tolerance
    if x1 is not None:
        assert end[0] == pytest.approx(x1, abs=0.02)


def test_the_plain_sum_is_stuck_in_the_valley():
    toy = TwoObjectiveToy()
    paths = trajectories(balancers.Fixed(), toy, [(9.0, 9.0)], 14_000, 2_000)
    x2 = np.array(paths)[0, :, 1]
    assert len(x2) == 8
    assert x2[0] == 9.0
    assert x2[-1] > 3.0
    assert abs(x2[-1] - x2[-2]) < 0.1
    assert toy.distance(paths[0][-1]) > 1.0


def test_each_start_begins_anew():
    toy = TwoObjectiveToy()
    method = balancers.get("uncertainty", coefficients=1.0)
    starts = [(9.0, -1.0), (0.0, 0.0), (9.0, -1.0)]
    first, other, again = trajectories(
        method, toy, starts, 200, 100, jit_compile=False
    )
    assert first == again != other
    assert method.log_variances.numpy().min() > 0.05  # it has learned


def test_adam_is_that_of_keras():
    # Keras adds epsilon at another place, hence 0, and works in float32.
    ours, theirs = Adam(0.1, epsilon=0.0), keras.optimizers.Adam(0.1, epsilon=0)
    x, y = (keras.Variable([1.0, -2.0], dtype="float64") for _ in range(2))
    ours.build([x])
    for step in range(5):
        gradient = keras.ops.convert_to_tensor([step - 1.5, 0.3 + step**2])
        gradient = keras.ops.cast(gradient, "float64")
        ours.apply([gradient], [x])
        theirs.apply([gradient], [y])
    np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-5)


def test_files(tmp_path):
    results = [
        benchmark.measure(name, steps=1_000) for name in ("mgda", "fixed")
    ]
    results[0]["reached"][1] = True
    benchmark.write(results, tmp_path)

    assert (tmp_path / "trajectories.png").read_bytes()[:4] == b"\x89PNG"
    read = json.loads((tmp_path / "trajectories.json").read_text())
    # Loss weighting comes first.
    assert [row["method"] for row in read] == ["fixed", "mgda"]
    assert np.shape(read[0]["trajectories"]) == (5, 3, 2)
    lines = (tmp_path / "trajectories.md").read_text().splitlines()
    assert lines[-2].startswith("| `fixed` | loss weighting | 0 of 5 | — |")
    x1 = read[1]["ends"][1][0]
    assert lines[-1].startswith(
        f"| `mgda` | gradient method | 1 of 5 | — | {x1:z.2f} | — |"
    )


def test_methods_are_told_what_they_need():
    class Counting(balancers.LossBalancer):
        looks_again = True
        epochs = 0

        def build(self, input_shape):
            self.seen = self.add_weight(
                shape=(3,), initializer="zeros", trainable=False, name="seen"
            )
            super().build(input_shape)

        def task_weights(self, losses, present):
            return keras.ops.ones_like(losses)

        def observe(self, losses, present):
            self.seen.assign_add([1.0, 0.0, 0.0])

        def observe_again(self, losses, present):
            lower = keras.ops.cast(keras.ops.all(losses < 30.0), "float32")
            self.seen.assign_add([0.0, 1.0, lower])

        def on_epoch_end(self):
            self.epochs += 1

    method, toy = Counting(), TwoObjectiveToy()
    trajectories(method, toy, [(9.0, -1.0)], 12, 4, jit_compile=False)
    # Losses are those above the floor, thus positive.
    assert method.seen.numpy().tolist() == [12.0, 12.0, 12.0]
    assert method.epochs == 3
