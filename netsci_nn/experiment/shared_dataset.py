"""A dataset that worker processes take from memory without a name, whose descriptor is all that they are handed."""

import io
import mmap
import os
import tempfile
from multiprocessing import reduction
from typing import Any

import numpy as np

from netsci_nn.data import Dataset

ARRAYS = "x_train", "y_train", "x_test", "y_test"


class SharedDataset:
    """Arrives as a `Dataset` when it is handed to a process that is being spawned; close it when all have been.

    What such a process is handed goes through a pipe whose other end Python keeps open itself. If the process dies before it
    has read all, Python waits for ever, unless the pipe has room for the rest, and it has room for 64 kB.

    Args:
        dataset: what the processes get.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        in_memory = hasattr(os, "memfd_create")  # on Linux
        self._file: Any = os.fdopen(os.memfd_create("dataset"), "w+b") if in_memory else tempfile.TemporaryFile()  # noqa: SIM115
        np.savez(self._file, **{name: getattr(dataset, name) for name in ARRAYS})
        self._file.flush()

    def close(self) -> None:
        """Give the memory back; processes that have been started keep what they have."""
        self._file.close()

    def __reduce__(self) -> tuple[Any, ...]:
        others = self._dataset.name, self._dataset.n_classes, self._dataset.image_shape
        return _read, (reduction.DupFd(self._file.fileno()), *others)


def _read(descriptor: Any, name: str, n_classes: int, image_shape: tuple[int, int] | None) -> Dataset:
    number = descriptor.detach()
    with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as memory:
        found = np.load(io.BytesIO(memory), allow_pickle=False)
        arrays = {array: found[array] for array in ARRAYS}
    os.close(number)
    return Dataset(name=name, n_classes=n_classes, image_shape=image_shape, **arrays)
