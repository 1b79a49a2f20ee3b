"""Comparisons made by hand, without training."""

from keras_mtl.analysis.results import (
    EQUAL,
    SINGLE,
    Comparison,
    Inference,
    Metric,
    Training,
)

METRICS = {
    "digit": Metric("accuracy", "max"),
    "age": Metric("mae", "min", "years"),
}


def comparison(shared, single, validation=None, **changes):
    """A comparison from test scores `{method: [(digit, age), …]}` by seed.

    `single` is such a list too. `validation` may differ from `shared`.
    """
    trainings = []
    for seed, (digit, age) in enumerate(single):
        for task, score in (("digit", digit), ("age", age)):
            trainings.append(training(SINGLE, seed, {task: score}))
    for method, scores in shared.items():
        for seed, (digit, age) in enumerate(scores):
            test = {"digit": digit, "age": age}
            other = test
            if validation and method in validation:
                other = dict(zip(test, validation[method][seed], strict=True))
            trainings.append(training(method, seed, test, other))
    arguments = {
        "recipe": "people",
        "description": "Digits and ages.",
        "source": "default",
        "epochs": 4,
        "batch_size": 32,
        "metrics": METRICS,
        "trainings": trainings,
        "inference": Inference(
            32, (0.001, 0.002, 0.003), (0.003, 0.004, 0.006)
        ),
        "config": {"command": "keras-mtl compare people.py <b>"},
    }
    return Comparison(**{**arguments, **changes})


def training(method, seed, test, validation=None):
    history = {"loss": [1.0, 0.8, 0.6, 0.5]}
    for task, score in test.items():
        key = f"val_{task}_{METRICS[task].name}"
        history[key] = [score * f for f in (0.7, 0.8, 0.9, 1.0)]
    if method not in (SINGLE, EQUAL):
        history["digit_weight"] = [1.0, 1.1, 1.2, 1.3 + 0.05 * seed]
        history["age_weight"] = [1.0, 0.9, 0.8, 0.7]
        history["min_cosine"] = [0.3, 0.1, -0.1, -0.2 + 0.1 * seed]
    return Training(
        method=method,
        tasks=tuple(test),
        seed=seed,
        validation=validation or test,
        test=test,
        seconds=2.0 if method == SINGLE else 3.0,
        parameters=1000 if method == SINGLE else 1200,
        history=history,
    )
