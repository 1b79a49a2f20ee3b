"""Tasks from features of TFDS: every kind of feature, and examples of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_mtl import builders
from keras_mtl.data import tasks_from_tfds
from keras_mtl.heads import CenterNetLoss, DetectionHead, encode_boxes

BOX = tfds.features.BBox(ymin=0.25, xmin=0.0, ymax=0.75, xmax=0.5)


class EveryFeature(tfds.core.GeneratorBasedBuilder):
    """A data set with a feature of every kind."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            features=features.FeaturesDict(
                {
                    "image": features.Image(shape=(4, 4, 3)),
                    "note": features.Text(),
                    "label": features.ClassLabel(names=["cat", "dog", "ox"]),
                    "indoors": features.ClassLabel(num_classes=2),
                    "price": features.Scalar(tf.float64),
                    "count": features.Scalar(tf.int64),
                    "attributes": {
                        "smiles": features.Scalar(tf.bool),
                        "pose": features.Tensor(shape=(2,), dtype=tf.float32),
                    },
                    "tags": features.Sequence(
                        features.ClassLabel(num_classes=5), length=3
                    ),
                    "ground": features.LabeledImage(labels=4, shape=(4, 4, 1)),
                    "depth": features.Tensor(shape=(4, 4, 1), dtype=tf.float32),
                    "plane": features.Tensor(shape=(4, 4), dtype=tf.float32),
                    "flags": features.Tensor(shape=(3,), dtype=tf.bool),
                    "place": features.BBoxFeature(),
                    "words": features.Sequence(features.Text()),
                    "slots": features.Sequence(
                        features.ClassLabel(num_classes=5)
                    ),
                    "objects": features.Sequence(
                        {
                            "bbox": features.BBoxFeature(),
                            "label": features.ClassLabel(names=["cup", "pan"]),
                            "pose": features.ClassLabel(num_classes=3),
                            "weight": tf.float32,
                        }
                    ),
                    "faces": features.Sequence(features.BBoxFeature()),
                    "odd/name": features.ClassLabel(num_classes=3),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(6)}

    def _generate_examples(self, count):
        draw = np.random.default_rng(0)
        for i in range(count):
            yield (
                i,
                {
                    "image": np.full((4, 4, 3), i, "uint8"),
                    "note": f"number {i}",
                    "label": i % 3,
                    "indoors": i % 2,
                    "price": i / 2,
                    "count": i,
                    "attributes": {"smiles": i > 2, "pose": [i, -i]},
                    "tags": [i % 5, 0, 1],
                    "ground": draw.integers(0, 4, (4, 4, 1), "uint8"),
                    "depth": np.full((4, 4, 1), i, "float32"),
                    "plane": np.full((4, 4), i, "float32"),
                    "flags": [i > 0, True, False],
                    "place": BOX,
                    "words": ["word"] * i,
                    "slots": [4] * i,
                    "objects": [
                        {"bbox": BOX, "label": j % 2, "pose": 2, "weight": 1.0}
                        for j in range(i)
                    ],
                    "faces": [BOX] * (i % 2),
                    "odd/name": i % 3,
                },
            )


