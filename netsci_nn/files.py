"""Writing that survives a kill or a loss of power: a file holds its old or its new content, never a part of either."""

import errno
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from netsci_nn.errors import ConfigError

AnyPath = str | PathLike[str]


def try_writing(path: AnyPath) -> None:
    """Check that `path` can be written, by making and removing a temporary file beside it, as `atomic_write` will need one.

    Raises:
        ConfigError: when no file can be written at `path`.
    """
    with _writing(path), _temporary_file(_destination(path)):
        pass


@contextmanager
def atomic_write(path: AnyPath) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; rename it to `path` when the block ends without an error.

    The data are flushed to the disk before the rename, so that `path` holds the old or the new content, never a part; the
    rename is flushed with its folder. If the program is killed, the temporary file stays (see `leftovers`).

    Raises:
        ConfigError: when `path` is a folder, a device or anything else but a regular file, when its folder does not exist, or
            when the system refuses to write it, as on a disk that is full or read-only.
    """
    with _writing(path), _temporary_file(target := _destination(path)) as temporary:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
        _flush_folder(target.parent)


def _destination(path: AnyPath) -> Path:
    """Return the file to replace for `path`: symbolic links are followed, not replaced."""
    given = Path(path)
    target = Path(os.path.realpath(given)) if given.is_symlink() else given
    if given.is_dir():
        reason = "is a folder"
    elif given.exists() and not given.is_file():
        reason = "is a device, a pipe or a socket"
    elif not target.parent.is_dir():
        reason = "lies in a folder that does not exist"
    else:
        return target
    raise ConfigError(f"path {str(path)!r} {reason}; it must be a file that can be written")


@contextmanager
def _temporary_file(target: Path) -> Iterator[Path]:
    """Give an empty file beside `target`, with its ending, and remove it at the end if it still exists."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem[:40]}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path: AnyPath) -> Iterator[None]:
    """Name the file if the system refuses to write it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigError(f"path {str(path)!r} cannot be written: {reason}") from error


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the file system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno == errno.EIO:  # anything else says that folders cannot be flushed here
            raise
    finally:
        os.close(handle)


def write_text(path: AnyPath, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: AnyPath, line: str) -> None:
    """Append a line to a file, as UTF-8, and flush it to the disk; if the program is killed, a part of the line may stay.

    Raises:
        ConfigError: when the system refuses to write.
    """
    target = Path(path)
    with _writing(path):
        is_new = not target.exists()
        with target.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            _flush_folder(target.parent)


def make_directory(path: AnyPath) -> None:
    """Make a folder, and those above it, unless it exists; flush the new names to the disk.

    Raises:
        ConfigError: when it cannot be made.
    """
    new = [folder for folder in (Path(path), *Path(path).parents) if not folder.exists()]
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        for folder in new:
            _flush_folder(folder.parent)
    except OSError as error:
        raise ConfigError(f"directory {str(path)!r} cannot be made: {error.strerror or error}") from error


def leftovers(folder: Path, *patterns: str) -> list[Path]:
    """Return the temporary files that `atomic_write` has left in a folder because the program was killed.

    Args:
        folder: it need not exist.
        patterns: of the names of the files that were to be written, such as "*.json".

    Example:
        >>> with tempfile.TemporaryDirectory() as name:
        ...     for entry in (".result.a_3k9x0q.json", "result.json", ".editorconfig"):
        ...         (Path(name) / entry).touch()
        ...     [path.name for path in leftovers(Path(name), "*.json")]
        ['.result.a_3k9x0q.json']
    """
    found = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        parts = re.fullmatch(r"\.(.+)\.[a-z0-9_]{8}(\.[^.]*)?", entry.name)
        if parts and any(fnmatch(parts[1] + (parts[2] or ""), pattern) for pattern in patterns):
            found.append(entry)
    return found


def new_directory(path: AnyPath) -> Path:
    """Return `path`, or the first of path-2, path-3, ... that does not exist yet, so that nothing is overwritten."""
    first = Path(path)
    candidate, number = first, 1
    while candidate.exists():
        number += 1
        candidate = first.with_name(f"{first.name}-{number}")
    return candidate


def to_json(table: Any) -> str:
    """Return a table of plain values as JSON, with null for numbers that are not finite, which JSON cannot write."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [finite(entry) for entry in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(table), indent=2, allow_nan=False) + "\n"
