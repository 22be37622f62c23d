"""The lock of a run directory: one process at a time writes to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from netsci_nn.errors import ConfigError
from netsci_nn.files import make_directory

NAME = ".lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if it does not exist.

    The system takes the lock back when a process ends, in whatever way, so the file that a killed one leaves locks nobody out.

    Raises:
        ConfigError: if another process holds it, or the directory cannot be made or written.
    """
    make_directory(directory)
    lock = FileLock(directory / NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"run directory {str(directory)!r} is in use by another process; wait until it has ended") from error
    except OSError as error:
        raise ConfigError(f"run directory {str(directory)!r} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        # While it is held: a process that has opened the file meanwhile finds that its name is gone, and gets no lock on it.
        (directory / NAME).unlink(missing_ok=True)
        lock.release()
