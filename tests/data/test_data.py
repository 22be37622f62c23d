"""Datasets: shapes and ranges of the real ones, and a sentence for every damaged file."""

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets

from netsci_nn import ConfigError, DataError
from netsci_nn.data import DATASETS, Dataset, load_dataset, mnist
from netsci_nn.data.idx import read_idx

ROOT = Path(__file__).resolve().parents[2]


def test_digits() -> None:
    digits = load_dataset("digits")
    assert (digits.x_train.shape, digits.x_test.shape) == ((1437, 64), (360, 64))
    assert (digits.y_train.shape, digits.y_test.shape) == ((1437,), (360,))
    assert (digits.n_features, digits.n_classes, digits.image_shape) == (64, 10, (8, 8))
    assert digits.x_train.dtype == np.float32
    assert digits.y_train.dtype == np.int64
    assert (digits.x_train.min(), digits.x_train.max()) == (0, 1)
    assert np.ptp(np.bincount(digits.y_test)) <= 3  # stratified
    again = load_dataset("digits")
    assert np.array_equal(again.x_train, digits.x_train)
    together = np.concatenate([digits.x_train, digits.x_test])
    everything = sklearn.datasets.load_digits().data.astype(np.float32) / 16
    assert np.array_equal(np.sort(together.sum(axis=1)), np.sort(everything.sum(axis=1)))


def mnist_folder() -> Path:
    candidates = [os.environ.get("NETSCI_NN_DATA"), ROOT.parent / "shared" / "data", ROOT / "shared" / "data"]
    for folder in candidates:
        if folder and any((Path(folder) / sub / "train-labels-idx1-ubyte.gz").is_file() for sub in (".", "mnist")):
            return Path(folder)
    pytest.skip("MNIST is neither in NETSCI_NN_DATA nor in ../shared/data")


def test_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = mnist_folder()
    data = load_dataset("mnist", folder)
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 784), (10_000, 784))
    assert (data.n_features, data.n_classes, data.image_shape) == (784, 10, (28, 28))
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    # The published counts of the ten digits in the training part.
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.x_train.mean(dtype=np.float64) == pytest.approx(0.1306604762738429, rel=1e-6)  # the well-known mean pixel
    monkeypatch.setenv("NETSCI_NN_DATA", str(folder))
    assert np.array_equal(load_dataset("mnist").y_test, data.y_test)


SMALL = {
    "train-images-idx3-ubyte": (6, 28, 28),
    "train-labels-idx1-ubyte": (6,),
    "t10k-images-idx3-ubyte": (4, 28, 28),
    "t10k-labels-idx1-ubyte": (4,),
}


def idx_bytes(shape: tuple[int, ...], magic: int | None = None) -> bytes:
    values = np.random.default_rng(0).integers(0, 10, size=shape, dtype=np.uint8)
    return struct.pack(f">I{len(shape)}I", 0x0800 | len(shape) if magic is None else magic, *shape) + values.tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mnist, "FILES", SMALL)
    for name, shape in SMALL.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(shape)))
    return tmp_path


