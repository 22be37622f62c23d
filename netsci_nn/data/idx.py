"""The IDX file format of MNIST and its relatives, plain or gzip."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from netsci_nn.errors import DataError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes whose header must announce exactly `shape`.

    The length is checked against the header before anything of that size is allocated.

    Raises:
        DataError: naming the file, when it is damaged, truncated, too long, or holds something else.
    """
    header_size = 4 + 4 * len(shape)
    expected = int(np.prod(shape))
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            content = file.read(header_size + expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"file {str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    magic = struct.unpack(">I", content[:4])[0] if len(content) >= 4 else None
    expected_magic = UNSIGNED_BYTE << 8 | len(shape)
    if magic != expected_magic:
        raise DataError(f"file {str(path)!r} has magic number {magic}; it must be {expected_magic}")
    if len(content) < header_size:
        raise DataError(f"file {str(path)!r} is truncated: it has {len(content)} bytes, its header {header_size}")
    announced = struct.unpack(f">{len(shape)}I", content[4:header_size])
    if announced != shape:
        raise DataError(f"file {str(path)!r} announces shape {announced}; it must be {shape}")
    if len(content) != header_size + expected:
        state = "truncated" if len(content) < header_size + expected else "too long"
        raise DataError(
            f"file {str(path)!r} is {state}: its header announces {expected} bytes of data, "
            f"and {'more' if state == 'too long' else len(content) - header_size} follow"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)
