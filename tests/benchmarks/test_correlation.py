import json
import runpy

import correlation as benchmark
import correlation_report as report
import numpy as np
import pytest

from keras_mtl.recipe import Splits

WAYS = ("hard_sharing", "mmoe", "ple", "single-task")


def curves(gain_at_half=0.2, seeds=8):
    """Errors that fall; MMoE's are less at correlation 0.5."""
    generator = np.random.default_rng(0)
    made = {}
    for correlation in (1.0, 0.5):
        base = np.linspace(1.0, 0.5, 4)[:, None] + generator.random(seeds)
        made[correlation] = {
            way: base + 0.01 * generator.normal(size=base.shape) for way in WAYS
        }
    made[0.5]["mmoe"] -= gain_at_half
    return made


def test_interval_is_students():
    mean, half = report.interval([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    np.testing.assert_allclose(mean, [2.0, 5.0])
    # The 97.5 % quantile of Student's t with 2 degrees of freedom is 4.3027.
    np.testing.assert_allclose(half, [4.3027 / 3**0.5, 0.0], atol=1e-4)


def test_advantage_is_taken_seed_by_seed_at_the_end():
    made = {
        0.5: {
            "hard_sharing": np.array([[9.0, 9.0], [2.0, 4.0]]),
            "mmoe": np.array([[0.0, 0.0], [1.0, 5.0]]),
        }
    }
    gain = report.advantage(made, "mmoe", 0.5)
    np.testing.assert_allclose(gain, [1.0, -1.0])
    gain = report.advantage(made, "mmoe", 0.5, relative=True)
    np.testing.assert_allclose(gain, [50.0, -25.0])


@pytest.mark.parametrize(
    ("gain", "word"),
    [
        (0.2, "and grows"),
        (-0.2, "and shrinks"),
        (0.0, "and does not change beyond chance"),
    ],
)
def test_the_finding_says_what_was_found(gain, word):
    assert report.finding(curves(gain)).count(word) == 2


@pytest.fixture
def small():
    """The recipe with few examples, in the shape of the benchmark's run."""
    page = runpy.run_path(str(benchmark.RECIPE))
    sizes = {"train": 200, "validation": 40, "test": 30}
    page["draw"].__globals__["EXAMPLES"] = sizes
    return page["recipe"], page["draw"]


def test_data_and_models_of_an_experiment(small):
    recipe, draw = small
    experiment = benchmark.Experiment(recipe, draw, [3, 4], "test", epochs=2)
    (x, y), (x_test, y_test) = experiment.data(0.5)
    assert x.shape == (2, 200, 100)
    assert y.shape == (2, 200, 2)
    assert x_test.shape == (2, 30, 100)
    splits = draw(0.5, 4)
    assert isinstance(splits, Splits)
    np.testing.assert_array_equal(x_test[1], splits.test[0])
    np.testing.assert_array_equal(y_test[1, :, 1], splits.test[1]["second"])
    first, second = experiment.models("single-task")
    assert (first.tasks, second.tasks) == (["first"], ["second"])
    (both,) = experiment.models("mmoe")
    assert both.tasks == ["first", "second"]


def test_single_tasks_learn_and_are_judged_by_their_own_labels(small):
    recipe, draw = small
    experiment = benchmark.Experiment(recipe, draw, [3, 4], "test", epochs=3)
    data = experiment.data(0.5)
    first, second = experiment.models("single-task")
    both = experiment.errors([first, second], data, rate=1e-2)
    assert both.shape == (3, 2)
    assert (both[2] < both[0]).all()
    (x, y), (x_test, y_test) = data
    other = [(x, y.copy()), (x_test, y_test.copy())]
    for _, labels in other:
        labels[..., 1] = 0.0  # of the second task
    alone = experiment.errors([first], data, rate=1e-2)
    np.testing.assert_allclose(
        experiment.errors([first], other, rate=1e-2), alone, rtol=1e-5
    )
    alone += experiment.errors([second], data, rate=1e-2)
    np.testing.assert_allclose(both, alone / 2, rtol=1e-4)


def test_a_small_run_writes_all(small, tmp_path, monkeypatch, capsys):
    recipe, draw = small
    page = {"recipe": recipe, "draw": draw}
    monkeypatch.setattr(benchmark.runpy, "run_path", lambda path: page)
    monkeypatch.setattr(benchmark, "RATES", (0.0, 1e-2))
    arguments = ["correlation.py", str(tmp_path), "--seeds", "2"]
    monkeypatch.setattr(benchmark.sys, "argv", [*arguments, "--epochs", "2"])
    benchmark.main()
    assert (tmp_path / "correlation.png").read_bytes()[:4] == b"\x89PNG"
    record = json.loads((tmp_path / "correlation.json").read_text())
    assert record["seeds"] == [0, 1]
    assert record["learning_rates"] == dict.fromkeys(
        [*recipe.sharings, "single-task"], 1e-2
    )
    assert np.shape(record["test_errors"]["0.9"]["ple"]) == (2, 2)
    assert record["parameters"]["single-task"] == 14_858
    assert record["command"].startswith("python correlation.py")
    assert "tensorflow" in " ".join(record["versions"])
    text = (tmp_path / "correlation.md").read_text()
    assert record["finding"] in text
    assert "| `soft_sharing` | 14,858 | 0.01 |" in text
    assert capsys.readouterr().out.strip().endswith(record["finding"])
