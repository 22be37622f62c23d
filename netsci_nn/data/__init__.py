"""Datasets by name; every loader checks what it loads. A new one is a file here with a function under `DATASETS.register`."""

from netsci_nn.data import digits, mnist  # noqa: F401  (each registers its dataset)
from netsci_nn.data.dataset import DATASETS, Dataset, load_dataset
from netsci_nn.data.statistic import STATISTICS, input_statistic

__all__ = ["DATASETS", "STATISTICS", "Dataset", "input_statistic", "load_dataset"]
