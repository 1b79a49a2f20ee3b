"""Balancers that wrap others, against the same worked out in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import Task, balancers
from keras_mtl.balancers import (
    MGDA,
    DynamicWeightAverage,
    Fixed,
    GradientBalancer,
    GradientNormalization,
    GradNorm,
    LossBalancer,
    Momentum,
    PCGrad,
    TaskGroups,
    TrackingBalancer,
    aggregate,
)
from keras_mtl.tasks import TaskSet

LOSSES = np.array([0.7, 1.9, 0.4, 1.1])
METHODS = ("mgda", "cagrad", "imtlg", "fixed")


@keras.saving.register_keras_serializable(package="tests")
class HeadsByLoss(GradientBalancer):
    """Weights that grow with the tasks' numbers; heads by the loss."""

    needs_losses = True

    def task_weights(self, gram, losses, present):
        numbers = ops.cast(ops.arange(self.num_tasks), gram.dtype)
        return ops.where(present, 1.0 + numbers, 0.0 * numbers)

    def head_weights(self, weights, losses, present):
        return weights * losses


@keras.saving.register_keras_serializable(package="tests")
class TwoSamples(GradientBalancer):
    """Stands for methods of two samples."""

    double_sampled = True
    exact_only = "it needs both samples"

    def task_weights(self, gram, losses, present):
        return gram[0]


@keras.saving.register_keras_serializable(package="tests")
class Tracking(TrackingBalancer):
    """Stands for methods that keep gradients."""


@keras.saving.register_keras_serializable(package="tests")
class LookingAgain(LossBalancer):
    """Stands for methods that look at the losses again."""

    looks_again = True


@keras.saving.register_keras_serializable(package="tests")
class Learned(LossBalancer):
    """Stands for weights that the optimizer learns."""

    def build(self, input_shape):
        self.add_weight(shape=input_shape)
        super().build(input_shape)


def matrix(num_tasks=4, seed=0):
    return np.random.default_rng(seed).normal(size=(num_tasks, 9))


def task_set(*names):
    return TaskSet([Task(name, "regression") for name in names])


def steps(method, matrices, **kwargs):
    return [
        aggregate(method, rows, LOSSES[: len(rows)], **kwargs)[1]
        for rows in matrices
    ]


# ------------------------------------------------------------------ momentum


@pytest.mark.parametrize("inner", METHODS)
def test_momentum_is_a_running_average(inner):
    matrices = [matrix(seed=seed) for seed in range(5)]
    instant = steps(inner, matrices)
    expected = instant[0]
    smooth = steps(Momentum(inner, alpha=0.7), matrices)
    np.testing.assert_allclose(smooth[0], expected)
    for weights, new in zip(smooth[1:], instant[1:], strict=True):
        expected = 0.7 * expected + 0.3 * new
        np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-7)


def test_momentum_nears_the_weights_geometrically():
    first, then = matrix(seed=1), matrix(seed=2)
    goal = aggregate("mgda", then)[1]
    smooth = steps(Momentum("mgda"), [first] + [then] * 20)
    gap = np.linalg.norm(smooth[0] - goal)
    for k, weights in enumerate(smooth):
        np.testing.assert_allclose(
            np.linalg.norm(weights - goal), 0.9**k * gap, rtol=1e-4
        )


def test_without_momentum_it_is_the_inner_method():
    matrices = [matrix(seed=seed) for seed in range(3)]
    np.testing.assert_array_equal(
        steps(Momentum("cagrad", alpha=0), matrices), steps("cagrad", matrices)
    )


def test_momentum_of_an_absent_task_waits():
    rows, method = matrix(2), Momentum(Fixed([2.0, 3.0]), alpha=0.5)
    late = [True, False]
    assert steps(method, [rows], present=late)[0].tolist() == [2.0, 0.0]
    # It starts at its first weight, not at half of it.
    assert steps(method, [rows])[0].tolist() == [2.0, 3.0]
    method.inner[0].coefficients = [4.0, 7.0]
    assert steps(method, [rows], present=late)[0].tolist() == [3.0, 0.0]
    assert steps(method, [rows])[0].tolist() == [3.5, 5.0]


