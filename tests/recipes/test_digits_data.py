import pathlib
import runpy

import numpy as np
import pytest

RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "digits.py"


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(RECIPE))


@pytest.fixture(scope="module")
def splits(page):
    return page["load"]("digits", None)


def test_split_is_disjoint_complete_and_stratified(page):
    from sklearn.datasets import load_digits

    classes = load_digits().target
    split = page["split_digits"](classes)
    everything = np.concatenate(list(split.values()))
    np.testing.assert_array_equal(np.sort(everything), np.arange(1797))
    overall = np.bincount(classes) / 1797
    for digits in split.values():
        share = np.bincount(classes[digits]) / len(digits)
        np.testing.assert_allclose(share, overall, atol=0.005)


def test_every_scan_is_on_one_side_of_the_split(page):
    from sklearn.datasets import load_digits

    scans = load_digits()
    split = page["split_digits"](scans.target)
    seen = [{scans.images[i].tobytes() for i in ids} for ids in split.values()]
    assert [len(s) for s in seen] == [len(ids) for ids in split.values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_pairs_show_the_scans_of_their_split_alone(page, splits):
    from sklearn.datasets import load_digits

    scans = load_digits()
    images = (scans.images / 16).astype("float32")
    for name, digits in page["split_digits"](scans.target).items():
        canvases, _ = getattr(splits, name)
        # The top half of the left digit and the bottom half of the right one
        # lie outside the overlap.
        tops = {images[i][:4].tobytes() for i in digits}
        bottoms = {images[i][4:].tobytes() for i in digits}
        assert {c[:4, :8, 0].tobytes() for c in canvases} <= tops
        assert {c[8:, 4:, 0].tobytes() for c in canvases} <= bottoms


def test_shapes_ranges_and_labels(page, splits):
    for name, count in page["PAIRS"].items():
        images, labels = getattr(splits, name)
        assert images.shape == (count, 12, 12, 1)
        assert images.dtype == np.float32
        assert images.min() == 0
        assert images.max() == 1
        assert list(labels) == ["left", "right", "sum"]
        for side in ("left", "right"):
            assert set(labels[side]) == set(range(10))
        assert labels["sum"].dtype == np.float32
        np.testing.assert_array_equal(
            labels["sum"], labels["left"] + labels["right"]
        )


def test_labels_name_the_digits_that_are_seen(page, splits):
    """A nearest neighbour among the scans' visible parts finds the labels."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    halves = (scans.images[:, :4] / 16).astype("float32").reshape(1797, -1)
    classes_of = {}
    for half, label in zip(halves, scans.target, strict=True):
        classes_of.setdefault(half.tobytes(), set()).add(label)
    images, labels = splits.test
    for image, label in zip(images, labels["left"], strict=True):
        assert label in classes_of[image[:4, :8, 0].tobytes()]


def test_same_data_every_time(page, splits):
    again = page["load"]("digits", None)
    for one, two in zip(splits[:3], again[:3], strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        for key, values in one[1].items():
            np.testing.assert_array_equal(values, two[1][key])


def test_larger_pairs_are_shrunk_by_the_mean_of_3_by_3(page):
    pairs = {
        "image": np.zeros((2, 36, 36, 1), "uint8"),
        "left": np.array([3, 4]),
        "right": np.array([5, 9]),
    }
    pairs["image"][0, :3, :3, 0] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    pairs["image"][1, 35, 34] = 90
    images, labels = page["example"](pairs)
    assert images.dtype == np.float32
    assert images[0, 0, 0, 0] == pytest.approx(1 / 3)
    assert images[1, 11, 11, 0] == pytest.approx(10 / 255)
    assert images.sum() == pytest.approx(1 / 3 + 10 / 255)
    np.testing.assert_array_equal(labels["sum"], [8, 13])


def test_unprepared_mnist_is_named(page, tmp_path):
    with pytest.raises(FileNotFoundError, match="'mnist', which is not prep"):
        page["load"]("mnist", str(tmp_path))


def test_disjoint_labels_are_those_of_one_task_each(page, splits):
    images, labels = page["load"]("disjoint", None).train
    whole_images, whole = splits.train
    np.testing.assert_array_equal(images, whole_images)
    there = np.stack(
        [
            labels["left"] != -1,
            labels["right"] != -1,
            ~np.isnan(labels["sum"]),
        ]
    )
    np.testing.assert_array_equal(there.sum(axis=0), np.ones(len(images)))
    assert set(there.sum(axis=1)) == {1333, 1334}
    for row, name in zip(there, labels, strict=True):
        np.testing.assert_array_equal(labels[name][row], whole[name][row])
    for split in ("validation", "test"):
        _, y = getattr(page["load"]("disjoint", None), split)
        assert (y["left"] >= 0).all() and np.isfinite(y["sum"]).all()
