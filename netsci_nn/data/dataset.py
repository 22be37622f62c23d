"""`Dataset`: labelled rows, split into training and test, checked once; and the registry of loaders."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import check_count
from netsci_nn.errors import DataError
from netsci_nn.registry import Registry


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of features with integer labels, as loaded: features are not standardised.

    Args:
        name: as in the registry.
        x_train: float32 `[n_train, n_features]`.
        y_train: int64 `[n_train]`, 0 to n_classes - 1.
        x_test: float32 `[n_test, n_features]`.
        y_test: int64 `[n_test]`.
        n_classes: number of classes.
        image_shape: (rows, columns) where features are pixels, else None.

    Raises:
        DataError: when shapes differ, features are not finite, or a label is out of range.
    """

    name: str
    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.int64]
    n_classes: int
    image_shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for part, x, y in (("train", self.x_train, self.y_train), ("test", self.x_test, self.y_test)):
            if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or x.dtype.kind not in "biuf":
                kinds = [f"of {v.dtype}" if isinstance(v, np.ndarray) else f"a {type(v).__name__}" for v in (x, y)]
                raise DataError(f"{self.name}: x_{part} is {kinds[0]} and y_{part} {kinds[1]}; they must be arrays of numbers")
            if x.ndim != 2 or len(x) == 0 or y.shape != (len(x),):
                raise DataError(
                    f"{self.name}: x_{part} has shape {x.shape} and y_{part} {y.shape}; they must be [n, n_features] and [n]"
                )
            if not np.isfinite(x).all():
                raise DataError(f"{self.name}: x_{part} holds NaN or infinity; features must be finite")
            check_labels(f"{self.name}: y_{part}", y, self.n_classes)
        if self.x_train.shape[1] != self.x_test.shape[1]:
            raise DataError(
                f"{self.name}: x_train has {self.x_train.shape[1]} features and x_test {self.x_test.shape[1]}; "
                "they must be equal"
            )

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.x_train.shape[1]


def check_labels(name: str, labels: npt.NDArray[np.int64], n_classes: int) -> None:
    """Raise a DataError unless every label is an integer from 0 to n_classes - 1."""
    n_classes = check_count("n_classes", n_classes, 1, error=DataError)
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name} has dtype {labels.dtype}; labels must be integers")
    outside = (labels < 0) | (labels >= n_classes)
    if outside.any():
        position = int(outside.argmax())
        raise DataError(f"{name}[{position}] is {labels[position]}; labels must be from 0 to {n_classes - 1}")


DATASETS: Registry[Callable[[Path | None], Dataset]] = Registry("dataset")

IMAGE_SHAPES: dict[str, tuple[int, int]] = {}
"""(rows, columns) of the datasets whose features are pixels, stated beside their loaders."""


def image_shape_of(name: str) -> tuple[int, int] | None:
    """Return (rows, columns) of a dataset of images, or None for any other name; nothing is loaded for that."""
    return IMAGE_SHAPES.get(name) if isinstance(name, str) else None


def load_dataset(name: str, data_dir: str | PathLike[str] | None = None) -> Dataset:
    """Load a dataset by name.

    Args:
        name: a name in `DATASETS`.
        data_dir: folder with the files, for datasets that come from files; by default the environment variable
            `NETSCI_NN_DATA` if it is set.

    Raises:
        ConfigError: when the name is unknown.
        DataError: when files are missing or damaged.

    Example:
        >>> digits = load_dataset("digits")
        >>> digits.x_train.shape, digits.x_test.shape, digits.n_classes, digits.image_shape
        ((1437, 64), (360, 64), 10, (8, 8))
    """
    return DATASETS[name](Path(data_dir) if data_dir is not None else None)
