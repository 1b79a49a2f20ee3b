import numpy as np
import pytest

from keras_mtl.metrics import average_precision, mean_average_precision

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 40, 50, 50]
NOWHERE = [80, 80, 90, 90]


def of_one_image(truth, found, threshold=0.5):
    """AP where all is of class 0; `found` holds boxes by falling score."""
    n, k = len(truth), len(found)
    return average_precision(
        [truth], [[0] * n], [found], [np.linspace(1, 0.5, k)], [[0] * k],
        threshold,
    )[0]  # fmt: skip


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([A, B, C], 1),
        ([C, A, B], 1),
        ([A, B, C, NOWHERE], 1),  # what comes after the last object is free
        ([A, B], 2 / 3),
        ([], 0),
        ([NOWHERE], 0),
        # Precisions at the hits: 1, 2/3, 3/5.
        ([A, NOWHERE, B, NOWHERE, C], (1 + 2 / 3 + 3 / 5) / 3),
        # 1/2 and 2/3: the later is higher and holds at the lower recall too.
        ([NOWHERE, A, B], 2 * (2 / 3) / 3),
        # The second box on A finds nothing new: 1, 2/3.
        ([A, A, B], (1 + 2 / 3) / 3),
    ],
)
def test_values_worked_by_hand(found, expected):
    assert of_one_image([A, B, C], found) == pytest.approx(expected)


def test_overlap_is_intersection_over_union():
    # 60 of 100: shared 60, union 100.
    for threshold, expected in ((0.59, 1), (0.6, 1), (0.61, 0)):
        assert of_one_image([A], [[0, 0, 10, 6]], threshold) == expected
    # Moved by 5: shared 50, union 150.
    assert of_one_image([A], [[5, 0, 15, 10]], 0.33) == 1
    assert of_one_image([A], [[5, 0, 15, 10]], 0.34) == 0


def test_a_box_belongs_to_the_object_that_it_overlaps_most():
    # The second box overlaps both by half or more, but A, which is taken, more.
    truth = [[0, 0, 10, 10], [0, 4, 10, 14]]
    assert of_one_image(truth, [[0, 0, 10, 10], [0, 1, 10, 11]]) == 0.5
    assert of_one_image(truth, [[0, 0, 10, 10], [0, 3, 10, 13]]) == 1


def test_scores_rank_over_images_and_boxes_stay_in_theirs():
    arguments = dict(
        true_boxes=[[A], [B], []],
        true_classes=[[0], [0], []],
        boxes=[[B, A], [B], [A]],
        scores=[[0.9, 0.2], [0.8], [0.5]],
        classes=[[0, 0], [0], [0]],
    )
    # By score: B in image 0 wrong, B in 1 right, A in 2 wrong, A in 0 right.
    assert average_precision(**arguments) == {0: pytest.approx(0.5)}


def one_class_by_loop(truth, found, threshold):
    """`found`: (score, image, box). The area by its corners."""
    taken, points = set(), []
    for rank, (_, image, box) in enumerate(sorted(found, key=lambda f: -f[0])):
        best, most = None, 0.0
        for place, other in enumerate(truth[image]):
            width = min(box[2], other[2]) - max(box[0], other[0])
            height = min(box[3], other[3]) - max(box[1], other[1])
            shared = max(width, 0) * max(height, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
            if shared / (sum(areas) - shared) > most:
                best, most = place, shared / (sum(areas) - shared)
        if most >= threshold and (image, best) not in taken:
            taken.add((image, best))
        total = sum(map(len, truth))
        points.append((len(taken) / total, len(taken) / (rank + 1)))
    area = before = 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - before) * max(p for _, p in points[i:])
        before = recall
    return area


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
def test_equals_a_loop_on_many_random_boxes(threshold):
    draw = np.random.default_rng(0)
    truth, boxes, scores = [], [], []
    for n in (3, 0, 5, 8, 1):
        own = draw.uniform(0, 30, (n, 2))
        truth.append(
            np.concatenate([own, own + draw.uniform(5, 20, (n, 2))], 1)
        )
        near = np.repeat(truth[-1], 3, axis=0)
        near += draw.normal(0, 2, near.shape)
        boxes.append(np.concatenate([near, [[50, 50, 60, 60]]]))
        scores.append(draw.uniform(0.1, 1, len(boxes[-1])))
    received = average_precision(
        truth,
        [np.zeros(len(b)) for b in truth],
        boxes,
        scores,
        [np.zeros(len(b)) for b in boxes],
        threshold,
    )
    found = [
        (score, image, box)
        for image in range(5)
        for score, box in zip(scores[image], boxes[image], strict=True)
    ]
    expected = one_class_by_loop(truth, found, threshold)
    assert 0.05 < expected < 0.95
    assert received == {0: pytest.approx(expected)}


def test_classes_are_apart_and_those_without_objects_left_out():
    arguments = dict(
        true_boxes=[[A, B]],
        true_classes=[[3, 1]],
        boxes=[[A, B, C]],
        scores=[[0.9, 0.8, 0.7]],
        classes=[[3, 3, 2]],
    )
    assert average_precision(**arguments) == {1: 0, 3: 1}
    assert mean_average_precision(**arguments) == 0.5


def test_boxes_of_score_zero_are_none():
    assert average_precision([[A]], [[0]], [[A]], [[0.0]], [[0]]) == {0: 0}


def test_means_over_classes_and_thresholds():
    arguments = (
        [[A, B]],
        [[0, 1]],
        [[[0, 0, 10, 8.2], B]],
        [[0.9, 0.8]],
        [[0, 1]],
    )
    thresholds = np.arange(0.5, 1, 0.05)
    # Class 0 is found at .5, .55, …, .8: 7 of 10, class 1 always.
    assert mean_average_precision(
        *arguments, thresholds=thresholds
    ) == pytest.approx(0.85)


def test_no_object_at_all_is_nan():
    assert np.isnan(mean_average_precision([[]], [[]], [[A]], [[0.5]], [[0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[A]], [[0, 1]], [[]], [[]], [[]]), "`true_classes` must have one"),
        (([[A]], [[0]], [[A]], [[]], [[0]]), "`scores` must have one entry"),
        (([[A]], [[0]], [], [], []), "1 and 0 images"),
        (([[A]], [[0]], [[]], [[]], [[]], 0), "`threshold` must be above 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        average_precision(*arguments)


def test_no_threshold_is_named():
    with pytest.raises(ValueError, match="`thresholds` must hold at least"):
        mean_average_precision([[A]], [[0]], [[]], [[]], [[]], thresholds=())