OUTPUTS = {
    "animal": "label",
    "indoors": "indoors",
    "price": "price",
    "count": "count",
    "smiles": "attributes/smiles",
    "pose": "attributes/pose",
    "tags": "tags",
    "ground": "ground",
    "depth": "depth",
    "plane": "plane",
    "flags": "flags",
    "place": "place",
    "slots": "slots",
    "odd": "odd/name",
}
KINDS = {"count": "regression", "plane": "regression"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    builder = EveryFeature(data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return builder


def test_features_tell_kinds_and_units(prepared):
    tasks = tasks_from_tfds(prepared, OUTPUTS, kinds=KINDS).tasks
    assert {n: (t.kind, t.units) for n, t in tasks.items()} == {
        "animal": ("multiclass", 3),
        "indoors": ("binary", None),
        "price": ("regression", None),
        "count": ("regression", None),
        "smiles": ("binary", None),
        "pose": ("regression", 2),
        "tags": ("tagging", 5),
        "ground": ("multiclass", 4),
        "depth": ("regression", None),
        "plane": ("regression", None),
        "flags": ("multilabel", 3),
        "place": ("regression", 4),
        "slots": ("tagging", 5),
        "odd": ("multiclass", 3),
    }
    assert tasks["animal"].class_names == ["cat", "dog", "ox"]
    assert tasks["ground"].head is not None


def test_examples_are_inputs_and_labels(prepared):
    found = tasks_from_tfds(prepared, OUTPUTS, kinds=KINDS)
    rows = {int(x[0, 0, 0]): y for x, y in found.dataset("train")}
    assert sorted(rows) == list(range(6))
    for i, y in rows.items():
        assert y["animal"].dtype == "int32" and int(y["animal"]) == i % 3
        assert y["price"].dtype == "float32" and float(y["price"]) == i / 2
        assert int(y["smiles"]) == (i > 2)
        np.testing.assert_array_equal(y["pose"], [i, -i])
        np.testing.assert_array_equal(y["tags"], [i % 5, 0, 1])
        assert y["ground"].shape == (4, 4)
        assert y["depth"].shape == y["plane"].shape == (4, 4, 1)
        np.testing.assert_array_equal(y["flags"], [i > 0, True, False])
        np.testing.assert_array_equal(y["place"], [0.25, 0.0, 0.75, 0.5])
        np.testing.assert_array_equal(y["slots"], [4] * i)
        assert int(y["odd"]) == i % 3


def test_boxes_become_the_maps_of_a_detection_head(prepared):
    outputs = {
        "things": "objects/bbox",
        "poses": ("objects/bbox", "objects/pose"),
        "faces": "faces",
    }
    found = tasks_from_tfds(prepared, outputs, stride=2)
    for name, classes in (("things", 2), ("poses", 3), ("faces", 1)):
        task = found.tasks[name]
        assert isinstance(task.loss, CenterNetLoss)
        assert isinstance(task.head, DetectionHead)
        assert (task.head.classes, task.head.size) == (classes, (2, 2))
        assert task.metrics == []
    box = [0.0, 1.0, 2.0, 3.0]  # of 4 × 4 pixels: left, top, right, bottom
    for x, y in found.dataset("train"):
        i = int(x[0, 0, 0])
        for name, labels, count in (
            ("things", [j % 2 for j in range(i)], 2),
            ("poses", [2] * i, 3),
            ("faces", [0] * (i % 2), 1),
        ):
            expected = encode_boxes(
                [box] * len(labels), labels, count, (2, 2), stride=2
            )
            np.testing.assert_allclose(y[name], expected, atol=1e-6)


def test_a_sequence_of_classes_may_be_a_set_of_them(prepared):
    found = tasks_from_tfds(
        prepared,
        {"has": "tags", "holds": "objects/label"},
        kinds={"has": "multilabel", "holds": "multilabel"},
    )
    assert found.tasks["has"].units == 5
    for x, y in found.dataset("train"):
        i = int(x[0, 0, 0])
        expected = np.zeros(5)
        expected[[i % 5, 0, 1]] = 1
        np.testing.assert_array_equal(y["has"], expected)
        np.testing.assert_array_equal(y["holds"], [i > 0, i > 1])


def test_sequences_of_any_length_are_padded_with_what_is_missing(prepared):
    found = tasks_from_tfds(
        prepared, ["slots", "price"], inputs=["words", "note"]
    )
    data = found.dataset("train").padded_batch(6, padding_values=found.padding)
    x, y = next(iter(data))
    assert x["words"].shape == y["slots"].shape == (6, 5)
    assert y["price"].shape == (6,)
    there = x["words"].numpy() == b"word"
    np.testing.assert_array_equal(y["slots"], np.where(there, 4, -1))
    assert sorted(there.sum(axis=1)) == list(range(6))


def test_images_and_labels_by_pixel_are_resized(prepared):
    found = tasks_from_tfds(
        prepared, ["ground", "depth", "faces"], size=(8, 6), stride=2
    )
    same = tasks_from_tfds(prepared, ["ground"])
    for (x, y), (first, before) in zip(
        found.dataset("train"), same.dataset("train"), strict=True
    ):
        assert x.shape == (8, 6, 3) and x.dtype == "uint8"
        np.testing.assert_array_equal(x[0, 0], first[0, 0])
        assert y["ground"].shape == (8, 6) and y["depth"].shape == (8, 6, 1)
        assert set(np.ravel(y["ground"])) <= set(np.ravel(before["ground"]))
        assert y["faces"].shape == (4, 3, 5)


@pytest.mark.parametrize(
    ("name", "outputs", "arguments", "kinds"),
    [
        ("mnist", ["label"], {}, ["multiclass"]),
        ("imdb_reviews", ["label"], {}, ["binary"]),
        ("glue/stsb", ["label"], {"inputs": ["sentence1"]}, ["regression"]),
        (
            "celeb_a",
            ["attributes/Smiling", "attributes/Young"],
            {"inputs": "image"},
            ["binary", "binary"],
        ),
        (
            "voc",
            {"things": "objects/bbox", "holds": "labels"},
            {
                "inputs": "image",
                "size": (32, 48),
                "kinds": {"holds": "multilabel"},
            },
            ["regression", "multilabel"],
        ),
    ],
)
def test_data_sets_of_tfds(name, outputs, arguments, kinds, offline, tmp_path):
    with tfds.testing.mock_data(num_examples=3):
        found = tasks_from_tfds(name, outputs, data_dir=tmp_path, **arguments)
        assert [task.kind for task in found.tasks.values()] == kinds
        data = found.builder.as_dataset(split="train").map(found.example)
        # Sequences that belong together are not of one length in what is
        # made up here.
        x, y = data.element_spec if name == "voc" else next(iter(data))
    assert set(y) == set(found.tasks)
    if name == "voc":
        assert x.shape == (32, 48, 3)
        assert y["things"].shape == (8, 12, 24)
        assert y["holds"].shape == (20,)


@pytest.mark.parametrize("name", ["mnist", "voc", "imdb_reviews"])
def test_a_data_set_of_tfds_that_is_not_prepared(name, offline, tmp_path):
    outputs = ["labels"] if name == "voc" else ["label"]
    inputs = "image" if name == "voc" else None
    found = tasks_from_tfds(name, outputs, inputs, data_dir=tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{name}.*is not prepared in"):
        found.dataset("train")


@pytest.mark.slow
def test_a_model_learns_where_boxes_are(prepared):
    found = tasks_from_tfds(prepared, {"faces": "faces"}, stride=2)
    model = builders.hard_sharing(
        keras.Input((4, 4, 3)),
        found.tasks,
        [keras.layers.Conv2D(8, 3, 2, "same", name="low")],
    )
    model.compile(keras.optimizers.Adam(0.02))
    data = found.dataset("train").map(lambda x, y: (x / 5, y)).batch(6)
    losses = model.fit(data, epochs=30, shuffle=False, verbose=0).history[
        "loss"
    ]
    assert losses[-1] < losses[0] / 2


def test_several_inputs_are_a_dict(prepared):
    found = tasks_from_tfds(
        prepared, ["attributes/smiles"], inputs=["image", "note"]
    )
    x, y = next(iter(found.dataset("train[:1]")))
    assert set(x) == {"image", "note"}
    assert list(y) == ["smiles"]


def test_what_is_not_prepared_is_said_at_once(tmp_path):
    found = tasks_from_tfds(EveryFeature(data_dir=tmp_path), ["label"])
    with pytest.raises(
        FileNotFoundError, match=r"every_feature.*not prepared in .*prepare it"
    ):
        found.dataset("train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"outputs": ["labels"]},
            "`outputs`.*Received: 'labels'.*mean 'label'",
        ),
        ({"outputs": []}, "`outputs` must name a feature"),
        ({"outputs": ["label"], "inputs": "img"}, "`inputs`.*'img'"),
        ({"outputs": ["count"]}, r"'count' does not tell.*kinds=\{'count'"),
        ({"outputs": ["note"]}, "'note' is text, .* an input but not a label"),
        ({"outputs": ["words"]}, "'words' is text"),
        (
            {"outputs": {"note": "note"}, "kinds": {"note": "sequence"}},
            "'note' is text",
        ),
        ({"outputs": ["plane"]}, "'plane' does not tell"),
        ({"outputs": ["objects/weight"]}, "'objects/weight' does not tell"),
        ({"outputs": ["objects"]}, "mean 'objects/bbox'"),
        (
            {"outputs": ["faces"], "inputs": "note"},
            "`size` must be given for the task 'faces'",
        ),
        (
            {"outputs": {"a": ("place", "label")}},
            "'place' of the task 'a' must be a sequence of boxes",
        ),
        (
            {"outputs": {"a": ("faces", "label")}},
            "'label' must be the classes of the boxes 'faces'",
        ),
        ({"outputs": ["label"], "size": (4,)}, r"`size` must be \(height"),
        ({"outputs": ["label"], "stride": 0}, "`stride` must be a positive"),
    ],
    ids=[
        "misspelt",
        "none",
        "input",
        "integer",
        "text",
        "words",
        "text_with_kind",
        "plane",
        "floats_of_any_number",
        "dict",
        "no_picture",
        "one_box",
        "one_class",
        "size",
        "stride",
    ],
)
def test_bad_features_are_refused(prepared, arguments, message):
    with pytest.raises(ValueError, match=message):
        tasks_from_tfds(prepared, **arguments)
