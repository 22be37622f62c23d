"""Ctrl-C and requests to terminate: what a program does when they come, whatever it is doing.

A program is first `before_work`: Ctrl-C ends it at once. `at_work`, Ctrl-C raises a KeyboardInterrupt. A block that has
something to keep says so by `keeping`, and `ending` ends the program with that sentence. Training defers Ctrl-C to the end of
the mini-batch by `deferring`.
"""

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

INTERRUPTED = 130  # the exit code of a program that Ctrl-C has ended
TERMINATED = 143  # that of one that was asked to terminate
NOTHING_BEGUN = "nothing was begun"
SECONDS_TO_REPEAT = 0.01

_is_requested = False


class Interrupted(BaseException):
    """Ctrl-C has ended the work; the text says what is kept and how to go on."""


class Terminated(BaseException):
    """The program was asked to terminate: it cleans up and says nothing."""


def is_requested() -> bool:
    """Whether Ctrl-C has come while the program was at work, also if the KeyboardInterrupt was caught on its way."""
    return _is_requested


def before_work() -> None:
    """From here on Ctrl-C ends the process at once: while it imports, an exception could come out as any other error."""
    if _is_main_thread():
        signal.signal(signal.SIGINT, _leave)


def at_work() -> None:
    """From here on Ctrl-C raises a KeyboardInterrupt, and a request to terminate raises `Terminated`."""
    global _is_requested
    _is_requested = False
    if _is_main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, terminate)
        sys.unraisablehook = _repeat


@contextmanager
def keeping(sentence: Callable[[], str]) -> Iterator[None]:
    """If Ctrl-C ends the block, raise `Interrupted` with a sentence that says what is kept, unless one was said within it."""
    try:
        yield
    except BaseException as error:
        if not _is_interruption(error):
            raise
        if isinstance(error, Interrupted):
            raise
        raise Interrupted(sentence()) from None


@contextmanager
def ending(say: Callable[[str], None]) -> Iterator[None]:
    """End the program if Ctrl-C or a request to terminate ends the block; it is deaf to further ones.

    Args:
        say: told after Ctrl-C what is kept.
    """
    try:
        with keeping(lambda: NOTHING_BEGUN):
            yield
    except Interrupted as interruption:
        _ignore()
        say(str(interruption))
        _exit(INTERRUPTED)
    except Terminated:
        _exit(TERMINATED)
    finally:
        _ignore()


@contextmanager
def deferring(action: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls `action` and nothing else; a second one does what Ctrl-C did before the block.

    Outside the main thread signals are not ours to handle.
    """
    if not _is_main_thread():
        yield
        return

    def defer(*_: Any) -> None:
        global _is_requested
        _is_requested = previous is _interrupt  # in a program that is at work
        signal.signal(signal.SIGINT, previous)
        action()

    previous = signal.signal(signal.SIGINT, defer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def starting_deaf_processes() -> Iterator[None]:
    """Processes that are started in the block do not hear Ctrl-C, from their first moment on."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def terminate(*_: Any) -> NoReturn:
    """Handle a request to terminate."""
    raise Terminated


def _leave(*_: Any) -> None:
    with suppress(OSError):
        os.write(2, f"netsci-nn: interrupted; {NOTHING_BEGUN}\n".encode())
    os._exit(INTERRUPTED)


def _interrupt(*_: Any) -> None:
    global _is_requested
    _is_requested = True
    raise KeyboardInterrupt


def _exit(code: int) -> NoReturn:
    """Exit without the end that Python makes of large libraries, which takes seconds."""
    atexit.register(end_process, code)
    sys.exit(code)


def end_process(code: int) -> None:
    """End the process, with what is printed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _ignore() -> None:
    """Ignore Ctrl-C for the rest of the process, which only exits."""
    if _is_main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _repeat(unraisable: Any) -> None:
    """Python drops what is raised in a destructor or a callback of C: repeat a signal that came there a moment later."""
    signals: dict[Any, signal.Signals] = {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM}
    if unraisable.exc_type in signals:
        again = threading.Timer(SECONDS_TO_REPEAT, _thread.interrupt_main, [signals[unraisable.exc_type]])
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


def _is_interruption(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error: what it interrupts may catch it and raise an error of its own."""
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return True
    is_good_end = isinstance(error, SystemExit) and error.code in (None, 0)
    return _is_requested and not is_good_end and not isinstance(error, (Terminated, GeneratorExit))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
