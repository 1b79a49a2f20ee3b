"""What AlignedMTL, ConFIG and GradVac promise, against a second account."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_mtl.balancers import AlignedMTL, ConFIG, GradVac, PCGrad, aggregate

few = settings(derandomize=True, max_examples=20, deadline=None, database=None)
seeds = st.integers(0, 10**6)


def random_rows(seed, num_tasks=3, columns=8):
    return np.random.default_rng(seed).normal(size=(num_tasks, columns))


def aligned_rows(rows, **kwargs):
    """Each aligned gradient, as the only one that counts."""
    return np.array(
        [
            aggregate(AlignedMTL(preference=one.tolist(), **kwargs), rows)[0]
            for one in np.eye(len(rows))
        ]
    )


@few
@given(seed=seeds, scale_mode=st.sampled_from(["min", "median", "rmse"]))
def test_aligned_gradients_have_one_singular_value(seed, scale_mode):
    rows = random_rows(seed) * [[1.0], [20.0], [0.3]]
    values = np.linalg.svd(rows, compute_uv=False)
    common = {
        "min": values[2],
        "median": values[1],
        "rmse": np.sqrt((values**2).mean()),
    }[scale_mode]
    aligned = aligned_rows(rows, scale_mode=scale_mode)
    np.testing.assert_allclose(
        np.linalg.svd(aligned, compute_uv=False), common, rtol=1e-7
    )
    # Of all such matrices, it is the nearest to J: their product is
    # symmetric and definite.
    product = aligned @ rows.T
    np.testing.assert_allclose(product, product.T, atol=1e-8 * values[0] ** 2)
    assert np.linalg.eigvalsh(product).min() > 0


def test_aligned_duplicates_have_one_component_less():
    rows = random_rows(0)[[0, 1, 0]]
    values = np.linalg.svd(rows, compute_uv=False)[:2]
    found = np.linalg.svd(aligned_rows(rows), compute_uv=False)
    np.testing.assert_allclose(found, [values[1], values[1], 0], atol=1e-7)
    _, weights = aggregate(AlignedMTL(), rows)
    assert weights[0] == pytest.approx(weights[2])


def test_aligned_mean_sum_and_preference():
    rows = random_rows(1)
    aligned = aligned_rows(rows)

    def direction(**kwargs):
        return aggregate(AlignedMTL(**kwargs), rows)[0]

    np.testing.assert_allclose(direction(), aligned.mean(axis=0))
    np.testing.assert_allclose(direction(reduction="sum"), aligned.sum(axis=0))
    np.testing.assert_allclose(
        direction(preference=[1.0, 0.0, 3.0]), (aligned[0] + 3 * aligned[2]) / 4
    )


@few
@given(seed=seeds)
def test_config_has_equal_cosines(seed):
    rows = random_rows(seed) * [[1.0], [1e3], [1e-3]]
    direction, _ = aggregate(ConFIG(), rows)
    length = np.linalg.norm(direction)
    cosines = rows @ direction / np.linalg.norm(rows, axis=1) / length
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-7)
    assert cosines[0] > 0
    # As long as the gradients' projections on it together.
    assert length == pytest.approx((rows @ direction).sum() / length)


@few
@given(seed=seeds, preferred=st.booleans())
@pytest.mark.parametrize("num_tasks", [2, 5, 12])
def test_config_agrees_with_the_pseudo_inverse_of_the_rows(
    num_tasks, seed, preferred
):
    # Twelve rows of eight columns depend on each other.
    rows = random_rows(seed, num_tasks)
    wanted = np.ones(num_tasks)
    if preferred:
        wanted = np.random.default_rng(seed).uniform(size=num_tasks)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    best = np.linalg.pinv(unit) @ wanted
    best /= np.linalg.norm(best)
    method = ConFIG(preference=wanted.tolist())
    direction, _ = aggregate(method, rows)
    np.testing.assert_allclose(
        direction, (rows @ best).sum() * best, rtol=1e-6, atol=1e-7
    )


@few
@given(seed=seeds)
def test_config_is_linear_under_scaling_of_the_rows(seed):
    rows = random_rows(seed)
    rng = np.random.default_rng(seed)
    first, second = 10.0 ** rng.uniform(-3, 3, size=(2, 3, 1))
    directions = [
        aggregate(ConFIG(), scales * rows)[0]
        for scales in (first, second, first + second)
    ]
    np.testing.assert_allclose(
        directions[0] + directions[1], directions[2], rtol=1e-7
    )


def test_config_passes_over_zeros_and_shares_among_duplicates():
    rows = np.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [-4.0, 3.0]])
    direction, weights = aggregate(ConFIG(), rows)
    assert weights[2] == 0
    assert weights[0] == pytest.approx(weights[1])
    cosines = rows[[0, 3]] @ direction
    assert cosines[0] == pytest.approx(cosines[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pairs", [1, 2, 5, 16])
def test_config_of_opposite_gradients_moves_nothing(pairs, dtype):
    rows = random_rows(pairs, pairs, columns=20)
    rows = np.concatenate([rows, -3.0 * rows]).astype(dtype)
    direction, _ = aggregate(ConFIG(), rows)
    np.testing.assert_array_equal(direction, 0)


def vaccinated(rows, orders, averages, beta):
    """The paper's loop on the gradients themselves."""
    averages = averages.copy()
    turned = rows.copy()
    for i, order in enumerate(orders):
        for j in order:
            g, other = turned[i], rows[j]
            sizes = np.linalg.norm(g), np.linalg.norm(other)
            phi, aim = g @ other / sizes[0] / sizes[1], averages[i, j]
            if phi < aim:
                turned[i] = g + other * sizes[0] / sizes[1] * (
                    aim * np.sqrt(1 - phi**2) - phi * np.sqrt(1 - aim**2)
                ) / np.sqrt(1 - aim**2)
            averages[i, j] = (1 - beta) * averages[i, j] + beta * phi
    return turned.sum(axis=0), averages


