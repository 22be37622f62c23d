"""`mnist`: 60,000 + 10,000 images of 28 x 28 handwritten digits, from IDX files or, without them, from OpenML."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netsci_nn.data.dataset import DATASETS, IMAGE_SHAPES, Dataset
from netsci_nn.data.idx import read_idx
from netsci_nn.errors import DataError

IMAGE_SHAPE = IMAGE_SHAPES["mnist"] = (28, 28)
FILES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}


@DATASETS.register("mnist")
def load_mnist(data_dir: Path | None = None) -> Dataset:
    """Return MNIST with pixels scaled to [0, 1] and the published split.

    Args:
        data_dir: folder with the four IDX files, plain or .gz, directly or in a folder `mnist`; by default the folder
            that the environment variable NETSCI_NN_DATA names. Where neither is given, scikit-learn downloads
            `mnist_784` from OpenML into its own cache.

    Raises:
        DataError: when a file is missing, damaged or has another shape, or the download fails.
    """
    folder = data_dir if data_dir is not None else os.environ.get("NETSCI_NN_DATA")
    parts = [read_idx(_find(Path(folder), name), shape) for name, shape in FILES.items()] if folder else _from_openml()
    x_train, y_train, x_test, y_test = parts
    labels = y_train.astype(np.int64), y_test.astype(np.int64)
    return Dataset("mnist", _scaled(x_train), labels[0], _scaled(x_test), labels[1], 10, IMAGE_SHAPE)


def _scaled(images: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _find(folder: Path, name: str) -> Path:
    candidates = [base / (name + ending) for base in (folder, folder / "mnist") for ending in ("", ".gz")]
    for path in candidates:
        if path.is_file():
            return path
    raise DataError(f"data_dir {str(folder)!r} has no file {name!r} or {name + '.gz'!r}, directly or in 'mnist'")


def _from_openml() -> list[npt.NDArray[np.generic]]:
    from sklearn.datasets import fetch_openml

    try:
        images, labels = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False, parser="liac-arff")
    except Exception as error:
        raise DataError(
            "dataset 'mnist' is not here and its download from OpenML failed "
            f"({type(error).__name__}: {error}); give the folder of its IDX files by --data-dir or NETSCI_NN_DATA"
        ) from error
    if images.shape != (70_000, 784) or labels.shape != (70_000,):
        raise DataError(f"OpenML gave images {images.shape} and labels {labels.shape}; they must be (70000, 784) and (70000,)")
    labels = labels.astype(np.int64)
    return [images[:60_000], labels[:60_000], images[60_000:], labels[60_000:]]
