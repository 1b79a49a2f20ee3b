"""Reviews of 16 domains, negative or positive."""

from keras_mtl.data.tfds.review_domains.review_domains_dataset_builder import (
    ReviewDomains,
    find_files,
)

__all__ = ["ReviewDomains", "find_files"]
