"""Tasks from features of TFDS: every kind of feature, and examples of it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_mtl.data import tasks_from_tfds


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
}
KINDS = {"count": "regression"}


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
        assert y["depth"].shape == (4, 4, 1)


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
        ({"outputs": ["note"]}, "'note' does not tell"),
    ],
    ids=["misspelt", "none", "input", "integer", "text"],
)
def test_bad_features_are_refused(prepared, arguments, message):
    with pytest.raises(ValueError, match=message):
        tasks_from_tfds(prepared, **arguments)
