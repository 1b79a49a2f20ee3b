"""Δm of published tables from their own rows.

NYUv2, 13 classes, segmentation, depth and surface normals: the rows of Navon
et al., "Multi-Task Learning as a Bargaining Game" (ICML 2022), and of Liu et
al., "FAMO" (NeurIPS 2023), whose Δm is the mean over all nine metrics, with
less the better.
"""

import pytest

from keras_mtl.metrics import delta_m, task_deltas

# Metrics, task by task, with their directions.
METRICS = {
    "segmentation": {"iou": "max", "accuracy": "max"},
    "depth": {"absolute": "min", "relative": "min"},
    "normals": {
        **{"mean": "min", "median": "min"},
        **{"11.25": "max", "22.5": "max", "30": "max"},
    },
}
DIRECTIONS = {
    f"{task}_{name}": direction
    for task, metrics in METRICS.items()
    for name, direction in metrics.items()
}
SINGLE = (38.30, 63.76, 0.6754, 0.2780, 25.01, 19.21, 30.14, 57.20, 69.15)
ROWS = {
    "ls": (39.29, 65.33, 0.5493, 0.2263, 28.15, 23.96, 22.09, 47.50, 61.08),
    "si": (38.45, 64.27, 0.5354, 0.2201, 27.60, 23.37, 22.53, 48.57, 62.32),
    "rlw": (37.17, 63.77, 0.5759, 0.2410, 28.27, 24.18, 22.26, 47.05, 60.62),
    "dwa": (39.11, 65.31, 0.5510, 0.2285, 27.61, 23.18, 24.17, 50.18, 62.39),
    "uw": (36.87, 63.17, 0.5446, 0.2260, 27.04, 22.61, 23.54, 49.05, 63.65),
    "mgda": (30.47, 59.90, 0.6070, 0.2555, 24.88, 19.45, 29.18, 56.88, 69.36),
    "pcgrad": (38.06, 64.64, 0.5550, 0.2325, 27.41, 22.80, 23.86, 49.83, 63.14),
    "graddrop": (
        *(39.39, 65.12, 0.5455, 0.2279),
        *(27.48, 22.96, 23.38, 49.44, 62.87),
    ),
    "cagrad": (39.79, 65.49, 0.5486, 0.2250, 26.31, 21.58, 25.61, 52.36, 65.58),
    "nash": (40.13, 65.93, 0.5261, 0.2171, 25.26, 20.08, 28.40, 55.47, 68.15),
    "famo": (38.88, 64.90, 0.5474, 0.2194, 25.06, 19.57, 29.21, 56.61, 68.98),
}
PUBLISHED = {
    **{"ls": 5.59, "si": 4.39, "rlw": 7.78, "dwa": 3.57, "uw": 4.05},
    **{"mgda": 1.38, "pcgrad": 3.97, "graddrop": 3.58, "cagrad": 0.20},
    **{"nash": -4.04, "famo": -4.10},
}


def by_metric(row):
    return dict(zip(DIRECTIONS, row, strict=True))


@pytest.mark.parametrize("method", ROWS)
def test_published_delta_m_is_the_mean_over_all_metrics(method):
    found = delta_m(by_metric(ROWS[method]), by_metric(SINGLE), DIRECTIONS)
    # Metrics are printed with four figures, Δm with two decimals.
    assert -found == pytest.approx(PUBLISHED[method], abs=0.015)


def test_one_metric_a_task_is_another_mean():
    # Five of the nine metrics are of one task: equal weights of the tasks
    # turn the sign of linear scalarization.
    deltas = task_deltas(by_metric(ROWS["ls"]), by_metric(SINGLE), DIRECTIONS)
    means = [
        sum(deltas[f"{task}_{name}"] for name in metrics) / len(metrics)
        for task, metrics in METRICS.items()
    ]
    assert sum(means) / 3 == pytest.approx(0.88, abs=0.005)
