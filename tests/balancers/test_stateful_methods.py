"""Methods that remember: their recursions, against NumPy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.optimize import brentq

from keras_mtl.balancers import (
    DBMTL,
    FAMO,
    ExcessMTL,
    MoCo,
    MoDo,
    SDMGrad,
    aggregate,
)

STEPS = 12


@pytest.fixture(autouse=True)
def float64_state():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def stream(num_tasks=4, columns=6, steps=STEPS):
    """Jacobians and losses of a training run, each task at its own scale."""
    rng = np.random.default_rng(num_tasks)
    scales = np.geomspace(0.3, 2.0, num_tasks)[:, None]
    for k in range(steps):
        rows = scales * (rng.normal(size=(num_tasks, columns)) + 0.3)
        yield rows, np.exp(rng.normal(size=num_tasks) - 0.1 * k)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def project(point):
    """The nearest point of the simplex, by bisection."""
    level = brentq(
        lambda level: np.maximum(point - level, 0).sum() - 1,
        point.max() - 2,
        point.max(),
        xtol=1e-15,
    )
    return np.maximum(point - level, 0)


def check(method, reference, atol=1e-9):
    """Compares directions and weights over a run, step by step."""
    for k, (rows, losses) in enumerate(stream()):
        direction, weights = aggregate(method, rows, losses=losses)
        expected_direction, expected_weights = reference(rows, losses)
        np.testing.assert_allclose(
            weights, expected_weights, atol=atol, err_msg=f"step {k}"
        )
        np.testing.assert_allclose(
            direction, expected_direction, atol=atol, err_msg=f"step {k}"
        )


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_famo_recursion_with_the_next_batch(optimizer):
    bounds, rate, decay = np.array([0.0, 0.01, 0.0, 0.02]), 0.1, 0.01
    state = {"xi": np.zeros(4), "m": 0.0, "v": 0.0, "k": 0}

    def reference(rows, losses):
        above = losses - bounds + 1e-8
        if "above" in state:
            z = softmax(state["xi"])
            jacobian = np.diag(z) - np.outer(z, z)
            delta = jacobian.T @ (np.log(state["above"]) - np.log(above))
            step = delta + decay * state["xi"]
            if optimizer == "adam":
                state["k"] += 1
                state["m"] = 0.9 * state["m"] + 0.1 * step
                state["v"] = 0.999 * state["v"] + 0.001 * step**2
                mean = state["m"] / (1 - 0.9 ** state["k"])
                step = mean / (
                    np.sqrt(state["v"] / (1 - 0.999 ** state["k"])) + 1e-8
                )
            state["xi"] = state["xi"] - rate * step
        state["above"] = above
        scores = softmax(state["xi"]) / above
        weights = scores / scores.sum()
        return rows.T @ weights, weights

    method = FAMO(
        learning_rate=rate,
        weight_decay=decay,
        min_losses=bounds.tolist(),
        losses_after="next_batch",
        optimizer=optimizer,
    )
    check(method, reference)


def test_famo_recursion_with_the_same_batch():
    method, xi = FAMO(learning_rate=0.1, optimizer="sgd"), np.zeros(3)
    assert method.looks_again
    method.build((3,))
    present = ops.ones((3,), dtype="bool")
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        before, after = np.exp(rng.normal(size=(2, 3)))
        total = method.loss(ops.array(before), present)
        z = softmax(xi)
        weights = z / before / (z / before).sum()
        np.testing.assert_allclose(total, weights @ before, rtol=1e-6)
        method.observe_again(ops.array(after), present)
        delta = (np.diag(z) - np.outer(z, z)) @ np.log(before / after)
        xi = xi - 0.1 * (delta + 1e-3 * xi)
        np.testing.assert_allclose(method.logits, xi, atol=1e-7)


@pytest.mark.parametrize("losses_after", ["same_batch", "next_batch"])
def test_famo_makes_log_losses_fall_at_one_rate(losses_after):
    # L_t = s_t x_t², curved differently: plain descent is 30 times as fast on
    # the last as on the first.
    curvatures = np.array([0.1, 0.6, 3.0])
    method = FAMO(learning_rate=0.05, losses_after=losses_after)
    method.build((3,))
    present = ops.ones((3,), dtype="bool")

    @tf.function(autograph=False)
    def step(x):
        losses = curvatures * x**2
        method.loss(losses, present)
        weights = method.task_weights(losses, present)
        x = x - 0.003 * weights * 2 * curvatures * x
        if method.looks_again:
            method.observe_again(curvatures * x**2, present)
        return x

    xs = [tf.ones(3, "float64")]
    for _ in range(1200):
        xs.append(step(xs[-1]))
    rates = 2 * np.log(xs[500] / xs[-1])
    assert (rates > 0.5).all()
    np.testing.assert_allclose(rates / rates.mean(), np.ones(3), atol=0.1)


def test_famo_leaves_a_task_without_a_last_loss_alone():
    method = FAMO(losses_after="next_batch")
    jacobian = np.ones((3, 1))
    aggregate(method, jacobian, [1.0, 1.0, 1.0], present=[True, False, True])
    aggregate(method, jacobian, [0.5, 0.1, 0.9])
    logits = np.asarray(method.logits)
    assert logits[1] == 0
    assert logits[0] < 0 < logits[2]


def test_famo_bears_losses_below_their_bounds():
    method = FAMO(min_losses=0.5, losses_after="next_batch")
    for losses in ([0.4, 1.0], [0.3, 0.9], [0.6, 0.8]):
        _, weights = aggregate(method, np.eye(2), losses=losses)
        assert np.isfinite(weights).all()
        assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("warmup_steps", [1, 3])
def test_excess_mtl_recursion(warmup_steps):
    state = {"sums": np.zeros((4, 6)), "w": np.full(4, 0.25), "first": []}

    def reference(rows, losses):
        state["sums"] += rows**2
        excess = (rows**2 / np.sqrt(state["sums"] + 1e-7)).sum(axis=1)
        if len(state["first"]) < warmup_steps:
            state["first"].append(excess)
        else:
            ratios = excess / np.mean(state["first"], axis=0)
            state["w"] = state["w"] * np.exp(0.5 * ratios)
            state["w"] /= state["w"].sum()
        return rows.T @ state["w"], state["w"]

    check(ExcessMTL(0.5, warmup_steps), reference)


def test_excess_mtl_turns_from_noise_to_what_can_be_learned():
    # The noisy task's gradients only change their signs, those of the other
    # stay and then shrink; the noisy loss is the larger throughout.
    rng, method = np.random.default_rng(0), ExcessMTL(0.05)
    for k in range(60):
        noise = 10.0 * rng.choice([-1.0, 1.0], size=20)
        rows = np.stack([noise / (1 + 0.2 * k), np.ones(20)])
        _, weights = aggregate(method, rows)
    assert weights[1] > 0.6


@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_db_mtl_recursion(sigma):
    state = {"mean": np.zeros((4, 6)), "k": 0}

    def reference(rows, losses):
        state["k"] += 1
        beta = 0.9 / state["k"] ** sigma
        new = rows / (losses[:, None] + 1e-8)
        state["mean"] = beta * state["mean"] + (1 - beta) * new
        lengths = np.linalg.norm(state["mean"], axis=1)
        weights = lengths.max() / lengths
        return state["mean"].T @ weights, weights

    check(DBMTL(beta_sigma=sigma), reference)


def test_db_mtl_makes_all_tracked_gradients_as_long_as_the_longest():
    method = DBMTL()
    for rows, losses in stream():
        _, weights = aggregate(method, rows, losses=losses)
        tracked = np.asarray(method.tracks[0])
        lengths = np.linalg.norm(tracked, axis=1)
        np.testing.assert_allclose(weights * lengths, lengths.max())


def test_db_mtl_s_heads_descend_log_losses():
    method, losses = DBMTL(), np.array([0.5, 4.0, 3.0])
    method.build((3,))
    factors = method.head_weights(
        ops.ones((3,)), ops.array(losses), ops.array([True, True, False])
    )
    np.testing.assert_allclose(factors, [2.0, 0.25, 0.0], rtol=1e-6)


def test_db_mtl_does_not_see_the_scale_of_a_loss():
    one, other = DBMTL(), DBMTL()
    scales = np.array([1.0, 100.0, 0.01, 7.0])
    for rows, losses in stream():
        direction, _ = aggregate(one, rows, losses=losses)
        scaled, _ = aggregate(
            other, scales[:, None] * rows, losses=scales * losses
        )
        np.testing.assert_allclose(direction, scaled, rtol=1e-4)


def test_moco_recursion():
    state = {"y": np.zeros((4, 6)), "w": np.full(4, 0.25), "k": 0}

    def reference(rows, losses):
        state["k"] += 1
        beta, gamma = 0.8 / state["k"] ** 0.5, 0.05 / state["k"] ** 0.3
        state["y"] = state["y"] - beta * (state["y"] - rows)
        slope = (state["y"] @ state["y"].T + 0.2 * np.eye(4)) @ state["w"]
        state["w"] = project(state["w"] - gamma * slope)
        return state["y"].T @ state["w"], state["w"]

    check(MoCo(beta=0.8, gamma=0.05, gamma_sigma=0.3, rho=0.2), reference)


def test_moco_settles_at_the_min_norm_weights():
    method = MoCo(gamma=0.01, gamma_sigma=0.0)
    rng = np.random.default_rng(0)
    rows = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    for _ in range(150):
        noisy = rows + 0.3 * rng.normal(size=rows.shape)
        _, weights = aggregate(method, noisy)
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()
    np.testing.assert_allclose(weights, [0.6, 0.4], atol=0.02)


def test_modo_recursion():
    state = {"w": np.full(4, 0.25)}

    def reference(rows, losses):
        slope = rows @ (rows.T @ state["w"]) + 0.3 * state["w"]
        state["w"] = project(state["w"] - 0.02 * slope)
        return rows.T @ state["w"], state["w"]

    check(MoDo(gamma=0.02, rho=0.3), reference)


def test_modo_takes_a_product_that_is_not_symmetric():
    rng = np.random.default_rng(1)
    product, weights = rng.normal(size=(3, 3)), np.full(3, 1 / 3)
    method, present = MoDo(), ops.ones((3,), dtype="bool")
    assert method.double_sampled
    method.build((3,))
    for _ in range(5):
        found = method.task_weights(ops.array(product), None, present)
        weights = project(weights - 0.1 * (product @ weights + 0.1 * weights))
        np.testing.assert_allclose(found, weights, atol=1e-9)


@pytest.mark.parametrize("rescale", [False, True])
def test_sdmgrad_recursion(rescale):
    state = {"w": np.full(4, 0.25)}

    def reference(rows, losses):
        gram = rows @ rows.T
        gram = gram / np.sqrt(np.diag(gram)).mean() ** 2
        velocity = np.zeros(4)
        for _ in range(7):
            slope = gram @ (state["w"] + 0.4 * np.full(4, 0.25))
            velocity = 0.5 * velocity + slope
            state["w"] = project(state["w"] - 0.3 * velocity)
        weights = state["w"] + 0.4 * 0.25
        weights = weights / 1.4 if rescale else weights
        return rows.T @ weights, weights

    method = SDMGrad(0.4, learning_rate=0.3, n_iter=7, rescale=rescale)
    check(method, reference)


def test_sdmgrad_minimizes_what_the_paper_does():
    rows = next(stream())[0]
    method = SDMGrad(learning_rate=0.1, n_iter=400)
    direction, weights = aggregate(method, rows)
    # At argmin ½‖Jᵀw + λ g₀‖² every g_tᵀd is at least the mean under w.
    products, point = rows @ direction, weights - 0.3 / 4
    assert (products >= point @ products - 1e-9).all()
    np.testing.assert_allclose(point.sum(), 1)


def test_sdmgrad_bears_products_of_samples_that_disagree():
    method, present = SDMGrad(), ops.ones((2,), dtype="bool")
    method.build((2,))
    product = ops.array([[-1.0, 2.0], [0.5, -3.0]])
    weights = np.asarray(method.task_weights(product, None, present))
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1.3)


@pytest.mark.parametrize("method", [MoDo, SDMGrad, MoCo, DBMTL, ExcessMTL])
def test_gradients_at_the_features_are_refused(method):
    with pytest.raises(ValueError, match=r"`wrt` of .* must be 'variables'"):
        method(wrt="features")


@pytest.mark.parametrize(
    "method", [FAMO(losses_after="next_batch"), ExcessMTL(0.5), MoCo(), MoDo()]
)
def test_an_absent_task_comes_back_with_the_share_it_had(method):
    rng = np.random.default_rng(5)

    def step(present):
        return aggregate(
            method,
            0.1 + rng.uniform(size=(3, 4)) * [[1.0], [2.0], [3.0]],
            losses=np.exp(rng.normal(size=3)),
            present=present,
        )[1]

    for _ in range(4):
        step([True, True, True])
    state = [np.array(v)[1] for v in method.weights]
    for _ in range(3):
        weights = step([True, False, True])
        assert weights[1] == 0
        assert weights.sum() == pytest.approx(1)
    for value, old in zip(method.weights, state, strict=True):
        np.testing.assert_array_equal(np.array(value)[1], old)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (FAMO, {"learning_rate": 0}),
        (FAMO, {"weight_decay": -1}),
        (FAMO, {"losses_after": "batch"}),
        (FAMO, {"optimizer": "rmsprop"}),
        (FAMO, {"min_losses": "none"}),
        (ExcessMTL, {"robust_step_size": 0}),
        (ExcessMTL, {"warmup_steps": 0}),
        (DBMTL, {"beta": 1}),
        (DBMTL, {"beta_sigma": -1}),
        (MoCo, {"beta": 0}),
        (MoCo, {"gamma": -1}),
        (MoDo, {"gamma": 0}),
        (MoDo, {"rho": -1}),
        (SDMGrad, {"lambda_": -1}),
        (SDMGrad, {"learning_rate": 0}),
        (SDMGrad, {"momentum": 1}),
        (SDMGrad, {"n_iter": 0}),
    ],
)
def test_bad_arguments(method, arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}`"):
        method(**arguments)
