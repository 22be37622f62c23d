"""What all commands share: consoles, the errors they report, and tables."""

import codecs
import importlib.metadata
import importlib.util
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from rich.console import Console

import netsci_nn
from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError
from netsci_nn.interruption import INTERRUPTED, ending, is_requested
from netsci_nn.reports.tables import plain_table

PLAIN_WIDTH = 136  # columns, if the output is not a terminal
FAILED = 2  # the exit code of an error that the user can correct
CUT_OFF = 1  # the exit code where nobody reads the output any more

# A program without standard output has None there.
STDOUT = Console(width=None if sys.stdout is not None and sys.stdout.isatty() else PLAIN_WIDTH)
STDERR = Console(stderr=True)

IN_ASCII = {"±": "+-", "…": "..."}
"""What stands for characters of tables on a terminal that does not have them; for others it is a question mark."""


def find_analysis() -> Path:
    """Return the file of the package `analysis` that belongs to this program, without importing it.

    Raises:
        ConfigError: when another module of that common name comes first on the import path.
    """
    specification = importlib.util.find_spec("analysis")
    found = Path((specification and specification.origin) or "").resolve()
    if found.parent.parent != Path(netsci_nn.__file__).resolve().parent.parent:
        raise ConfigError(f"module 'analysis' is {str(found)!r}, which hides netsci_nn's own; rename it or run elsewhere")
    return found


def _check_current_folder() -> None:
    """Raise a ConfigError if the current folder is gone: torch ends the process where it is."""
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError(f"the current folder cannot be used: {error.strerror or error}") from error


def print_anywhere() -> None:
    """Let standard output take every character, also in an encoding that does not have it, such as ASCII under LC_ALL=C."""
    codecs.register_error("netsci_nn", _in_ascii)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="netsci_nn")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(IN_ASCII.get(character, "?") for character in missing), error.end


def version() -> str:
    """Return the version of this program."""
    return importlib.metadata.version("netsci-nn")


@contextmanager
def reported_errors() -> Iterator[None]:
    """End the program with one sentence and exit code 2 if the block raises an error that the user can correct.

    Ctrl-C ends it with a sentence that says what is kept, and exit code 130. Where nobody reads the standard output any more,
    the program ends without a word.
    """
    try:
        _check_current_folder()
        find_analysis()
        with _flushed_output(), ending(_say_interrupted):
            yield
    except (TopologyError, ConfigError, DataError, CheckpointError) as error:
        _fail(str(error))
    except BrokenPipeError:
        _discard_output()
        sys.exit(INTERRUPTED if is_requested() else CUT_OFF)
    except OSError as error:
        _discard_output()
        place = "output cannot be written" if error.filename is None else f"file {str(error.filename)!r} cannot be used"
        _fail(f"{place}: {error.strerror or error}")
    except MemoryError as error:
        _fail(f"there is not enough memory ({error})")
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        _fail(f"{error}: the system allows no more of them")
    except ValueError as error:
        if not _is_of_analysis(error):
            raise
        _fail(str(error))


def print_line(text: str) -> None:
    """Print a line as it is: brackets are no markup, and long lines are not wrapped."""
    STDOUT.print(text, markup=False, highlight=False, soft_wrap=True)


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose first column is aligned left and the others right."""
    STDOUT.print(plain_table(title, header, rows))


def _is_of_analysis(error: ValueError) -> bool:
    """Whether it is an `AnalysisError`, which only what has loaded `analysis` can raise."""
    errors = sys.modules.get("analysis.base.errors")
    return errors is not None and isinstance(error, errors.AnalysisError)


def _say_interrupted(kept: str) -> None:
    with suppress(OSError):
        STDERR.print(f"netsci-nn: interrupted; {kept}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _fail(sentence: str) -> NoReturn:
    with suppress(OSError):
        STDERR.print(f"netsci-nn: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    _drop_unwritable_stderr()
    sys.exit(FAILED)


@contextmanager
def _flushed_output() -> Iterator[None]:
    """Write out what is buffered while an error can still be reported."""
    try:
        yield
    finally:
        _drop_unwritable_stderr()
        if sys.stdout is not None:
            sys.stdout.flush()


def _drop_unwritable_stderr() -> None:
    """Send nowhere what standard error does not take, which would make exit code 120 of any other."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _discard_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter has nothing to complain of at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
