"""Census-Income (KDD): who earns more than $50,000, from a survey."""

from keras_mtl.data.tfds.census_income.census_income_dataset_builder import (
    CensusIncome,
    find_files,
)

__all__ = ["CensusIncome", "find_files"]
