"""The methods that are functions of the losses alone."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_mtl import Task, balancers
from keras_mtl.tasks import TaskSet

PREFERENCE = {"preference": [1.0, 2.0, 5.0]}

# Objectives of which the weights are the whole derivative.
OBJECTIVES = {
    "geometric_mean": {},
    "log_sum": {},
    "imtl_loss": {},
    "smooth_tchebycheff": {"mu": 0.3, "warmup_epochs": 0, **PREFERENCE},
    "preference_tchebycheff": {**PREFERENCE, "ideal": [0.1, -0.2, 0.3]},
    "pbi": {**PREFERENCE, "ideal": [0.1, -0.2, 0.3]},
    "cosmos": PREFERENCE,
}
# Weighted sums whose weights are constants to the gradient.
SUMS = {
    "random_weighting": {"seed": 1},
    "dynamic_task_priority": {"alpha": 0.5, "gamma": 2.0},
    "soft_optimal_uncertainty": {"temperature": 0.7},
}
METHODS = OBJECTIVES | SUMS
POSITIVE = (
    "geometric_mean",
    "log_sum",
    "soft_optimal_uncertainty",
    "smooth_tchebycheff",
)
STEERED = ("preference_tchebycheff", "pbi", "cosmos")

LOSSES = np.array([0.7, 1.9, 0.4])
EVERYONE = [True, True, True]


def built(name, num_tasks=3, **arguments):
    method = balancers.get(name, **arguments)
    method.build((num_tasks,))
    return method


def started(name):
    """A method with state away from where it starts."""
    method = built(name, **METHODS[name])
    if name == "imtl_loss":
        method.log_scales.assign([0.5, -0.25, 1.0])
    else:
        observe(method, [1.0, 2.0, 0.5])
        method.on_epoch_end()
    return method


def observe(method, losses, present=EVERYONE):
    method.observe(
        ops.convert_to_tensor(losses), ops.convert_to_tensor(present)
    )


def weights_of(method, losses, present=EVERYONE, dtype="float64"):
    losses = ops.cast(ops.convert_to_tensor(losses), dtype)
    weights = method.task_weights(losses, ops.convert_to_tensor(present))
    return ops.convert_to_numpy(ops.cast(weights, "float64"))


def loss_and_gradient(method, losses, present=EVERYONE, dtype="float64"):
    losses = tf.cast(tf.convert_to_tensor(losses), dtype)
    with tf.GradientTape() as tape:
        tape.watch(losses)
        total = method.loss(losses, tf.convert_to_tensor(present))
    gradient = tape.gradient(total, losses)
    assert total.dtype == losses.dtype
    return float(total), tf.cast(gradient, "float64").numpy()


@pytest.mark.parametrize("present", [EVERYONE, [True, False, True]])
@pytest.mark.parametrize("name", METHODS)
def test_weights_are_the_derivative_of_the_loss(name, present):
    method = started(name)
    _, gradient = loss_and_gradient(method, LOSSES, present)
    # After `loss`, which draws or averages: the logs ask in this order.
    weights = weights_of(method, LOSSES, present)
    np.testing.assert_allclose(weights, gradient, rtol=1e-12, atol=1e-15)
    assert np.abs(weights).sum() > 0
    np.testing.assert_array_equal(weights[~np.array(present)], 0)


@pytest.mark.parametrize("present", [EVERYONE, [True, False, True]])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_agree_with_finite_differences(name, present):
    method, step = started(name), 1e-6
    weights = weights_of(method, LOSSES, present)
    for t in np.flatnonzero(present):
        ends = []
        for sign in (1, -1):
            losses = LOSSES.copy()
            losses[t] += sign * step
            ends.append(loss_and_gradient(method, losses, present)[0])
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(weights[t], slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", METHODS)
def test_weights_move_no_state(name):
    method = started(name)
    before = method.get_weights()
    first = weights_of(method, LOSSES)
    np.testing.assert_array_equal(weights_of(method, LOSSES), first)
    for value, expected in zip(method.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    ("name", "arguments", "losses", "weights", "loss"),
    [
        # (0.5 · 2 · 8)^{1/3} = 2, over three times each loss.
        ("geometric_mean", {}, [0.5, 2, 8], [4 / 3, 1 / 3, 1 / 12], 2),
        ("log_sum", {}, [0.5, 2, 8], [2, 0.5, 0.125], math.log(8)),
        ("imtl_loss", {}, [0.5, 2, 8], [1, 1, 1], 10.5),
        # κ = ¼, ½, 1 by L = −log κ.
        (
            "dynamic_task_priority",
            {"gamma": 2.0, "alpha": 1.0},
            [math.log(4), math.log(2), 0],
            [9 / 16 * math.log(4), math.log(2) / 4, 0],
            9 / 16 * math.log(4) ** 2 + math.log(2) ** 2 / 4,
        ),
        # Scores 1/L over τ: log 4, log 2, 0.
        (
            "soft_optimal_uncertainty",
            {"temperature": 1 / math.log(2)},
            [0.5, 1, 1e20],
            [4 / 7, 2 / 7, 1 / 7],
            4 / 7 * 0.5 + 2 / 7 + 1e20 / 7,
        ),
        # c = ⅛, ¼, ⅝; c (L − 1) = 0, ¼, −⅜.
        (
            "preference_tchebycheff",
            {**PREFERENCE, "ideal": 1.0},
            [1, 2, 0.4],
            [0, 0.25, 0],
            0.25,
        ),
        # u = (1, 2, 2)/3, v = (3, 3, 0): d₁ = 3, across = (2, 1, −2).
        (
            "pbi",
            {"preference": [1, 2, 2], "ideal": [1, 0, 4], "theta": 6.0},
            [4, 3, 4],
            [1 / 3 + 4, 2 / 3 + 2, 2 / 3 - 4],
            21,
        ),
        # cos = 9 / (3 · 3√2); r/‖r‖ − cos L/‖L‖ = (1, 2, 2)/3 − (1, 1, 0)/2.
        (
            "cosmos",
            {"preference": [1, 2, 2], "lambda_": 3.0},
            [3, 3, 0],
            [
                0.2 + 1 / (6 * math.sqrt(2)),
                0.4 - 1 / (6 * math.sqrt(2)),
                0.4 - 4 / (6 * math.sqrt(2)),
            ],
            1.8 - 3 / math.sqrt(2),
        ),
    ],
)
def test_values_by_hand(name, arguments, losses, weights, loss):
    method = built(name, **arguments)
    value, gradient = loss_and_gradient(method, np.array(losses, "float64"))
    # The state of `dynamic_task_priority` is in float32.
    rtol = 1e-6 if method.get_weights() else 1e-12
    np.testing.assert_allclose(value, loss, rtol=rtol)
    np.testing.assert_allclose(gradient, weights, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", METHODS)
def test_zero_and_negative_losses_leave_all_finite(name, dtype):
    method = started(name)
    for losses in ([0.0, 2.0, 1.0], [-1.0, 2.0, 0.0], [0, 0, 0], [-2, -1, -4]):
        losses = np.array(losses, "float64")
        total, gradient = loss_and_gradient(method, losses, dtype=dtype)
        weights = weights_of(method, losses, dtype=dtype)
        assert np.isfinite(total)
        assert np.isfinite(gradient).all()
        assert np.isfinite(weights).all()
        if name in POSITIVE:
            here = losses > 0
            np.testing.assert_array_equal(weights[~here], 0)
            np.testing.assert_array_equal(gradient[~here], 0)
            alone = weights_of(method, losses, here, dtype=dtype)
            np.testing.assert_array_equal(weights, alone)


def test_who_needs_positive_losses_says_so():
    for name in METHODS:
        needs = built(name, **METHODS[name]).needs_positive_losses
        assert needs == (name in POSITIVE), name


@pytest.mark.parametrize(
    ("name", "power"), [("geometric_mean", 1 / 3), ("log_sum", 0)]
)
def test_units_of_a_loss_do_not_count(name, power):
    method, units = built(name), np.array([1e3, 1.0, 1e-2])
    plain = weights_of(method, LOSSES) * LOSSES
    scaled = weights_of(method, LOSSES * units) * LOSSES * units
    np.testing.assert_allclose(scaled, plain * np.prod(units) ** power)


@pytest.mark.parametrize("count", [64, 1000])
def test_geometric_mean_of_many_losses_does_not_overflow(count):
    losses = np.full(count, 1e20)
    losses[0] = 1e-20
    method = built("geometric_mean", count)
    value, gradient = loss_and_gradient(
        method, losses, [True] * count, "float32"
    )
    exact = math.exp(np.log(losses).mean())
    np.testing.assert_allclose(value, exact, rtol=1e-4)
    np.testing.assert_allclose(gradient, exact / count / losses, rtol=1e-4)


# RandomWeighting


def draw(method, steps):
    @tf.function
    def step():
        losses, present = tf.constant(LOSSES), tf.constant(EVERYONE)
        method.observe(losses, present)
        return method.task_weights(losses, present)

    return np.array([step() for _ in range(steps)])


def test_random_weights_have_the_distribution_of_the_paper():
    rows = draw(built("random_weighting", seed=0), 1500)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    np.testing.assert_allclose(rows.mean(axis=0), 1 / 3, atol=0.02)
    # The log of a ratio is the difference of two standard normals.
    ratios = np.log(rows[:, 0] / rows[:, 1])
    assert abs(ratios.mean()) < 0.15
    assert abs(ratios.var() - 2) < 0.3


def test_random_weights_follow_their_seed():
    first = draw(built("random_weighting", seed=5), 3)
    assert not np.allclose(first[0], first[1])
    np.testing.assert_array_equal(
        draw(built("random_weighting", seed=5), 3), first
    )
    assert not np.allclose(draw(built("random_weighting", seed=6), 3), first)


def test_random_weights_are_drawn_once_a_step():
    method = built("random_weighting", seed=0)

    @tf.function
    def step():
        losses = tf.constant(LOSSES)
        return method.loss(losses, tf.constant(EVERYONE))

    totals = [float(step()) for _ in range(4)]
    assert len(set(totals)) == 4
    # What the logs ask for afterwards are the weights of the last step.
    assert weights_of(method, LOSSES) @ LOSSES == pytest.approx(totals[-1])


# DynamicTaskPriority


def test_priority_averages_the_key_metric():
    method = built("dynamic_task_priority", 2, alpha=0.25, gamma=[1.0, 0.0])
    both, first = [True, True], [True, False]
    observe(method, [math.log(2), math.log(4)], both)
    observe(method, [math.log(8), 0.0], first)
    # κ̄ = ¼ · ⅛ + ¾ · ½ for the first; the second was absent.
    expected = [(1 - 13 / 32) * math.log(32 / 13), math.log(4)]
    weights = weights_of(method, [9.0, 9.0], both)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_priority_falls_as_a_task_is_mastered():
    losses = np.array([3.0, 1.0, 0.1])
    for gamma in (0.0, 1.0, 3.0):
        method = built("dynamic_task_priority", gamma=gamma, alpha=1.0)
        weights = weights_of(method, losses)
        # With κ = exp(−L), the weight is (1 − exp(−L))^γ L.
        np.testing.assert_allclose(
            weights, (1 - np.exp(-losses)) ** gamma * losses, rtol=1e-12
        )
        assert (np.diff(weights) < 0).all()


# IMTLLoss


def test_imtl_loss_makes_scaled_losses_one():
    method = built("imtl_loss")
    optimizer = keras.optimizers.SGD(0.5)
    losses = tf.constant([0.25, 2.0, 8.0])
    for _ in range(100):
        with tf.GradientTape() as tape:
            total = method.loss(losses, tf.constant([True, True, False]))
        gradient = tape.gradient(total, method.log_scales.value)
        optimizer.apply([gradient], [method.log_scales])
    scales = weights_of(method, losses)
    np.testing.assert_allclose(scales[:2] * losses.numpy()[:2], 1, rtol=1e-5)
    # The third was absent: its scale is where it started.
    assert scales[2] == 1
    # Its least value is Σ 1 + log L.
    value, _ = loss_and_gradient(method, losses, [True, True, False], "float32")
    assert value == pytest.approx(2 + math.log(0.5), abs=1e-5)


def test_imtl_loss_stays_within_its_bound():
    method = built("imtl_loss", bound=2.0)
    optimizer = keras.optimizers.SGD(1.0)
    for _ in range(20):
        with tf.GradientTape() as tape:
            total = method.loss(
                tf.constant([-1.0, 0.0, 1e9]), tf.constant(EVERYONE)
            )
        gradient = tape.gradient(total, method.log_scales.value)
        optimizer.apply([gradient], [method.log_scales])
    np.testing.assert_array_equal(method.log_scales, [2, 2, -2])


# SoftOptimalUncertainty


def test_soft_optimal_uncertainty_between_its_limits():
    def at(temperature):
        name = "soft_optimal_uncertainty"
        return weights_of(built(name, temperature=temperature), LOSSES)

    np.testing.assert_allclose(at(1e9), 1 / 3, rtol=1e-8)
    np.testing.assert_allclose(at(1e-40), [0, 0, 1], atol=1e-12)
    scores = np.exp(1 / LOSSES)
    np.testing.assert_allclose(at(1.0), scores / scores.sum(), rtol=1e-12)


# SmoothTchebycheff


def run_epoch(method, steps):
    rows = []
    for losses in steps:
        losses = np.array(losses)
        rows.append(loss_and_gradient(method, losses)[1] * losses)
    method.on_epoch_end()
    return np.array(rows)


def test_stch_warms_up_on_log_losses_then_takes_the_nadir():
    method = built("smooth_tchebycheff", warmup_epochs=2, mu=1.0)
    for losses in ([8.0, 8, 8], [4.0, 4, 4]):
        np.testing.assert_allclose(run_epoch(method, [losses]), 1)
    np.testing.assert_array_equal(method.nadirs, 0)
    # The third epoch is still of log losses; its means are the nadir.
    rows = run_epoch(method, [[1.0, 2, 4], [3.0, 4, 4]])
    np.testing.assert_allclose(rows, 1)
    np.testing.assert_array_equal(method.nadirs, [2, 3, 4])
    # Losses over the nadir: ½, 1, 2. With μ = 1 they are the softmax's
    # exponentials, and w L = 3 p.
    rows = run_epoch(method, [[1.0, 3, 8]])
    np.testing.assert_allclose(rows[0], 3 * np.array([0.5, 1, 2]) / 3.5)
    np.testing.assert_array_equal(method.nadirs, [2, 3, 4])


def test_stch_takes_four_epochs_of_warmup_and_one_for_the_nadir():
    method = built("smooth_tchebycheff")
    for epoch in range(5):
        assert (np.array(method.nadirs) == 0).all()
        run_epoch(method, [LOSSES * (epoch + 1)])
    np.testing.assert_allclose(method.nadirs, LOSSES * 5, rtol=1e-6)


def test_stch_preference_enters_the_exponent():
    method = built(
        "smooth_tchebycheff", 2, mu=0.5, warmup_epochs=0, preference=[3.0, 1.0]
    )
    observe(method, [1.0, 1.0], [True, True])
    # λ = 1.5, 0.5: the warm-up weighs log losses by it.
    present, losses = [True, True], np.array([2.0, 4.0])
    warm = weights_of(method, losses, present)
    np.testing.assert_allclose(warm, [1.5 / 2, 0.5 / 4])
    method.on_epoch_end()
    # 2^{1.5/.5} = 8 against 4^{.5/.5} = 4.
    value, weights = loss_and_gradient(method, losses, present)
    np.testing.assert_allclose(value, 2 * 0.5 * math.log(12))
    np.testing.assert_allclose(
        weights, [2 * 1.5 * 8 / 12 / 2, 2 * 0.5 * 4 / 12 / 4]
    )


def test_stch_between_its_limits():
    def at(mu):
        method = built("smooth_tchebycheff", mu=mu, warmup_epochs=0)
        observe(method, [1.0, 1.0, 1.0])
        method.on_epoch_end()
        return loss_and_gradient(method, LOSSES)

    value, weights = at(1e-9)
    # Three times the largest log loss.
    np.testing.assert_allclose(value, 3 * math.log(1.9), rtol=1e-6)
    np.testing.assert_allclose(weights, [0, 3 / 1.9, 0], rtol=1e-12)
    _, weights = at(1e9)
    np.testing.assert_allclose(weights, 1 / LOSSES, rtol=1e-8)


def test_stch_waits_for_the_nadir_of_each_present_task():
    method = built("smooth_tchebycheff", warmup_epochs=0)
    observe(method, LOSSES, [True, True, False])
    method.on_epoch_end()
    np.testing.assert_allclose(weights_of(method, LOSSES), 1 / LOSSES)
    two = weights_of(method, [2.0, 1.9, 0.4], [True, True, False])
    ratio = np.array([2.0 / 0.7, 1.0])
    np.testing.assert_allclose(
        two[:2] * [2.0, 1.9], 2 * ratio / ratio.sum(), rtol=1e-6
    )
    observe(method, LOSSES, [False, False, True])
    method.on_epoch_end()
    assert not np.allclose(weights_of(method, [1.0, 1, 1]), 1)


# Preferences


@pytest.mark.parametrize("name", STEERED)
@pytest.mark.parametrize(
    "preference",
    [2.0, [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], "even", [[1.0]]],
)
def test_a_preference_is_a_positive_number_for_each_task(name, preference):
    with pytest.raises(ValueError, match="`preference` must be"):
        balancers.get(name, preference=preference)


@pytest.mark.parametrize("name", STEERED)
def test_a_preference_is_needed(name):
    with pytest.raises(ValueError, match="needs `preference`"):
        balancers.get(name)
    with pytest.raises(ValueError, match="one number for each of the 3 tasks"):
        built(name, preference=[1.0, 2.0])


@pytest.mark.parametrize("name", [*STEERED, "smooth_tchebycheff"])
def test_only_the_proportions_of_a_preference_count(name):
    small = built(name, preference=[0.1, 0.2, 0.5])
    large = built(name, preference=[1e3, 2e3, 5e3])
    weights = weights_of(small, LOSSES)
    np.testing.assert_allclose(weights_of(large, LOSSES), weights, rtol=1e-12)


@pytest.mark.parametrize("name", [*STEERED, "smooth_tchebycheff"])
def test_a_preference_by_task(name):
    method = balancers.get(name, preference={"b": 5.0, "a": 1.0})
    config = json.loads(json.dumps(balancers.serialize(method)))
    method = balancers.get(config)
    method.bind(TaskSet([Task("a", "binary"), Task("b", "binary")]))
    method.build((2,))
    listed = built(name, 2, preference=[1.0, 5.0])
    losses, present = [0.7, 1.9], [True, True]
    np.testing.assert_array_equal(
        weights_of(method, losses, present), weights_of(listed, losses, present)
    )


def lowest(method, first, second):
    """Where on a curve of two losses the objective is least."""
    present = tf.constant([True, True])

    @tf.function
    def along(points):
        return tf.map_fn(lambda losses: method.loss(losses, present), points)

    return int(np.argmin(along(tf.constant(np.stack([first, second], axis=1)))))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # c₁ L₁ = c₂ L₂, so that the larger preference gets the smaller loss.
        ("preference_tchebycheff", {"preference": [4.0, 1.0]}),
        # L₁ : L₂ = c₁ : c₂.
        ("pbi", {"preference": [1.0, 4.0]}),
        ("cosmos", {"preference": [1.0, 4.0], "lambda_": 100.0}),
    ],
)
def test_a_preference_picks_the_point_of_the_front(name, arguments):
    x = np.linspace(0, 1, 601)
    # L₂ = 4 L₁ at x = 1/3.
    best = lowest(built(name, 2, **arguments), x**2, (1 - x) ** 2)
    assert x[best] == pytest.approx(1 / 3, abs=0.01)


def test_tchebycheff_reaches_a_concave_front():
    x = np.linspace(-1, 1, 401)
    first, second = 1 - np.exp(-((x - 1) ** 2)), 1 - np.exp(-((x + 1) ** 2))
    method = built("preference_tchebycheff", 2, preference=[1.0, 1.0])
    assert x[lowest(method, first, second)] == pytest.approx(0, abs=0.006)
    # The sum of the losses is least near the ends.
    assert abs(x[lowest(built("fixed", 2), first, second)]) > 0.9


def test_tchebycheff_shares_among_ties():
    method = built("preference_tchebycheff", preference=[1.0, 1.0, 2.0])
    value, weights = loss_and_gradient(method, np.array([2.0, 2.0, 1.0]))
    assert value == 0.5
    np.testing.assert_allclose(weights, [1 / 12, 1 / 12, 1 / 6])
    tied = weights_of(method, [2.0, 2.0, 1.0])
    np.testing.assert_allclose(tied, weights, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pbi_on_the_ray_is_a_weighted_sum(dtype):
    preference = np.array([0.1, 0.7, 0.3])
    method = built("pbi", preference=list(preference))
    for scale in (1e-30, 1.0, 1e30):
        value, weights = loss_and_gradient(
            method, preference * scale, dtype=dtype
        )
        length = np.linalg.norm(preference)
        np.testing.assert_allclose(weights, preference / length, rtol=1e-6)
        np.testing.assert_allclose(value, length * scale, rtol=1e-6)


def test_cosmos_on_the_ray_is_a_weighted_sum():
    method = built("cosmos", preference=[1.0, 2.0, 5.0], lambda_=4.0)
    value, weights = loss_and_gradient(method, np.array([0.1, 0.2, 0.5]))
    np.testing.assert_allclose(weights, [1 / 8, 1 / 4, 5 / 8], rtol=1e-12)
    assert value == pytest.approx(0.3 / 0.8 - 4)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("dynamic_task_priority", {"alpha": 0.0}, "`alpha` must be in"),
        ("dynamic_task_priority", {"gamma": -1.0}, "`gamma` must be"),
        ("imtl_loss", {"bound": 0.0}, "`bound` must be positive"),
        ("soft_optimal_uncertainty", {"temperature": 0}, "`temperature`"),
        ("smooth_tchebycheff", {"mu": 0}, "`mu` must be positive"),
        ("smooth_tchebycheff", {"warmup_epochs": 1.5}, "`warmup_epochs`"),
        ("pbi", {**PREFERENCE, "theta": -1}, "`theta` must be 0 or more"),
        ("pbi", {**PREFERENCE, "ideal": "low"}, "`ideal` must be"),
        ("cosmos", {**PREFERENCE, "lambda_": -1}, "`lambda_` must be 0"),
    ],
)
def test_bad_arguments_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        balancers.get(name, **arguments)