@pytest.mark.parametrize("zipped", [True, False], ids=["gzip", "plain"])
@pytest.mark.parametrize("sub", [".", "mnist"])
def test_files_plain_or_gzip_directly_or_in_a_folder(
    zipped: bool, sub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "FILES", SMALL)
    folder = tmp_path / sub
    folder.mkdir(exist_ok=True)
    for name, shape in SMALL.items():
        content = idx_bytes(shape)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    data = load_dataset("mnist", tmp_path)
    pixels = np.frombuffer(idx_bytes((6, 28, 28))[16:], dtype=np.uint8)
    assert np.array_equal(data.x_train, pixels.reshape(6, 784).astype(np.float32) / 255)
    assert data.y_test.tolist() == list(idx_bytes((4,))[8:])


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
GOOD = idx_bytes((6, 28, 28))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, gzip.compress(idx_bytes((6, 28, 28), 0x0801)), "has magic number 2049; it must be 2051"),
        (IMAGES, gzip.compress(idx_bytes((6, 28, 28), 0x0D03)), "has magic number 3331; it must be 2051"),
        (LABELS, gzip.compress(idx_bytes((6,), 0x0803)), "has magic number 2051; it must be 2049"),
        (IMAGES, gzip.compress(b""), "has magic number None; it must be 2051"),
        (IMAGES, gzip.compress(GOOD[:10]), "is truncated: it has 10 bytes, its header 16"),
        (IMAGES, gzip.compress(GOOD[:-1]), "is truncated: its header announces 4704 bytes of data, and 4703 follow"),
        (IMAGES, gzip.compress(GOOD + b"\0"), "is too long: its header announces 4704 bytes of data, and more follow"),
        (IMAGES, gzip.compress(idx_bytes((5, 28, 28))), r"announces shape \(5, 28, 28\); it must be \(6, 28, 28\)"),
        (IMAGES, gzip.compress(idx_bytes((6, 28, 27))), r"announces shape \(6, 28, 27\); it must be"),
        (IMAGES, gzip.compress(GOOD)[:200], "cannot be read: ."),
        (IMAGES, gzip.compress(GOOD)[:-4], "cannot be read: ."),
        (IMAGES, b"", "has magic number None|cannot be read"),
        (IMAGES, b"not gzip at all", "cannot be read: ."),
        (IMAGES, gzip.compress(GOOD)[:300] + b"\xff" * 40 + gzip.compress(GOOD)[340:], "cannot be read: ."),
    ],
    # gzip writes the time into its header; test ids must be the same in every process.
    ids=lambda value: "content" if isinstance(value, bytes) else None,
)
def test_damaged_files_are_named(small_mnist: Path, name: str, content: bytes, message: str) -> None:
    (small_mnist / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"file '.*{name}' ({message})"):
        load_dataset("mnist", small_mnist)


def test_labels_out_of_range(small_mnist: Path) -> None:
    content = bytearray(idx_bytes((6,)))
    content[-2] = 10
    (small_mnist / LABELS).write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match=r"mnist: y_train\[4\] is 10; labels must be from 0 to 9"):
        load_dataset("mnist", small_mnist)


def test_missing_file_and_folder(small_mnist: Path, tmp_path: Path) -> None:
    (small_mnist / LABELS).unlink()
    with pytest.raises(DataError, match=r"data_dir '.*' has no file 'train-labels-idx1-ubyte' or 'train-labels-idx1-ubyte.gz'"):
        load_dataset("mnist", small_mnist)
    with pytest.raises(DataError, match="data_dir '/nowhere' has no file"):
        load_dataset("mnist", "/nowhere")


def test_failing_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.delenv("NETSCI_NN_DATA", raising=False)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fail)
    with pytest.raises(
        DataError, match=r"download from OpenML failed .*no network.*give the folder of its IDX files by --data-dir"
    ):
        load_dataset("mnist")


def test_a_header_that_lies_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(struct.pack(">4I", 0x0803, 2**31, 2**15, 2**15))
    with pytest.raises(DataError, match="announces shape"):
        read_idx(path, (6, 28, 28))


def test_unknown_dataset() -> None:
    assert set(DATASETS) == {"digits", "mnist"}
    with pytest.raises(ConfigError, match=r"unknown dataset 'minst' \(did you mean 'mnist'\?\); allowed are: digits, mnist"):
        load_dataset("minst")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 3])}, r"toy: y_train\[1\] is 3; labels must be from 0 to 2"),
        ({"y_test": np.array([-1])}, r"toy: y_test\[0\] is -1"),
        ({"y_train": np.array([0.0, 1.0])}, "toy: y_train has dtype float64; labels must be integers"),
        ({"y_train": np.array([0])}, r"toy: x_train has shape \(2, 4\) and y_train \(1,\)"),
        ({"x_train": np.zeros(2)}, r"toy: x_train has shape \(2,\)"),
        ({"x_test": np.zeros((0, 4)), "y_test": np.zeros(0, int)}, "toy: x_test has shape"),
        ({"x_test": np.zeros((1, 5))}, "toy: x_train has 4 features and x_test 5; they must be equal"),
        ({"x_train": np.array([[0, 0, np.nan, 0], [0] * 4])}, "toy: x_train holds NaN or infinity"),
    ],
)
def test_datasets_check_themselves(changes: dict[str, Any], message: str) -> None:
    good = {"x_train": np.zeros((2, 4)), "y_train": np.array([0, 2]), "x_test": np.zeros((1, 4)), "y_test": np.array([1])}
    Dataset("toy", **good, n_classes=3)
    with pytest.raises(DataError, match=message):
        Dataset("toy", **{**good, **changes}, n_classes=3)
