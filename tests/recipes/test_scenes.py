import itertools
import pathlib

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow_datasets as tfds

import keras_mtl
from keras_mtl.analysis.training import build_model, evaluate, train_once
from keras_mtl.data import draw_scenes
from keras_mtl.heads import encode_boxes
from keras_mtl.recipe import load_recipe

ROOT = pathlib.Path(__file__).parents[2]
TASKS = ("boxes", "segmentation", "depth")


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(ROOT / "recipes" / "scenes.py")


@pytest.fixture(scope="module")
def page(recipe):
    """What the recipe's file defines, with few scenes."""
    page = recipe.load.__globals__
    page["SCENES"] = {"train": (0, 8), "validation": (8, 4), "test": (12, 6)}
    return page


@pytest.fixture(scope="module")
def drawn(recipe):
    return recipe.for_source("scenes")


@pytest.fixture(scope="module")
def splits(page, drawn):
    return drawn.load("scenes", None)


@pytest.fixture(scope="module")
def model(drawn):
    keras.utils.set_random_seed(0)
    return build_model(drawn, drawn.tasks)


def given(**outputs):
    """A model whose outputs are its inputs."""
    inputs = {
        name: keras.Input(values.shape[1:], name=name)
        for name, values in outputs.items()
    }
    return keras.Model(
        inputs,
        {name: keras.layers.Identity()(x) for name, x in inputs.items()},
    )


def test_no_scene_is_in_two_parts():
    ranges = sorted(
        load_recipe(ROOT / "recipes" / "scenes.py")
        .load.__globals__["SCENES"]
        .values()
    )
    for (start, count), (after, _) in itertools.pairwise(ranges):
        assert start + count <= after


def test_parts_are_scenes_by_their_numbers(splits):
    scenes = draw_scenes(18)
    for part, rows in (
        ("train", slice(0, 8)),
        ("validation", slice(8, 12)),
        ("test", slice(12, 18)),
    ):
        x, y = getattr(splits, part)
        np.testing.assert_array_equal(x, scenes["image"][rows])
        for task in ("segmentation", "depth"):
            np.testing.assert_array_equal(y[task], scenes[task][rows])
    boxes, classes = splits.truth["test"]["boxes"]
    for row, (one, labels) in enumerate(zip(boxes, classes, strict=True), 12):
        there = scenes["classes"][row] >= 0
        np.testing.assert_array_equal(one, scenes["boxes"][row][there])
        np.testing.assert_array_equal(labels, scenes["classes"][row][there])


def test_perfect_maps_have_a_precision_of_one(page, splits):
    _, y = splits.test
    maps, truth = y["boxes"], splits.truth["test"]
    perfect = given(boxes=maps)
    assert page["map_50"](perfect, {"boxes": maps}, truth) == 1
    # Nothing of one class is found any more.
    _, classes = truth["boxes"]
    kinds = np.unique(np.concatenate(classes))
    without = maps.copy()
    without[..., kinds[0]] = 0
    assert page["map_50"](perfect, {"boxes": without}, truth) == pytest.approx(
        1 - 1 / len(kinds)
    )
    # Boxes of half the width overlap by half: enough; of a third, too little.
    width = maps.shape[-1] - 4
    for factor, expected in ((0.51, 1), (0.33, 0)):
        narrow = maps.copy()
        narrow[..., width] *= factor
        assert page["map_50"](perfect, {"boxes": narrow}, truth) == expected


def test_measures_worked_by_hand(recipe):
    # Two pictures of 2 × 2 pixels; one pixel has no class, one no depth.
    labels = np.array([[[0, 0], [1, -1]], [[2, 2], [2, 1]]], "int8")
    guess = np.array([[[0, 1], [1, 5]], [[2, 2], [0, 1]]])
    depth = np.array([[[1, 2], [4, np.nan]], [[2, 2], [2, 2]]], "float32")
    guessed = np.array([[[1.1, 2], [3, 9]], [[2, 2], [2, 2.6]]], "float32")
    tasks = keras_mtl.TaskSet(
        [recipe.tasks["segmentation"], recipe.tasks["depth"]]
    )
    x = {
        "segmentation": np.eye(7, dtype="float32")[guess],
        "depth": guessed[..., None],
    }
    base = given(**x)
    judged = keras_mtl.MultiTaskModel(base.input, base.output, tasks=tasks)
    judged.compile()
    logs = judged.evaluate(
        x,
        {"segmentation": labels, "depth": depth},
        batch_size=1,
        verbose=0,
        return_dict=True,
    )
    # Class 0: 1 of 3 pixels, 1: 2 of 3, 2: 2 of 3. Five of seven are right.
    expected = {
        "segmentation_mean_iou": (1 / 3 + 2 / 3 + 2 / 3) / 3,
        "segmentation_accuracy": 5 / 7,
        "depth_absolute_relative_error": (0.1 + 0.25 + 0.3) / 7,
        "depth_mae": (0.1 + 1 + 0.6) / 7,
        # 4 / 3 and 2.6 / 2 are factors above 1.25.
        "depth_delta_accuracy": 5 / 7,
    }
    assert {k: logs[k] for k in expected} == pytest.approx(expected, rel=1e-5)