def test_momentum_moves_the_state_of_a_loss_balancer():
    smooth, instant = Momentum("dynamic_weight_average"), DynamicWeightAverage()
    average = np.ones(2)
    for losses in ([1.0, 1.0], [1.0, 0.5], [0.9, 0.1]):
        _, weights = aggregate(smooth, matrix(2), losses)
        _, new = aggregate(instant, matrix(2), losses)
        average = 0.9 * average + 0.1 * new
        np.testing.assert_allclose(weights, average, rtol=1e-6)
        smooth.on_epoch_end()
        instant.on_epoch_end()
    assert not np.allclose(average, 1.0, atol=1e-3)


# ------------------------------------------------------------- normalization


@pytest.mark.parametrize("inner", METHODS)
@pytest.mark.parametrize("normalize", ["l2", "loss", "loss+"])
def test_normalization_divides_the_rows(inner, normalize):
    rows = matrix() * np.array([1.0, 30.0, 0.02, 5.0])[:, None]
    lengths = np.linalg.norm(rows, axis=1)
    scales = {"l2": lengths, "loss": LOSSES, "loss+": LOSSES * lengths}
    divided = rows / scales[normalize][:, None]
    expected, inner_weights = aggregate(inner, divided, LOSSES)
    direction, weights = aggregate(
        GradientNormalization(inner, normalize), rows, LOSSES
    )
    np.testing.assert_allclose(direction, expected, rtol=1e-9)
    np.testing.assert_allclose(
        weights * scales[normalize], inner_weights, rtol=1e-9
    )


@pytest.mark.parametrize("normalize", ["l2", "loss"])
def test_normalized_directions_do_not_know_the_scale_of_a_loss(normalize):
    rows, factors = matrix(), np.array([1.0, 100.0, 0.01, 7.0])
    method = GradientNormalization("cagrad", normalize)
    before, _ = aggregate(method, rows, LOSSES)
    after, _ = aggregate(method, rows * factors[:, None], LOSSES * factors)
    np.testing.assert_allclose(after, before, rtol=1e-9)
    plain, _ = aggregate("cagrad", rows * factors[:, None])
    assert not np.allclose(plain, before, rtol=0.1)


def test_normalized_mgda_differs_by_its_length_alone():
    rows = 10.0 * matrix()
    own, weights = aggregate(MGDA("l2"), rows)
    wrapped, _ = aggregate(GradientNormalization("mgda"), rows)
    assert np.linalg.norm(wrapped) <= 1.0 < np.linalg.norm(own)
    np.testing.assert_allclose(
        own / np.linalg.norm(own), wrapped / np.linalg.norm(wrapped)
    )
    assert weights.sum() == pytest.approx(1.0)


def test_a_normalized_method_of_losses_weighs_heads_without_the_scale():
    method, rows = GradientNormalization(Fixed([2.0, 3.0])), matrix(2)
    _, weights = aggregate(method, rows, LOSSES[:2])
    present = ops.convert_to_tensor([True, True])
    np.testing.assert_allclose(
        weights, [2.0, 3.0] / np.linalg.norm(rows, axis=1)
    )
    heads = method.head_weights(weights, LOSSES[:2], present)
    np.testing.assert_allclose(heads, [2.0, 3.0])


# -------------------------------------------------------------------- groups

GROUPS = [[3, 0], [2], [5, 1, 4]]


