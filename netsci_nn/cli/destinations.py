"""Output files: check before the work that they can be written, and report after Ctrl-C which were not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import typer

from netsci_nn.cli.output import INTERRUPTED, report_interrupted
from netsci_nn.errors import ConfigError
from netsci_nn.files import try_writing


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
    """If Ctrl-C ends the block, report that these paths were not written."""
    try:
        yield
    except KeyboardInterrupt:
        names = [str(path) for path in paths if path is not None]
        report_interrupted(f"{' and '.join(names)} {'was' if len(names) == 1 else 'were'} not written" if names else "")
        raise typer.Exit(INTERRUPTED) from None


def _is_part_of_run(path: Path, run: Path) -> bool:
    from netsci_nn.experiment import RunDirectory  # with it comes torch, which not every command needs

    return RunDirectory(run).is_part(path)


def _is_same(first: Path, second: Path) -> bool:
    if first.exists() and second.exists():
        return first.samefile(second)
    return os.path.realpath(first) == os.path.realpath(second)