def test_exported_model_gives_what_is_predicted(page, recipe, model, splits):
    x = splits.test[0][:2]
    whole = recipe.deploy(model)
    received = whole.predict(x, verbose=0)
    maps = model.predict(x, verbose=0)
    assert received["boxes"].shape == (2, 16, 4)
    assert received["classes"].max() < 4
    np.testing.assert_array_equal(
        received["segmentation"], maps["segmentation"].argmax(-1)
    )
    np.testing.assert_array_equal(received["depth"], maps["depth"][..., 0])
    # The best box: the highest place of all heatmaps.
    for image, best in zip(
        maps["boxes"], received["scores"][:, 0], strict=True
    ):
        assert image[..., :4].max() == best


def test_picture_of_every_task(recipe, model, splits):
    (figure,) = recipe.pictures(
        model, splits.test[0], splits.truth["test"]
    ).values()
    panels = [axes for axes in figure.axes if axes.images]
    titles = [axes.get_title() for axes in panels if axes.get_title()]
    assert titles == [
        "picture", "boxes", "truth", "segmentation", "truth", "depth", "truth",
    ]  # fmt: skip
    boxes, _ = splits.truth["test"]["boxes"]
    drawn = [len(axes.patches) for axes in panels]
    assert sum(drawn) >= sum(map(len, boxes[:4]))
    # Four pictures, and the depths' colour bar has no image of its own.
    assert len(panels) == 4 * 7


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["small", "mobilenet_v2"])
@pytest.mark.parametrize("sharing", ["hard_sharing", "cross_stitch", "mtan"])
def test_every_way_takes_pictures_of_other_sizes(recipe, sharing, backbone):
    hp = keras_tuner.HyperParameters()
    hp.values.update(sharing=sharing, backbone=backbone, width=16)
    tasks = recipe.for_source("nyu_v2").tasks
    built = recipe.build(hp, tasks)
    x = np.zeros((1, 96, 128, 3), "uint8")
    received = built.predict(x, verbose=0)
    assert {k: v.shape[1:] for k, v in received.items()} == {
        "rooms": (96, 128, 13),
        "depth": (96, 128, 1),
    }


@pytest.mark.slow
def test_training(drawn, page, splits, tmp_path):
    trained, history, _ = train_once(
        drawn, splits, drawn.tasks, seed=0, epochs=20
    )
    assert list(trained.output) == list(TASKS)
    for task in TASKS:
        losses = history[f"{task}_loss"]
        assert losses[-1] < 0.7 * losses[0]
    measures = evaluate(trained, drawn, splits, "test", drawn.tasks)
    assert 0 <= measures["boxes_map_50"] <= 1
    whole = drawn.deploy(trained)
    assert keras_mtl.export(whole, tmp_path / "scenes").name == "1"


@pytest.fixture
def with_backbone(page, monkeypatch):
    """Sets the recipe's constants; ImageNet's weights are at hand, or not."""
    make = keras.applications.MobileNetV2

    def set_up(at_hand, **constants):
        def network(weights=None, **options):
            if weights == "imagenet" and not at_hand:
                raise Exception("URL fetch failure")
            return make(weights=None, **options)

        monkeypatch.setattr(keras.applications, "MobileNetV2", network)
        for name, value in {"PRETRAINED": "imagenet", **constants}.items():
            monkeypatch.setitem(page, name, value)

    return set_up


def test_layers_of_the_backbone_are_frozen_as_told(page, with_backbone):
    with_backbone(at_hand=True, FROZEN=2)
    network = page["mobilenet_v2"](16)
    for name, trainable in {
        "Conv1": False,
        "expanded_conv_project": False,
        "block_1_expand_BN": False,
        "block_2_expand": True,
        "block_12_project": True,
    }.items():
        assert network.get_layer(name).trainable is trainable


def test_it_starts_from_scratch_where_weights_are_not_at_hand(
    page, with_backbone
):
    with_backbone(at_hand=False, FROZEN=2)
    with pytest.warns(UserWarning, match="random weights.*URL fetch failure"):
        network = page["pretrained"]()
    assert all(layer.trainable for layer in network.layers)