@pytest.mark.parametrize(
    ("within", "across"),
    [
        pytest.param(
            within,
            across,
            # Each method stands once inside and once outside.
            marks=[] if (i + 1 - j) % len(METHODS) == 0 else pytest.mark.slow,
        )
        for i, within in enumerate(METHODS)
        for j, across in enumerate(METHODS)
    ],
)
def test_groups_are_tasks_of_their_own(within, across):
    rows, losses = matrix(6), np.linspace(0.5, 2.0, 6)
    method = TaskGroups(GROUPS, within, across)
    expected = np.zeros(6)
    group_rows, group_losses = [], []
    for group in GROUPS:
        row, expected[group] = aggregate(within, rows[group], losses[group])
        group_rows.append(row)
        group_losses.append(expected[group] @ losses[group])
    expected_direction, u = aggregate(
        across, np.stack(group_rows), np.stack(group_losses)
    )
    for group, weight in zip(GROUPS, u, strict=True):
        expected[group] *= weight
    direction, weights = aggregate(method, rows, losses)
    np.testing.assert_allclose(weights, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(direction, expected_direction, atol=1e-8)


def test_groups_of_one_task_each_are_the_outer_method():
    rows = matrix()
    alone = aggregate("cagrad", rows)[1]
    grouped = TaskGroups([[1], [3], [0], [2]], across="cagrad")
    np.testing.assert_allclose(aggregate(grouped, rows, LOSSES)[1], alone)


def test_one_group_is_the_inner_method():
    rows = matrix()
    alone = aggregate("cagrad", rows)[1]
    grouped = TaskGroups([range(4)], "cagrad", "fixed")
    np.testing.assert_allclose(aggregate(grouped, rows, LOSSES)[1], alone)


def test_a_group_without_a_present_task_is_absent():
    rows, groups = matrix(), [[0, 2], [1, 3]]
    present = [False, True, False, True]
    _, weights = aggregate(
        TaskGroups(groups, across="mgda"), rows, LOSSES, present
    )
    # Alone, the other group keeps its whole direction.
    assert weights.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_groups_see_losses_of_their_tasks():
    method = TaskGroups([[0, 1], [2]], Fixed([2.0]), GradNorm(alpha=1.0))
    with pytest.raises(ValueError, match="one number for each of the 2 tasks"):
        aggregate(method, matrix(3), LOSSES[:3])
    method = TaskGroups([[0, 1], [2]], Fixed(2.0), GradNorm(alpha=1.0))
    aggregate(method, matrix(3), LOSSES[:3])
    initial = method.across.initial_losses
    np.testing.assert_allclose(initial, [2 * (0.7 + 1.9), 2 * 0.4], rtol=1e-6)


def test_arguments_by_name_inside_groups():
    method = TaskGroups(
        {"near": ["c", "a"], "far": ["b"]},
        within=[Fixed({"a": 2.0, "c": 3.0}), "fixed"],
        across=Fixed({"far": 5.0, "near": 7.0}),
    )
    method.bind(task_set("a", "b", "c"))
    _, weights = aggregate(method, matrix(3), LOSSES[:3])
    assert weights.tolist() == [14.0, 5.0, 21.0]
    assert method.get_config()["groups"] == {"near": ["c", "a"], "far": ["b"]}
    logged = float(method.logged_loss(LOSSES[:3]))
    assert logged == pytest.approx(14.0 * 0.7 + 5.0 * 1.9 + 21.0 * 0.4)


def test_each_group_has_a_method_of_its_own():
    inner = GradNorm(learning_rate=0.5)
    method = TaskGroups([[0, 1], [2, 3]], inner, "fixed")
    aggregate(method, matrix(), LOSSES)
    first, second = (m.balance.numpy() for m in method.within)
    assert inner not in method.within
    assert [m.learning_rate for m in method.within] == [0.5, 0.5]
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("within", "across", "expected"),
    [
        ("mgda", "imtlg", None),
        (HeadsByLoss(), "mgda", [0.7, 2 * 1.9, 0.4, 2 * 1.1]),
        (Fixed(2.0), "mgda", [2.0, 2.0, 2.0, 2.0]),
        (Fixed(2.0), Fixed([3.0, 5.0]), [6.0, 6.0, 10.0, 10.0]),
        ("fixed", HeadsByLoss(), [2.6, 2.6, 3.0, 3.0]),
    ],
)
def test_heads_are_scaled_where_a_method_scales_them(within, across, expected):
    method = TaskGroups([[0, 1], [2, 3]], within, across)
    _, weights = aggregate(method, matrix(), LOSSES)
    heads = method.head_weights(weights, LOSSES, ops.ones((4,), "bool"))
    if expected is None:
        assert heads is None
    else:
        np.testing.assert_allclose(heads, expected, rtol=1e-6)


