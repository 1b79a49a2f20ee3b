"""Two regressions that are related as closely as is wanted."""

from keras_mtl.data.tfds.multi_correlation.multi_correlation_dataset_builder import (  # noqa: E501
    MultiCorrelation,
    MultiCorrelationConfig,
)

__all__ = ["MultiCorrelation", "MultiCorrelationConfig"]
