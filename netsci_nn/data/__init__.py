"""Datasets by name; every loader checks what it loads. A new one is a file here with a function under `DATASETS.register`."""

from netsci_nn.data import digits, mnist  # noqa: F401  (each registers its dataset)
from netsci_nn.data.dataset import DATASETS, IMAGE_SHAPES, Dataset, image_shape_of, load_dataset
from netsci_nn.data.statistic import STATISTICS, input_statistic

__all__ = ["DATASETS", "IMAGE_SHAPES", "STATISTICS", "Dataset", "image_shape_of", "input_statistic", "load_dataset"]
