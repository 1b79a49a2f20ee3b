"""The test case that TFDS has for builders, on each of ours."""

import pathlib
import shutil
import tempfile

import pytest
import tensorflow_datasets as tfds

from keras_mtl import data
from keras_mtl.data import tfds as ours
from keras_mtl.data.tfds.multi_correlation import (
    multi_correlation_dataset_builder,
)
from keras_mtl.data.tfds.scenes import scenes_dataset_builder

from .test_multi_digits import TEST, TRAIN, prepare_fake
from .test_nyu_v2 import NUMBERS, write_pictures

HERE = pathlib.Path(__file__).parent
FEW = {"train": 3, "validation": 2, "test": 1}


class Contract(tfds.testing.DatasetBuilderTestCase):
    """As TFDS has it."""

    def test_session(self, *args, **kwargs):
        return super().test_session(*args, **kwargs)

    test_session.__test__ = False  # but a helper of TensorFlow


class TestCensusIncome(Contract):
    DATASET_CLASS = ours.CensusIncome
    EXAMPLE_DIR = HERE / "census_income"
    SPLITS = {"train": 12, "validation": 4, "test": 3}


class TestJointSluAtis(Contract):
    DATASET_CLASS = ours.JointSlu
    BUILDER_CONFIG_NAMES_TO_TEST = ["atis"]
    EXAMPLE_DIR = HERE / "joint_slu"
    SPLITS = {"train": 3, "validation": 1, "test": 2}


class TestJointSluSnips(Contract):
    DATASET_CLASS = ours.JointSlu
    BUILDER_CONFIG_NAMES_TO_TEST = ["snips"]
    EXAMPLE_DIR = HERE / "joint_slu"
    SPLITS = {"train": 2, "validation": 1, "test": 1}


class TestMulti30k(Contract):
    DATASET_CLASS = ours.Multi30k
    EXAMPLE_DIR = HERE / "multi30k"
    SPLITS = {"train": 7, "validation": 2, "test": 1}


class TestReviewDomains(Contract):
    DATASET_CLASS = ours.ReviewDomains
    EXAMPLE_DIR = HERE / "review_domains"
    SPLITS = {"train": 19, "test": 16}


class WithMadeFiles(Contract):
    """Fake data that are made, not shipped."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.EXAMPLE_DIR = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.EXAMPLE_DIR)
        patch = pytest.MonkeyPatch()
        cls.addClassCleanup(patch.undo)
        cls.make(cls.EXAMPLE_DIR, patch)

    @staticmethod
    def make(folder, patch):
        raise NotImplementedError


class TestNyuV2(WithMadeFiles):
    DATASET_CLASS = ours.NyuV2
    SPLITS = {split: len(numbers) for split, numbers in NUMBERS.items()}

    @staticmethod
    def make(folder, patch):
        write_pictures(folder)


class TestMultiDigits(WithMadeFiles):
    DATASET_CLASS = ours.MultiDigits
    BUILDER_CONFIG_NAMES_TO_TEST = ["mixed"]
    SPLITS = {"train": TRAIN, "test": TEST}

    @staticmethod
    def make(folder, patch):
        prepare_fake("mnist", folder, first=1)
        prepare_fake("fashion_mnist", folder, first=101)

    def _make_builder(self, config=None):
        return self.DATASET_CLASS(
            data_dir=self.tmp_dir, config=config, source_dir=self.EXAMPLE_DIR
        )


class TestScenes(WithMadeFiles):
    DATASET_CLASS = ours.Scenes
    SPLITS = FEW

    @staticmethod
    def make(folder, patch):
        patch.setattr(scenes_dataset_builder, "COUNTS", FEW)


class TestMultiCorrelation(WithMadeFiles):
    DATASET_CLASS = ours.MultiCorrelation
    BUILDER_CONFIG_NAMES_TO_TEST = ["0.9"]
    SPLITS = FEW

    @staticmethod
    def make(folder, patch):
        patch.setattr(multi_correlation_dataset_builder, "COUNTS", FEW)


# Not test cases by themselves; they would fail for want of a builder.
del Contract, WithMadeFiles


def test_each_builder_has_one():
    cases = [
        case.DATASET_CLASS
        for name, case in globals().items()
        if name.startswith("Test")
    ]
    assert {case.__name__ for case in cases} == set(ours.__all__)


# What is drawn needs no files.
LOADERS = sorted(
    name
    for name in data.__all__
    if name.startswith("load_") and name != "load_scenes"
)


def test_each_builder_of_files_has_a_loader():
    drawn = {"Scenes", "MultiCorrelation"}
    loaders = {name.removeprefix("load_") for name in LOADERS}
    assert loaders == {getattr(ours, n).name for n in set(ours.__all__) - drawn}


@pytest.mark.parametrize("name", LOADERS)
def test_what_is_not_prepared_is_one_sentence_at_once(name, offline, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        getattr(data, name)(data_dir=tmp_path)
    message = str(caught.value)
    assert f"not prepared in {tmp_path}" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ours.__all__)
def test_each_builder_has_its_pages(name, tmp_path):
    builder = getattr(ours, name)
    folder = pathlib.Path(builder.code_path).parent
    for page in ("README.md", "TAGS.txt"):
        assert (folder / page).stat().st_size
    assert "icence" in (folder / "README.md").read_text("utf-8")
    info = builder(data_dir=tmp_path).info.as_proto
    assert info.redistribution_info.license
    if name != "Scenes":  # of nobody else
        assert "@" in (folder / "CITATIONS.bib").read_text("utf-8")
