"""What all commands share: consoles, the errors they report, tables, and where results go."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table
from rich.text import Text

import netsci_nn
from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError

PLAIN_WIDTH = 136  # columns, where the output is not a terminal
INTERRUPTED = 130  # the exit code of a program that Ctrl-C has ended

STDOUT = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
STDERR = Console(stderr=True)


def import_analysis() -> ModuleType:
    """Return the package `analysis` that belongs to this program.

    Raises:
        ConfigError: when another module of that common name comes first on the import path.
    """
    import analysis

    found, expected = Path(analysis.__file__ or "").resolve(), Path(netsci_nn.__file__).resolve().parent.parent
    if found.parent.parent != expected:
        raise ConfigError(f"module 'analysis' is {str(found)!r}, which hides netsci_nn's own; rename it or run elsewhere")
    return analysis


@contextmanager
def reported_errors() -> Iterator[None]:
    """End the program with one sentence and exit code 2 where the block raises an error that the user can mend."""
    mendable: tuple[type[Exception], ...] = (TopologyError, ConfigError, DataError, CheckpointError)
    try:
        mendable += (import_analysis().AnalysisError,)
        yield
    except mendable as error:
        STDERR.print(f"netsci-nn: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        STDERR.print("netsci-nn: interrupted", style="red")
        sys.exit(INTERRUPTED)


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose first column is aligned left and the others right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for position, name in enumerate(header):
        table.add_column(name, justify="left" if position == 0 else "right", no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    STDOUT.print(table)


def new_directory(path: Path) -> Path:
    """Return `path`, or the first of path-2, path-3, ... that does not exist yet; nothing is overwritten."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def check_writable(*paths: Path | None) -> None:
    """Raise a ConfigError unless every path can be a file, so that no work is lost at the end."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            reason = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
            raise ConfigError(f"path {str(path)!r} {reason}; it must be a file that can be written")
