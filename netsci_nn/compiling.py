"""`njit`: numba's compiler with a cache on disk that cannot stop the work, be its folder missing, full or damaged.

numba decides where compiled code is kept when a function is decorated, and raises an error where it may write nowhere, when the
disk is full, and when it cannot read what is there. Here such a function is compiled anew, and one warning says so. This file
is in `netsci_nn` and in `analysis`, which do not import each other.
"""

import functools
import hashlib
import os
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

config: Any = numba.config

WARNED = "NETSCI_NN_CACHE_WARNED"
"""Set in the environment once the warning is given, so that neither the other package nor a worker process repeats it."""


def njit(*, cache: bool = False, **options: Any) -> Any:
    """`numba.njit`, whose `cache=True` never raises an error."""

    def decorate(function: Any) -> Any:
        compiled = numba.njit(**options)(function)
        kept = _cache_of(function) if cache else None
        if kept is not None:
            compiled._cache = kept  # what `cache=True` of numba does
        return compiled

    return decorate


def _cache_of(function: Any) -> FunctionCache | None:
    """Return the cache of a function where numba finds a folder for it, else in a temporary folder; None without any."""
    try:
        return _Cache(function)
    except RuntimeError:  # numba can write in none of its folders
        folder = _temporary_folder()
    if folder is None:
        return None
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = folder
        return _Cache(function)
    except RuntimeError:
        return None
    finally:
        config.CACHE_DIR = before


@functools.cache
def _temporary_folder() -> str | None:
    """Return a folder in the system's temporary one, or None, and say so once."""
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    folder: str | None = None
    try:
        place = os.path.join(tempfile.gettempdir(), f"netsci_nn-compiled{user}")
        os.makedirs(place, mode=0o700, exist_ok=True)
        _check_own(place)
        tempfile.TemporaryFile(dir=place).close()
        folder = place
    except OSError:
        pass
    where = "is compiled anew by every process" if folder is None else f"is kept in {folder!r}"
    _warn(f"neither the folder of the program nor a cache folder of the user can be written, so compiled code {where}")
    return folder


def _check_own(folder: str) -> None:
    """Raise a PermissionError if anybody else can write there, since what is there is executed."""
    found = os.lstat(folder)
    if hasattr(os, "getuid") and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise PermissionError(f"{folder!r} belongs to others")


def _warn(what: str) -> None:
    if WARNED not in os.environ:
        os.environ[WARNED] = "1"
        warnings.warn(f"{what}; NUMBA_CACHE_DIR can name a folder for it", RuntimeWarning, stacklevel=2)


class _CheckedFile(IndexDataCacheFile):
    """Files that end with a hash of what is before it, which pickle does not read: damaged machine code would be executed."""

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:
        with super()._open_for_write(filepath) as file:
            buffer = BytesIO()
            yield buffer
            file.write(buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest())

    def _load_index(self) -> dict[Any, str]:
        return super()._load_index() if _is_whole(self._index_path) else {}

    def _load_data(self, name: str) -> Any:
        return super()._load_data(name) if _is_whole(self._data_path(name)) else None


def _is_whole(path: str) -> bool:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    size = hashlib.sha256().digest_size
    return hashlib.sha256(content[:-size]).digest() == content[-size:]


class _Cache(FunctionCache):
    def __init__(self, function: Any) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _CheckedFile(locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever it is, compiling anew replaces it
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn(f"compiled code cannot be kept on disk ({error.strerror or error}), so other processes compile it anew")
