"""What a run of the command line comes to."""

import atexit
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from netsci_nn import interruption


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@contextmanager
def own_signals() -> Iterator[None]:
    """Give signals back to the tests after the program, which keeps them to its end."""
    numbers, hook = (signal.SIGINT, signal.SIGTERM), sys.unraisablehook
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        sys.unraisablehook = hook
        interruption._is_requested = False
        atexit.unregister(interruption.end_process)


Cli = Callable[..., Outcome]
