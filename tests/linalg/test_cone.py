import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy.optimize import nnls

from keras_mtl.linalg import dual_cone_projection

from .matrices import solve

KINDS = (
    "normal",
    "conflicting",
    "near-parallel",
    "badly scaled",
    "rank-deficient",
    "zero row",
    "duplicates",
    "opposite",
)
SIZES = (1, 2, 3, 5, 8, 16, 64)


def jacobian(kind, size, seed):
    rng = np.random.default_rng([seed, size, KINDS.index(kind)])
    columns = size + 4
    rows = rng.normal(size=(size, columns))
    if kind == "conflicting":
        rows -= 0.9 * rows.mean(axis=0)
    elif kind == "near-parallel":
        signs = rng.choice([-1.0, 1.0], size=(size, 1))
        rows = signs * (rng.normal(size=columns) + 0.02 * rows)
    elif kind == "badly scaled":
        rows *= 10.0 ** rng.uniform(-3, 3, size=(size, 1))
        rows[0] *= 1e6 * np.linalg.norm(rows[-1]) / np.linalg.norm(rows[0])
    elif kind == "rank-deficient":
        rank = max(1, size // 3)
        rows = rng.normal(size=(size, rank)) @ rng.normal(size=(rank, columns))
    elif kind == "zero row":
        rows[0] = 0.0
    elif kind == "duplicates":
        rows[-1] = rows[0]
    elif kind == "opposite":
        rows[-1] = -2.0 * rows[0]
    return rows


def right_hand_sides(size):
    """Each gradient, and their mean, for a unit of `dual_cone_projection`."""
    return np.vstack([np.eye(size), np.full(size, 1 / size)])


def residual(gram, right, weights):
    """How far the optimality conditions are missed, whatever the scale.

    With y = Gw and v = w − u: y ≥ 0, v ≥ 0 and y or v zero. All is counted in
    lengths of the rows, and relative to the lengths that w adds up.
    """
    lengths = np.sqrt(np.diag(gram))
    lengths = np.where(lengths > 0, lengths, 1.0)
    slopes = gram @ weights / lengths
    move = (weights - right) * lengths
    total = np.abs(weights) @ lengths
    return np.abs(np.minimum(slopes, move)).max() / total


def nearest(rows, right):
    """The projection by SciPy: Jᵀ(u + v) of least length."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1.0)
    start = rows.T @ right
    size = np.linalg.norm(start)
    move, _ = nnls(unit.T, -start / size)
    return start + size * unit.T @ move


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)]
)
@pytest.mark.parametrize("size", SIZES)
def test_optimality(dtype, tolerance, size):
    for kind in KINDS:
        for seed in range(1 if size == 64 else 5):
            rows = jacobian(kind, size, seed).astype(dtype)
            gram = rows @ rows.T
            right = right_hand_sides(size)
            found = solve(dual_cone_projection, gram, right, dtype=dtype)
            worst = max(
                residual(gram.astype("float64"), u, w)
                for u, w in zip(right, found, strict=True)
            )
            assert worst <= tolerance, kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 5, 16])
def test_agrees_with_scipy(kind, size):
    for seed in range(5):
        rows = jacobian(kind, size, seed)
        right = right_hand_sides(size)
        found = solve(dual_cone_projection, rows @ rows.T, right)
        for u, w in zip(right, found, strict=True):
            if not (rows.T @ u).any():
                continue
            scale = np.linalg.norm(rows.T @ u)
            np.testing.assert_allclose(
                rows.T @ w, nearest(rows, u), atol=1e-7 * scale
            )


def test_by_hand():
    gram = np.array([[18.0, -22.0], [-22.0, 38.0]])
    found = solve(dual_cone_projection, gram, [[1, 0], [0, 1], [0.5, 0.5]])
    # g_i + max(0, −g_iᵀg_j / ‖g_j‖²) g_j, for the mean with g₁ alone.
    expected = [[1, 22 / 38], [22 / 18, 1], [0.5 * 22 / 18, 0.5]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_side_by_side_is_one_by_one():
    rows = jacobian("conflicting", 8, 0)
    right = right_hand_sides(8)
    together = solve(dual_cone_projection, rows @ rows.T, right)
    alone = [solve(dual_cone_projection, rows @ rows.T, u) for u in right]
    np.testing.assert_allclose(together, alone, atol=1e-12)


def test_without_conflict_nothing_changes():
    rows = np.abs(jacobian("normal", 5, 0))
    right = right_hand_sides(5)
    found = solve(dual_cone_projection, rows @ rows.T, right)
    np.testing.assert_allclose(found, right, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_neither_scale_matters(scale):
    rows = jacobian("conflicting", 3, 0)
    right = right_hand_sides(3)
    expected = solve(dual_cone_projection, rows @ rows.T, right)
    found = solve(
        dual_cone_projection,
        rows @ rows.T * scale,
        right * scale,
        dtype="float32",
    )
    np.testing.assert_allclose(found / scale, expected, rtol=1e-5)


def test_rows_a_million_times_apart_in_float32():
    rows = np.array([[1.0, 0.0], [-0.6e6, 0.8e6]])
    found = solve(dual_cone_projection, rows @ rows.T, np.eye(2), dtype="f4")
    np.testing.assert_allclose(found, [[1, 0.6e-6], [0.6e6, 1]], rtol=1e-6)


def test_an_absent_task_neither_counts_nor_objects():
    rows = jacobian("conflicting", 4, 1)
    present = np.array([True, False, True, True])
    right = right_hand_sides(4)
    found = ops.convert_to_numpy(
        dual_cone_projection(ops.array(rows @ rows.T), present, right)
    )
    assert (found[:, 1] == 0).all()
    fewer = rows[present]
    expected = solve(dual_cone_projection, fewer @ fewer.T, right[:, present])
    np.testing.assert_allclose(found[:, present], expected, atol=1e-12)


def test_not_a_number_comes_back_without_raising():
    gram = np.array([[np.nan, 1.0], [1.0, 2.0]])
    assert np.isnan(solve(dual_cone_projection, gram, np.eye(2))).all()


def test_compiles_with_xla():
    rows = jacobian("conflicting", 8, 0)
    gram, right = rows @ rows.T, right_hand_sides(8)
    compiled = tf.function(dual_cone_projection, jit_compile=True)
    found = compiled(tf.constant(gram), tf.ones(8, "bool"), right)
    expected = solve(dual_cone_projection, gram, right)
    np.testing.assert_allclose(found, expected, atol=1e-10)