@few
@given(seed=seeds, beta=st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_gradvac_of_two_tasks_step_by_step(seed, beta):
    rng = np.random.default_rng(seed)
    method, averages = GradVac(beta=beta), np.zeros((2, 2))
    for _ in range(4):
        rows = rng.normal(size=(2, 5)) * [[1.0], [100.0]] + 0.4
        expected, averages = vaccinated(rows, [[1], [0]], averages, beta)
        direction, _ = aggregate(method, rows)
        scale = np.abs(rows).sum()
        np.testing.assert_allclose(direction, expected, atol=1e-5 * scale)
        np.testing.assert_allclose(method.average_cosines, averages, atol=1e-6)


@few
@given(seed=seeds)
def test_gradvac_is_one_of_the_orders_on_the_gradients(seed):
    rng = np.random.default_rng(seed)
    rows = random_rows(seed)
    averages = rng.uniform(-0.5, 0.9, size=(3, 3)).astype("float32")
    method = GradVac(beta=0.3, seed=seed)
    method.build((3,))
    method.set_weights([averages, *method.get_weights()[1:]])
    direction, _ = aggregate(method, rows)
    others = [[j for j in range(3) if j != i] for i in range(3)]
    accounts = [
        vaccinated(rows, orders, averages.astype("float64"), 0.3)
        for orders in itertools.product(*map(itertools.permutations, others))
    ]
    distances = [
        max(
            np.abs(direction - expected).max(),
            np.abs(method.average_cosines - state).max(),
        )
        for expected, state in accounts
    ]
    assert min(distances) < 1e-5


def test_gradvac_reaches_the_usual_cosine():
    method = GradVac()
    method.build((2,))
    method.set_weights(
        [np.full((2, 2), 0.8, "float32"), *method.get_weights()[1:]]
    )
    rows = np.array([[1.0, 0.0], [0.6, 0.8]])
    _, weights = aggregate(method, rows)
    # Both turned gradients mirror each other: g₁ + a g₂ and g₂ + a g₁.
    turned = rows[0] + (weights[0] - 1) * rows[1]
    cosine = turned @ rows[1] / np.linalg.norm(turned)
    assert cosine == pytest.approx(0.8)


def test_gradvac_starts_as_pcgrad():
    rows = random_rows(3, num_tasks=2)
    found, expected = (aggregate(m(), rows)[1] for m in (GradVac, PCGrad))
    np.testing.assert_allclose(found, expected)


def test_gradvac_averages_rise_where_gradients_agree():
    method = GradVac(beta=0.25)
    rows = np.array([[1.0, 0.0], [0.6, 0.8]])
    for _ in range(2):
        aggregate(method, rows)
    cosine = 0.6 * (1 - 0.75**2)
    np.testing.assert_allclose(
        method.average_cosines, [[0, cosine], [cosine, 0]], rtol=1e-6
    )


def test_gradvac_leaves_averages_of_absent_and_zero_tasks():
    method = GradVac(beta=0.5)
    rows = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 0.0]])
    aggregate(method, rows, present=[True, False, True, True])
    expected = np.zeros((4, 4))
    expected[0, 2] = expected[2, 0] = 0.4
    np.testing.assert_allclose(method.average_cosines, expected, rtol=1e-6)


def test_gradvac_survives_a_turn_of_gradients_that_always_agreed():
    method = GradVac(beta=1.0)
    aggregate(method, np.array([[1.0, 2.0], [1.0, 2.0]]))
    direction, weights = aggregate(method, np.array([[1.0, 2.0], [-2.0, 1.0]]))
    assert np.isfinite(direction).all()
    assert np.abs(weights).max() < 2e3


def test_gradvac_takes_no_angle_of_a_gradient_that_vanished():
    for seed in range(20):
        method = GradVac(beta=1.0, seed=seed)
        rows = random_rows(seed, columns=20)
        rows[1] = -rows[0] / 3.0
        aggregate(method, rows)
        lengths = np.linalg.norm(rows, axis=1)
        cosine = rows[0] @ rows[2] / lengths[0] / lengths[2]
        # g₁ meets g₃ first, or g₂ and is gone.
        found = float(method.average_cosines[0, 2])
        assert found in (0.0, pytest.approx(cosine, abs=1e-6))


def test_gradvac_survives_an_overflowed_step():
    method = GradVac(beta=0.5)
    aggregate(method, random_rows(0))
    before = ops.convert_to_numpy(method.average_cosines)
    gram = ops.array([[1.0, np.inf, 0.0], [np.inf, 1.0, 0.0], [0.0, 0.0, 1.0]])
    method.task_weights(gram, None, np.ones(3, bool))
    np.testing.assert_array_equal(method.average_cosines, before)


def test_gradvac_draws_new_orders_and_repeats_by_seed():
    rows = random_rows(2, num_tasks=5, columns=3)
    method, twin = GradVac(beta=0.0, seed=1), GradVac(beta=0.0, seed=1)
    found = [aggregate(method, rows)[1] for _ in range(6)]
    assert len({tuple(w) for w in found}) > 1
    np.testing.assert_array_equal(
        found, [aggregate(twin, rows)[1] for _ in range(6)]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlignedMTL("max"), "`scale_mode` must be one of min, median"),
        (lambda: AlignedMTL(reduction="max"), "`reduction` must be 'mean'"),
        (lambda: ConFIG(preference=[-1.0]), "`preference` must be a finite"),
        (lambda: GradVac(beta=1.5), "`beta` must lie between 0 and 1"),
    ],
)
def test_wrong_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
