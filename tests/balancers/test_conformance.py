"""Every contract, run over every balancer and variant."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mtl import balancers
from keras_mtl.balancers import (
    Balancer,
    CoordinateBalancer,
    LossBalancer,
    TrackingBalancer,
    aggregate,
)
from keras_mtl.tasks import Task, TaskSet

from .cases import CASES, KINDS, PER_TASK, ROWS, jacobian, make

LOSSES = np.array([0.7, 1.9, 0.4, 1.1, 0.2, 3.0, 0.9, 0.5])


def run(row, rows, tasks=None, **kwargs):
    case, variant = row
    method = make(case, variant, len(rows) if tasks is None else tasks)
    chosen = list(range(len(rows))) if tasks is None else list(tasks)
    return aggregate(method, rows, losses=LOSSES[chosen], **kwargs)


def core(method, rows, losses, present):
    """The one method that a training step calls."""
    if isinstance(method, CoordinateBalancer):
        return method.combine(rows, losses, present)
    if isinstance(method, LossBalancer):
        method.observe(losses, present)
        return method.task_weights(losses, present)
    if isinstance(method, TrackingBalancer):
        rows, _ = method.track(0, rows, losses, present)
    return method.task_weights(rows @ ops.transpose(rows), losses, present)


def build(method, num_tasks):
    """Builds as a model with 12 shared parameters does."""
    if isinstance(method, TrackingBalancer):
        method.bind_variables([12])
    method.build((num_tasks,))


def test_registry_exports_and_rows_name_the_same_methods():
    exported = {
        entry
        for entry in map(balancers.__dict__.get, balancers.__all__)
        if isinstance(entry, type)
        and issubclass(entry, Balancer)
        and entry.__module__ != "keras_mtl.balancers.base"
    }
    registered = {balancers.registry[name] for name in balancers.registry}
    assert exported == registered
    assert {case.name for case in CASES} == set(balancers.registry)


@pytest.mark.parametrize(
    "num_tasks",
    [1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 5)), 8],
)
def test_shapes_and_finiteness(row, num_tasks):
    for kind in KINDS:
        rows = jacobian(num_tasks, kind)
        direction, weights = run(row, rows)
        assert direction.shape == (rows.shape[1],), kind
        assert np.isfinite(direction).all(), kind
        if weights is not None:
            assert weights.shape == (num_tasks,), kind
            assert np.isfinite(weights).all(), kind
        method = type(make(*row, num_tasks))
        if weights is not None and not issubclass(method, TrackingBalancer):
            np.testing.assert_allclose(
                weights @ rows,
                direction,
                atol=1e-9 * (np.abs(weights) @ np.abs(rows)).max(),
                err_msg=kind,
            )


def test_one_task_keeps_its_gradient_s_line(row):
    rows = jacobian(1)
    direction, _ = run(row, rows)
    cosine = direction @ rows[0] / np.linalg.norm(direction)
    # GradDrop's one row always agrees with itself.
    np.testing.assert_allclose(cosine, np.linalg.norm(rows[0]), rtol=1e-6)


@pytest.mark.parametrize("num_tasks", [2, 3, 5])
def test_permuted_tasks_give_permuted_weights(row, num_tasks):
    if row[0].random and num_tasks > 2:
        pytest.skip("the order is random")
    order = np.random.default_rng(0).permutation(num_tasks)
    rows = jacobian(num_tasks)
    direction, weights = run(row, rows)
    moved_direction, moved_weights = run(row, rows[order], tasks=order)
    np.testing.assert_allclose(direction, moved_direction, atol=1e-8)
    if weights is not None:
        np.testing.assert_allclose(weights[order], moved_weights, atol=1e-8)


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_without_a_task_it_is_the_smaller_problem(row, absent):
    rows = jacobian(3)
    rest = [t for t in range(3) if t != absent]
    present = np.arange(3) != absent
    direction, weights = run(row, rows, present=present)
    expected_direction, expected_weights = run(row, rows[rest], tasks=rest)
    np.testing.assert_allclose(direction, expected_direction, atol=1e-9)
    if weights is not None:
        assert weights[absent] == 0
        np.testing.assert_allclose(weights[rest], expected_weights, atol=1e-9)


def test_no_task_present_gives_zero(row):
    direction, _ = run(row, jacobian(3), present=[False] * 3)
    np.testing.assert_array_equal(direction, np.zeros(12))


def test_an_absent_task_s_state_does_not_move(row):
    method = make(*row, 3)
    rows = jacobian(3)
    aggregate(method, rows, losses=LOSSES[:3])
    before = [v[1] for v in method.get_weights()]
    for _ in range(3):
        aggregate(method, rows, losses=LOSSES[:3], present=[True, False, True])
    for value, old in zip(method.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value[1], old)


def test_state_survives_an_overflowed_step(row):
    if isinstance(make(*row, 2), CoordinateBalancer):
        pytest.skip("has no state that gradients move")
    method = make(*row, 2)
    aggregate(method, jacobian(2), losses=LOSSES[:2])
    broken = ops.convert_to_tensor([[np.inf, 1.0], [np.nan, 1.0]])
    everyone = ops.ones((2,), dtype="bool")
    if isinstance(method, LossBalancer):
        core(method, broken, broken[:, 0], everyone)
    else:
        method.task_weights(broken, broken[:, 0], everyone)
    for value in method.get_weights():
        assert np.isfinite(value).all()


def test_config_round_trip(row):
    method = make(*row, 3)
    config = balancers.serialize(method)
    revived = balancers.get(json.loads(json.dumps(config)))
    assert type(revived) is type(method)
    assert revived.get_config() == method.get_config()
    build(method, 3)
    revived = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(method)
    )
    if not revived.built:
        build(revived, 3)
    assert len(revived.get_weights()) == len(method.get_weights())


@pytest.mark.parametrize(
    ("case", "variant"),
    [row for row in ROWS if PER_TASK in row[1].values()],
    ids=lambda value: getattr(value, "name", "per_task"),
)
def test_arguments_by_task_are_held_against_the_tasks(case, variant):
    method = make(case, variant, 3)
    with pytest.raises(ValueError, match="one number for each of the 4 tasks"):
        build(method, 4)


def test_misspelt_tasks_are_told_before_training():
    method = balancers.Fixed({"a": 1.0, "aeg": 2.0})
    method.bind(TaskSet([Task("a", "binary"), Task("age", "binary")]))
    with pytest.raises(ValueError, match=r"`weights`.*'aeg'.*mean 'age'"):
        method.build((2,))


def test_state_is_saved_and_restored(row):
    method, other = make(*row, 3), make(*row, 3)
    rows, losses = jacobian(3), LOSSES[:3]
    for scale in (1.0, 0.5, 0.7):
        aggregate(method, rows, losses=losses * [scale, 1, 1])
        method.on_epoch_end()
    build(other, 3)
    other.set_weights(method.get_weights())
    np.testing.assert_allclose(
        run_seeded(method, rows, losses), run_seeded(other, rows, losses)
    )


def run_seeded(method, rows, losses):
    if hasattr(method, "seed_generator"):
        method.seed_generator.state.assign([0, 7])
    return aggregate(method, rows, losses=losses)[0]


def test_state_stays_out_of_the_way_of_keras(row):
    method = make(*row, 2)
    build(method, 2)
    # `weights` must be Keras' list, or models that own a balancer break.
    assert isinstance(method.weights, list)
    assert method.count_params() >= 0


def test_xla_agrees_with_eager(row):
    case, variant = row
    rows = ops.convert_to_tensor(jacobian(5).astype("float32"))
    losses = ops.convert_to_tensor(LOSSES[:5].astype("float32"))
    present = ops.convert_to_tensor([True, True, False, True, True])
    rows = ops.where(present[:, None], rows, 0.0)
    results = []
    for compiled in (False, True):
        method = make(case, variant, 5)
        build(method, 5)

        def step(rows, losses, present, method=method):
            return core(method, rows, losses, present)

        if compiled:
            step = tf.function(step, jit_compile=True)
        results.append(ops.convert_to_numpy(step(rows, losses, present)))
    if case.random:
        # XLA draws other numbers from the same seed.
        assert np.isfinite(results[1]).all()
    else:
        np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_dtype_in_is_dtype_out(row, dtype):
    rows = ops.cast(ops.convert_to_tensor(jacobian(3)), dtype)
    losses = ops.cast(ops.convert_to_tensor(LOSSES[:3]), dtype)
    present = ops.ones((3,), dtype="bool")
    method = make(*row, 3)
    build(method, 3)
    result = core(method, rows, losses, present)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    assert np.isfinite(ops.convert_to_numpy(ops.cast(result, "float64"))).all()
    direction, weights = aggregate(make(*row, 3), rows, losses=losses)
    assert keras.backend.standardize_dtype(direction.dtype) == dtype
    if weights is not None:
        assert keras.backend.standardize_dtype(weights.dtype) == dtype


def test_docstring_names_use_formula_and_source(row):
    doc = type(make(*row, 2)).__doc__
    for part in ("Example:", "Reference:", "LibMTL", "TorchJD"):
        assert part in doc, part
    source = doc.partition("Reference:")[2]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:10\.|https://", source)