def test_momentum_scales_heads_as_the_inner_method():
    weights, present = np.array([2.0, 3.0]), ops.ones((2,), "bool")
    for inner, expected in (
        ("mgda", None),
        ("fixed", [2.0, 3.0]),
        (HeadsByLoss(), [1.4, 5.7]),
    ):
        heads = Momentum(inner).head_weights(weights, LOSSES[:2], present)
        if expected is None:
            assert heads is None
        else:
            np.testing.assert_allclose(heads, expected)


# ---------------------------------------------------------- what is passed on

WRAPPERS = {
    "momentum": Momentum,
    "normalization": lambda inner, **kwargs: GradientNormalization(
        inner, "none", **kwargs
    ),
    "groups": lambda inner, **kwargs: TaskGroups(
        [[0, 1]], inner, inner, **kwargs
    ),
}


@pytest.fixture(params=WRAPPERS)
def wrap(request):
    return WRAPPERS[request.param]


def test_where_and_how_often_is_the_inner_method_s(wrap):
    inner = PCGrad(wrt="features", update_every=4)
    assert (wrap(inner).wrt, wrap(inner).update_every) == ("features", 4)
    own = wrap(inner, wrt="variables", update_every=2)
    assert (own.wrt, own.update_every) == ("variables", 2)
    config = own.get_config()
    assert (config["wrt"], config["update_every"]) == ("variables", 2)
    assert wrap("gradnorm").wrt == "features"
    assert wrap("fixed").wrt == "variables"


def test_groups_take_the_costlier_of_two():
    method = TaskGroups(
        [[0]],
        MGDA(wrt="features", update_every=4),
        MGDA(update_every=8),
    )
    assert (method.wrt, method.update_every) == ("variables", 4)


def test_needs_are_passed_on(wrap):
    assert wrap("mgda").needs_gradients
    assert not wrap("mgda").needs_losses
    assert wrap("gradnorm").needs_losses
    assert wrap("fixed").needs_losses
    assert wrap(MGDA("loss")).needs_positive_losses
    assert not wrap("fixed").needs_positive_losses
    assert wrap(TwoSamples()).double_sampled
    assert wrap(TwoSamples()).exact_only == "it needs both samples"
    assert not wrap("mgda").double_sampled
    with pytest.raises(ValueError, match="'variables': it needs both samples"):
        wrap(TwoSamples(), wrt="features")


def test_gradients_are_needed_if_a_method_inside_needs_them():
    assert not Momentum("fixed").needs_gradients
    assert not Momentum(Momentum("fixed")).needs_gradients
    assert not TaskGroups([[0]], "fixed", Momentum("fixed")).needs_gradients
    assert TaskGroups([[0]], "fixed", "mgda").needs_gradients
    assert TaskGroups([[0]], "mgda", "fixed").needs_gradients
    assert GradientNormalization("fixed").needs_gradients
    assert GradientNormalization("fixed", "loss").needs_positive_losses


@pytest.mark.parametrize(
    "method",
    [
        Momentum(Fixed([2.0, 3.0])),
        TaskGroups([[0], [1]], [Fixed(2.0), "fixed"], Fixed([1.0, 3.0])),
    ],
)
def test_without_gradients_weights_come_from_losses(method):
    method.build((2,))
    losses = ops.convert_to_tensor(LOSSES[:2].astype("float32"))
    weights = method.task_weights(None, losses, ops.ones((2,), "bool"))
    assert ops.convert_to_numpy(weights).tolist() == [2.0, 3.0]
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"


