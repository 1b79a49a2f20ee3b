import math

import numpy as np
import pytest

from keras_mtl.data import correlated_tasks


@pytest.mark.parametrize("correlation", [1.0, 0.9, 0.5, 0.0, -1.0])
def test_weight_vectors_have_the_length_and_the_cosine(correlation):
    w1, w2 = correlated_tasks(correlation, seed=3, scale=2.0).weights
    assert np.linalg.norm(w1) == pytest.approx(2)
    assert np.linalg.norm(w2) == pytest.approx(2)
    assert w1 @ w2 / 4 == pytest.approx(correlation, abs=1e-12)


def test_labels_follow_the_formula():
    problem = correlated_tasks(0.5, seed=0, dimension=7, waves=3, noise=0.0)
    x, y = problem.draw(20, seed=1)
    for row in range(20):
        for task, w in zip(("first", "second"), problem.weights, strict=True):
            projection = sum(
                float(a) * float(b) for a, b in zip(w, x[row], strict=True)
            )
            label = projection
            for i in range(3):
                label += math.sin(
                    problem.frequencies[i] * projection + problem.phases[i]
                )
            assert y[task][row] == pytest.approx(label, abs=1e-5)


def test_inputs_are_standard_normal_and_noise_has_its_size():
    clean = correlated_tasks(1.0, seed=0, noise=0.0).draw(20_000, seed=5)
    noisy = correlated_tasks(1.0, seed=0, noise=0.1).draw(20_000, seed=5)
    np.testing.assert_array_equal(clean[0], noisy[0])
    assert clean[0].mean() == pytest.approx(0, abs=0.003)
    assert clean[0].std() == pytest.approx(1, abs=0.003)
    noise = [noisy[1][t] - clean[1][t] for t in ("first", "second")]
    for values in noise:
        assert values.std() == pytest.approx(0.1, abs=0.003)
    # Each task has noise of its own.
    assert np.corrcoef(*noise)[0, 1] == pytest.approx(0, abs=0.03)


def test_equal_tasks_have_equal_labels_but_for_noise():
    _, y = correlated_tasks(1.0, seed=0, noise=0.0).draw(100, seed=0)
    np.testing.assert_allclose(y["first"], y["second"], atol=1e-6)


def test_the_correlation_changes_the_second_task_alone():
    one, other = (correlated_tasks(p, seed=4).draw(50, 0) for p in (0.9, 0.1))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1]["first"], other[1]["first"])
    assert np.abs(one[1]["second"] - other[1]["second"]).max() > 0.1


def test_seeds_repeat_and_differ():
    problem = correlated_tasks(0.5, seed=0)
    np.testing.assert_array_equal(
        problem.weights, correlated_tasks(0.5, seed=0).weights
    )
    assert not np.allclose(
        problem.weights, correlated_tasks(0.5, seed=1).weights
    )
    assert not np.allclose(problem.draw(5, 0)[0], problem.draw(5, 1)[0])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="`correlation` must be from -1 to 1"):
        correlated_tasks(1.1, seed=0)
    with pytest.raises(ValueError, match="`correlation` must be"):
        correlated_tasks(float("nan"), seed=0)
    with pytest.raises(ValueError, match="`dimension` must be 2 or more"):
        correlated_tasks(0.5, seed=0, dimension=1)