def test_the_backbone_learns_slower(page, with_backbone):
    with_backbone(at_hand=True, BACKBONE_RATE=0.25)
    inputs = keras.Input((2,))
    low = keras.layers.Dense(2, name="block_3_expand")
    high = keras.layers.Dense(2, name="head")
    high(low(inputs))
    optimizer = page["optimizer"](keras_tuner.HyperParameters())
    assert optimizer.get_config()["backbone_rate"] == 0.25
    optimizer.build([low.kernel, high.kernel])
    before = [w.numpy() for w in (low.kernel, high.kernel)]
    optimizer.apply([np.ones((2, 2), "float32")] * 2)
    steps = [
        old - new.numpy()
        for old, new in zip(before, (low.kernel, high.kernel), strict=True)
    ]
    np.testing.assert_allclose(steps[0], 0.25 * steps[1], rtol=1e-3)


def test_crops_belong_to_their_labels(page):
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 13, (3, 12, 16)).astype("int32")
    part = {
        "image": np.repeat(classes[..., None], 3, -1).astype("uint8"),
        "segmentation": classes,
        "depth": np.where(classes == 4, np.nan, classes + 1).astype("float32"),
    }
    made = page["crops"](part, 30)
    assert {k: v.dtype for k, v in made.items()} == {
        k: v.dtype for k, v in part.items()
    }
    scales = []
    for image, labels, depth in zip(*made.values(), strict=True):
        np.testing.assert_array_equal(image[..., 0], labels)
        np.testing.assert_array_equal(np.isnan(depth), labels == 4)
        known = labels != 4
        ratios = (labels + 1)[known] / depth[known]
        scales.append(ratios.mean())
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)
    assert 1 <= min(scales) < 1.1 and 1.4 < max(scales) <= 1.5


class Cups(tfds.core.GeneratorBasedBuilder):
    """Four pictures of two sizes, each with one box more than the last."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            features=features.FeaturesDict(
                {
                    "image": features.Image(shape=(None, None, 3)),
                    "objects": features.Sequence(
                        {
                            "bbox": features.BBoxFeature(),
                            "label": features.ClassLabel(
                                names=["cup", "pan", "jug"]
                            ),
                        }
                    ),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {
            name: self._generate_examples()
            for name in ("train", "validation", "test")
        }

    def _generate_examples(self):
        for i in range(4):
            yield (
                i,
                {
                    "image": np.full((40 + 20 * (i % 2), 60, 3), i, "uint8"),
                    "objects": [
                        {
                            "bbox": tfds.features.BBox(
                                ymin=0.25 * j, xmin=0.0, ymax=0.25 * j + 0.25,
                                xmax=0.5,
                            ),
                            "label": j % 3,
                        }
                        for j in range(i)
                    ],
                },
            )  # fmt: skip


@pytest.fixture
def cups(recipe, page, monkeypatch, tmp_path):
    """The recipe for boxes of TFDS, and its data."""
    builder = Cups(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setitem(page, "BOXED", builder)
    monkeypatch.setitem(page, "objects_have", {"classes": 4})
    return recipe.for_source("tfds"), recipe.load("tfds", None)


def test_boxes_of_a_tfds_data_set(cups, page):
    _, splits = cups
    ((x, y),) = splits.test
    truth = splits.truth["test"]
    assert x.shape == (4, 96, 128, 3) and x.dtype == "uint8"
    cell = page["STRIDE"]
    for number, maps, present, places, kinds in zip(
        x.numpy()[:, 0, 0, 0].tolist(), y["boxes"], y["present"],
        *truth["boxes"], strict=True,
    ):  # fmt: skip
        assert kinds.tolist() == [j % 3 for j in range(number)]
        expected = [[0, 24 * j, 64, 24 * j + 24] for j in range(number)]
        np.testing.assert_allclose(places, np.reshape(expected, (-1, 4)))
        np.testing.assert_allclose(
            maps,
            encode_boxes(places, kinds, 3, (96 // cell, 128 // cell), cell),
            atol=1e-6,
        )
        assert present.numpy().tolist() == [number > c for c in range(3)]
    maps = y["boxes"].numpy()
    assert page["map_50"](given(boxes=maps), {"boxes": maps}, truth) == 1


@pytest.mark.slow
def test_a_model_of_boxes_of_a_tfds_data_set(cups):
    recipe, splits = cups
    model, _, _ = train_once(recipe, splits, recipe.tasks, seed=0, epochs=1)
    assert {k: v.shape[1:] for k, v in model.output.items()} == {
        "boxes": (None, None, 3 + 4),
        "present": (3,),
    }
    measures = evaluate(model, recipe, splits, "test", recipe.tasks)
    assert 0 <= measures["boxes_map_50"] <= 1
    assert 0 <= measures["present_auc"] <= 1
    inputs = splits.test.map(lambda x, y: x)
    truth = splits.truth["test"]
    (figure,) = recipe.pictures(model, inputs, truth).values()
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["picture", "boxes", "truth"]


def test_absent_photographs_are_said(recipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not hold nyuv2_96x128"):
        recipe.load("nyu_v2", str(tmp_path))
