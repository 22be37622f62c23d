"""`digits`: 1,797 images of 8 x 8 handwritten digits that scikit-learn carries; needs no network and no files."""

from pathlib import Path

import numpy as np

from netsci_nn.data.dataset import DATASETS, IMAGE_SHAPES, Dataset

SPLIT_SEED = 0
IMAGE_SHAPE = IMAGE_SHAPES["digits"] = (8, 8)


@DATASETS.register("digits")
def load_digits(data_dir: Path | None = None) -> Dataset:
    """Return the digits with pixels scaled to [0, 1], one fifth of each class held out for testing, always the same.

    Source: the test part of "Optical recognition of handwritten digits" (Alpaydin & Kaynak 1998), as shipped with
    scikit-learn.
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    x, y = datasets.load_digits(return_X_y=True)
    parts = train_test_split(x / 16.0, y, test_size=0.2, random_state=SPLIT_SEED, stratify=y)
    x_train, x_test = (part.astype(np.float32) for part in parts[:2])
    y_train, y_test = (part.astype(np.int64) for part in parts[2:])
    return Dataset("digits", x_train, y_train, x_test, y_test, n_classes=10, image_shape=IMAGE_SHAPE)
