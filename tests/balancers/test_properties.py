"""What each method promises, over random matrices or by a second account."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_mtl.balancers import (
    IMTLG,
    MGDA,
    CAGrad,
    DynamicWeightAverage,
    Fixed,
    GradDrop,
    GradNorm,
    PCGrad,
    Uncertainty,
    aggregate,
)
from keras_mtl.tasks import Task, TaskSet

few = settings(derandomize=True, max_examples=20, deadline=None, database=None)
seeds = st.integers(0, 10**6)
ROWS = np.array([[3.0, 4.0], [-1.0, 0.5]])


def random_rows(seed, num_tasks=3, columns=10):
    return np.random.default_rng(seed).normal(size=(num_tasks, columns))


@few
@given(seed=seeds)
@pytest.mark.parametrize("method", [MGDA(), CAGrad(c=1.0)])
def test_no_task_is_made_worse(method, seed):
    rows = random_rows(seed)
    direction, _ = aggregate(method, rows)
    assert (rows @ direction).min() >= -1e-9


@few
@given(seed=seeds)
@pytest.mark.parametrize("normalize", ["l2", "loss+"])
def test_normalized_mgda_descends_for_all_tasks(normalize, seed):
    rows = random_rows(seed) * [[1.0], [10.0], [0.1]]
    direction, weights = aggregate(
        MGDA(normalize), rows, losses=[1.0, 2.0, 3.0]
    )
    assert (rows @ direction).min() >= -1e-9
    assert weights.sum() == pytest.approx(1)


def test_normalized_mgda_by_hand():
    # Unit rows at a right angle: α = ½, ½ and w ∝ α/‖g‖ = (1/5, 1/2).
    rows = np.array([[3.0, 4.0], [-1.6, 1.2]])
    _, weights = aggregate(MGDA("l2"), rows)
    np.testing.assert_allclose(weights, [2 / 7, 5 / 7], atol=1e-12)


@few
@given(seed=seeds)
def test_cagrad_stays_in_its_ball_around_the_mean(seed):
    rows = random_rows(seed)
    direction, _ = aggregate(CAGrad(c=0.4), rows)
    mean = rows.mean(axis=0)
    distance = np.linalg.norm(direction - mean)
    assert distance == pytest.approx(0.4 * np.linalg.norm(mean), rel=1e-6)


@few
@given(seed=seeds)
def test_imtlg_projects_equally(seed):
    rows = random_rows(seed)
    direction, weights = aggregate(IMTLG(), rows)
    projections = rows @ direction / np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(projections, projections[0], rtol=1e-7)
    assert projections[0] >= 0
    assert abs(weights).sum() == pytest.approx(
        1
    ) or weights.sum() == pytest.approx(1)


def test_imtlg_shares_among_duplicates_and_skips_zeros():
    rows = np.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])
    _, weights = aggregate(IMTLG(), rows)
    np.testing.assert_allclose(weights, [0.5, 0.5, 0.0], atol=1e-12)


def test_imtlg_does_not_lead_uphill():
    # (C⁺1) / ‖g‖ sums to less than zero here.
    rows = np.array([[1.0, 0.0], [10.0, 1.0]])
    direction, weights = aggregate(IMTLG(), rows)
    assert (rows @ direction > 0).all()
    assert np.isfinite(weights).all()


@few
@given(seed=seeds)
def test_pcgrad_of_two_tasks_in_closed_form(seed):
    rows = random_rows(seed, num_tasks=2, columns=4)
    (g11, g12), (_, g22) = rows @ rows.T
    expected = [1 - min(g12 / g11, 0), 1 - min(g12 / g22, 0)]
    _, weights = aggregate(PCGrad(seed=0), rows)
    np.testing.assert_allclose(weights, expected, rtol=1e-9)


@few
@given(seed=seeds)
def test_pcgrad_is_one_of_the_orders_on_the_gradients(seed):
    import itertools

    rows = random_rows(seed, columns=4)
    sums = []
    per_task = []
    for i in range(3):
        others = [j for j in range(3) if j != i]
        projected = []
        for order in itertools.permutations(others):
            g = rows[i].copy()
            for j in order:
                if g @ rows[j] < 0:
                    g -= (g @ rows[j]) / (rows[j] @ rows[j]) * rows[j]
            projected.append(g)
        per_task.append(projected)
    sums = [sum(chosen) for chosen in itertools.product(*per_task)]
    direction, _ = aggregate(PCGrad(seed=seed), rows)
    assert min(np.abs(direction - s).max() for s in sums) < 1e-9


def test_pcgrad_draws_new_orders_and_repeats_by_seed():
    rows = random_rows(2, num_tasks=5, columns=3)
    method, twin = PCGrad(seed=1), PCGrad(seed=1)
    found = [aggregate(method, rows)[1] for _ in range(6)]
    assert len({tuple(w) for w in found}) > 1
    np.testing.assert_array_equal(
        found, [aggregate(twin, rows)[1] for _ in range(6)]
    )


@few
@given(seed=seeds)
def test_graddrop_keeps_one_sign_in_each_coordinate(seed):
    rows = random_rows(seed, num_tasks=4)
    direction, weights = aggregate(GradDrop(seed=seed), rows)
    positive = np.where(rows > 0, rows, 0).sum(axis=0)
    negative = np.where(rows < 0, rows, 0).sum(axis=0)
    assert weights is None
    kept = np.isclose(direction, positive) | np.isclose(direction, negative)
    assert kept.all()


def test_graddrop_keeps_signs_as_often_as_they_are_pure():
    # P = ½ (1 + (3 − 1)/(3 + 1)) = ¾ in every coordinate.
    rows = np.repeat([[3.0], [-1.0]], 20_000, axis=1)
    direction, _ = aggregate(GradDrop(seed=0), rows)
    assert set(np.unique(direction)) == {-1.0, 3.0}
    assert (direction == 3.0).mean() == pytest.approx(0.75, abs=0.01)


def test_graddrop_leak():
    rows = np.array([[3.0, -2.0], [-1.0, -1.0]])
    direction, _ = aggregate(GradDrop(leak=1.0), rows)
    np.testing.assert_allclose(direction, rows.sum(axis=0))
    # The leaking task counts whole, the other where its sign is kept.
    direction, _ = aggregate(GradDrop(leak=[1.0, 0.0], seed=0), rows)
    assert direction[0] in (2.0, 3.0)
    assert direction[1] == -3.0


def test_dynamic_weight_average_by_a_table():
    method = DynamicWeightAverage(temperature=2.0)
    present = np.ones(2, bool)
    method.build((2,))

    def epoch(*batches):
        for losses in batches:
            weights = method.task_weights(ops.array(losses), present)
            method.loss(ops.array(losses), present)
        method.on_epoch_end()
        return ops.convert_to_numpy(weights)

    np.testing.assert_allclose(epoch([4.0, 1.0], [2.0, 3.0]), [1, 1])
    np.testing.assert_allclose(epoch([1.0, 2.0], [2.0, 2.0]), [1, 1])
    # Epoch means (3, 2), then (1.5, 2): r = (.5, 1), r/τ = (.25, .5).
    expected = 2 * np.exp([0.25, 0.5]) / np.exp([0.25, 0.5]).sum()
    np.testing.assert_allclose(epoch([1.0, 1.0]), expected, rtol=1e-6)


def test_dynamic_weight_average_leaves_out_absent_tasks_means():
    method = DynamicWeightAverage()
    method.build((2,))
    for losses, present in (
        ([4.0, 1.0], [True, True]),
        ([2.0, 0.0], [True, False]),
    ):
        method.loss(ops.array(losses), np.array(present))
    method.on_epoch_end()
    np.testing.assert_allclose(method.last_means, [3.0, 1.0])
    method.loss(ops.array([1.0, 0.0]), np.array([True, False]))
    method.on_epoch_end()
    np.testing.assert_allclose(method.last_means, [1.0, 1.0])
    np.testing.assert_allclose(method.epochs_seen, [2, 1])


def test_gradnorm_against_a_plain_loop():
    rng = np.random.default_rng(0)
    alpha, rate = 1.2, 0.1
    method = GradNorm(alpha=alpha, learning_rate=rate)
    weights, initial = np.ones(3), None
    for _ in range(20):
        rows = rng.normal(size=(3, 6)) * [[1.0], [5.0], [0.2]]
        losses = rng.uniform(0.5, 2.0, size=3)
        _, found = aggregate(method, rows, losses=losses)
        np.testing.assert_allclose(found, weights, rtol=1e-5)
        initial = losses if initial is None else initial
        norms = np.linalg.norm(rows, axis=1)
        mean = (weights * norms).mean()
        ratio = losses / initial
        target = mean * (ratio / ratio.mean()) ** alpha
        for t in range(3):
            step = rate * norms[t] / mean
            goal = target[t] / norms[t]
            if weights[t] > goal:
                weights[t] = max(weights[t] - step, goal)
            else:
                weights[t] = min(weights[t] + step, goal)
        weights *= 3 / weights.sum()


def test_gradnorm_moves_by_the_gradient_of_its_loss():
    norms, losses = np.array([5.0, 1.0]), np.array([1.0, 1.0])
    weights = tf.Variable([1.0, 1.0], dtype="float64")
    with tf.GradientTape() as tape:
        lengths = weights * norms
        target = tf.stop_gradient(tf.reduce_mean(lengths))
        loss = tf.reduce_sum(tf.abs(lengths - target))
    expected = 1 - 0.01 * tape.gradient(loss, weights) / target
    method = GradNorm(learning_rate=0.01)
    rows = np.array([[3.0, 4.0], [1.0, 0.0]])
    for _ in range(2):
        _, found = aggregate(method, rows, losses=losses)
    expected = expected * 2 / tf.reduce_sum(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_gradnorm_evens_out_lengths_and_never_goes_negative():
    method = GradNorm(alpha=0.0, learning_rate=0.05)
    rows = np.array([[30.0, 40.0], [1.0, 0.0], [0.0, 7.0]])
    for _ in range(200):
        _, weights = aggregate(method, rows, losses=np.ones(3))
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(3, rel=1e-5)
    lengths = weights * np.linalg.norm(rows, axis=1)
    # From 50, 1 and 7.
    np.testing.assert_allclose(lengths, lengths.mean(), rtol=0.05)


def test_gradnorm_remembers_each_task_s_first_present_loss():
    method = GradNorm()
    aggregate(method, ROWS, losses=[2.0, 5.0], present=[True, False])
    aggregate(method, ROWS, losses=[1.0, 3.0])
    aggregate(method, ROWS, losses=[0.5, 0.1])
    np.testing.assert_allclose(method.initial_losses, [2.0, 3.0])


def test_uncertainty_gradients_in_closed_form():
    tasks = TaskSet([Task("a", "binary"), Task("b", "regression")])
    method = Uncertainty()
    method.bind(tasks)
    method.build((2,))
    s = np.array([0.3, -0.7], "float32")
    method.set_weights([s])
    losses = tf.Variable([1.5, 0.4])
    with tf.GradientTape(persistent=True) as tape:
        loss = method.loss(losses, tf.constant([True, True]))
    a, values = np.array([1.0, 0.5]), losses.numpy()
    expected = (a * np.exp(-s) * values + s / 2).sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(loss, losses), a * np.exp(-s), rtol=1e-6
    )
    np.testing.assert_allclose(
        tape.gradient(loss, method.log_variances.value),
        0.5 - a * np.exp(-s) * values,
        rtol=1e-5,
    )


def test_uncertainty_ignores_an_absent_task():
    method = Uncertainty()
    method.build((2,))
    method.set_weights([np.array([0.3, -0.7], "float32")])
    with tf.GradientTape() as tape:
        loss = method.loss(tf.constant([1.5, 0.0]), tf.constant([True, False]))
    assert tape.gradient(loss, method.log_variances.value)[1] == 0
    np.testing.assert_allclose(loss, np.exp(-0.3) * 1.5 + 0.15, rtol=1e-6)


def test_uncertainty_is_bounded_where_a_loss_is_negative():
    method = Uncertainty(bound=2.0)
    method.build((1,))
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(method.trainable_variables)
    for _ in range(50):
        with tf.GradientTape() as tape:
            loss = method.loss(tf.constant([-3.0]), tf.constant([True]))
        gradients = tape.gradient(loss, [method.log_variances.value])
        optimizer.apply(gradients, method.trainable_variables)
    np.testing.assert_allclose(method.log_variances, [-2.0])


def test_fixed_weights_by_name_and_logged_loss():
    method = Fixed({"b": 0.5, "a": 2.0})
    method.bind(TaskSet([Task("a", "binary"), Task("b", "binary")]))
    method.build((2,))
    losses = ops.array([1.0, 4.0])
    assert float(method.loss(losses, np.ones(2, bool))) == 4.0
    assert float(method.logged_loss(losses)) == 4.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MGDA("max"), "`normalize` must be one of none, l2"),
        (lambda: MGDA(wrt="inputs"), "`wrt` must be 'variables'"),
        (lambda: MGDA(update_every=0), "`update_every` must be a positive"),
        (lambda: CAGrad(c=-1), "`c` must not be negative"),
        (lambda: CAGrad(rescale=3), "`rescale` must be 0"),
        (lambda: PCGrad(reduction="max"), "`reduction` must be 'sum'"),
        (lambda: GradNorm(alpha=-1), "`alpha` must not be negative"),
        (lambda: GradNorm(learning_rate=0), "`learning_rate` must be pos"),
        (lambda: GradDrop(leak=1.5), r"`leak` must be a finite number in"),
        (lambda: GradDrop(leak="a"), "`leak` must be a finite number"),
        (lambda: Uncertainty(bound=0), "`bound` must be positive"),
        (lambda: DynamicWeightAverage(temperature=0), "`temperature` must"),
        (lambda: Fixed([1.0, np.nan]), "`weights` must be a finite number"),
    ],
)
def test_wrong_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mgda", [1.0, 2.0]), r"must have two axes .* shape \(2,\)"),
        (("mgda", np.zeros((0, 3))), "at least one row"),
        (("mgda", [[1.0, np.nan], [0.0, 1.0]]), r"finite.* rows \[0\]"),
        (("fixed", ROWS), "`losses` is needed by Fixed"),
        (("gradnorm", ROWS), "`losses` is needed by GradNorm"),
        (("mgda", ROWS, None, [True]), "`present` must hold one value"),
        (("fixed", ROWS, [1.0]), "`losses` must hold one value"),
        (("fixed", ROWS, [1.0, np.nan]), r"`losses` must be finite.* in \[1\]"),
        ((Fixed([1.0]), ROWS, [1.0, 2.0]), "`weights` must hold one number"),
        (("mdga", ROWS), "Did you mean 'mgda'"),
    ],
)
def test_aggregate_tells_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        aggregate(*arguments)


def test_aggregate_keeps_to_the_task_count_of_an_instance():
    method = MGDA()
    aggregate(method, ROWS)
    with pytest.raises(ValueError, match="`jacobian` must have 2 rows"):
        aggregate(method, np.ones((3, 2)))


def test_aggregate_inside_a_compiled_function():
    direction, weights = tf.function(lambda j: aggregate("mgda", j))(
        tf.constant([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    )
    np.testing.assert_allclose(weights, [0.6, 0.4], atol=1e-6)
    np.testing.assert_allclose(direction, [0, 1, 1], atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_aggregate_gives_arrays_for_arrays(dtype):
    direction, weights = aggregate("mgda", ROWS.astype(dtype))
    assert isinstance(direction, np.ndarray)
    assert direction.dtype == weights.dtype == dtype


def test_aggregate_gives_tensors_for_tensors():
    direction, weights = aggregate("mgda", tf.constant(ROWS, "bfloat16"))
    assert tf.is_tensor(direction)
    assert direction.dtype == weights.dtype == tf.bfloat16


def test_aggregate_of_a_list_of_numpy_numbers_is_floatx():
    direction, _ = aggregate("mgda", ROWS.tolist())
    assert direction.dtype == keras.config.floatx()
