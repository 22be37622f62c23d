"""Output files: check before the work that they can be written, and say after Ctrl-C which were."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from netsci_nn.errors import ConfigError
from netsci_nn.files import try_writing
from netsci_nn.interruption import keeping


def check_writable(*paths: Path | None, reads: Path | None = None) -> None:
    """Raise a ConfigError unless every path can be a file of its own, so that no work is lost at the end.

    Args:
        paths: files that are to be written; None for those that are not wanted.
        reads: the file or the run directory that is read, which results must leave as it is.
    """
    wanted = [path for path in paths if path is not None]
    for path in wanted:
        try_writing(path)
        if reads is not None and (_is_part_of_run(path, reads) if reads.is_dir() else _is_same(path, reads)):
            raise ConfigError(f"path {str(path)!r} is read by this command; its results must go to another file")
    for first, second in combinations(wanted, 2):
        if _is_same(first, second):
            raise ConfigError(f"path {str(second)!r} is given for two results; each needs a file of its own")


@contextmanager
def report_unwritten(*paths: Path | None) -> Iterator[None]:
    """If Ctrl-C ends the block, say which of these paths it has written and which not."""
    before = {path: _version(path) for path in paths if path is not None}

    def sentence() -> str:
        is_written = {path: _version(path) != version for path, version in before.items()}
        groups = [(True, "written"), (False, "not written")]
        parts = [_clause([str(path) for path, found in is_written.items() if found == wanted], how) for wanted, how in groups]
        return ", ".join(filter(None, parts)) or "what was printed is all there is"

    with keeping(sentence):
        yield


def _version(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def _clause(names: list[str], how: str) -> str:
    return f"{' and '.join(names)} {'was' if len(names) == 1 else 'were'} {how}" if names else ""


def _is_part_of_run(path: Path, run: Path) -> bool:
    from netsci_nn.experiment import RunDirectory  # with it comes torch, which not every command needs

    return RunDirectory(run).is_part(path)


def _is_same(first: Path, second: Path) -> bool:
    if first.exists() and second.exists():
        return first.samefile(second)
    return os.path.realpath(first) == os.path.realpath(second)