def test_state_inside_is_state_of_the_wrapper(wrap):
    method, other = wrap("gradnorm"), wrap("gradnorm")
    for _ in range(3):
        aggregate(method, matrix(2), LOSSES[:2])
    inside = {id(v) for b in method.inner for v in b.weights}
    assert len(inside) in (3, 6)
    assert inside < {id(v) for v in method.weights}
    assert not method.trainable_variables
    other.build((2,))
    other.set_weights(method.get_weights())
    np.testing.assert_array_equal(
        aggregate(method, matrix(2), LOSSES[:2])[1],
        aggregate(other, matrix(2), LOSSES[:2])[1],
    )


def test_epochs_end_inside(wrap):
    method = wrap("dynamic_weight_average")
    aggregate(method, matrix(2), LOSSES[:2])
    method.on_epoch_end()
    for inner in method.inner:
        assert (inner.epochs_seen.numpy() == 1).all()


# ------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("graddrop", "Received: GradDrop, which combines gradients entry by"),
        (Tracking(), "Received: Tracking, which combines gradients of earlier"),
        ("uncertainty", "Received: Uncertainty, which has an objective of its"),
        (LookingAgain(), "Received: LookingAgain, which looks at the losses a"),
        ("mdga", "no balancer named 'mdga'.*mean 'mgda'"),
    ],
)
def test_methods_without_weights_are_refused(wrap, inner, message):
    with pytest.raises(ValueError, match=message):
        wrap(inner)


def test_learned_weights_are_refused_when_they_are_known(wrap):
    method = wrap(Learned())
    with pytest.raises(ValueError, match="Learned, which has weights that the"):
        method.build((2,))


def test_an_inner_method_of_another_size_is_refused():
    inner = MGDA()
    inner.build((3,))
    with pytest.raises(ValueError, match=r"built for 3 tasks and .* balance 2"):
        Momentum(inner).build((2,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Momentum("mgda", alpha=1.0), r"`alpha` must lie in \[0, 1\)"),
        (lambda: balancers.get("momentum"), "needs `balancer`"),
        (
            lambda: GradientNormalization("mgda", "max"),
            "`normalize` must be one of none, l2",
        ),
        (
            lambda: GradientNormalization(TwoSamples()),
            "`normalize` must be 'none' or 'loss' for TwoSamples",
        ),
        (lambda: TaskGroups([0, 1]), "must be a list of lists of tasks"),
        (lambda: TaskGroups(["ab"]), "must be a list of lists of tasks"),
        (lambda: TaskGroups([[0], []]), "none may be empty"),
        (lambda: TaskGroups([]), "must be a list of lists of tasks"),
        (lambda: TaskGroups(3), "Received: groups=3"),
        (
            lambda: TaskGroups([[0], [1]], ["mgda"]),
            "a list of one for each of the 2 groups. Received: 1",
        ),
        (
            lambda: TaskGroups([[0]], "mgda", TwoSamples()),
            "must agree on the Gram matrix.* Received: MGDA, TwoSamples",
        ),
    ],
)
def test_wrong_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "groups", [[["a"], ["b", "d"]], [["a", "b"], ["b", "c"]], [["a"], ["b"]]]
)
def test_groups_hold_each_task_once(groups):
    method = TaskGroups(groups)
    with pytest.raises(
        ValueError, match=r"each of the 3 tasks once: \['a', 'b', 'c'\]"
    ):
        method.bind(task_set("a", "b", "c"))


def test_groups_by_number_hold_each_task_once():
    with pytest.raises(ValueError, match="once: the numbers from 0 to 2"):
        TaskGroups([[0, 1], [3]]).build((3,))
