"""Random calls of every public function, legal ones and such with an error in them, and what becomes of them.

A legal call must give what an independent computation gives. A call with a hostile argument must give a right result too, or be
refused in one sentence; then nothing that it was given may have changed. As a program: `python tests/support/api_calls.py
--seconds 600`; `--repeat "graphs 3 1412"` makes one call again, in this process.
"""

import argparse
import dataclasses
import faulthandler
import importlib
import json
import logging
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from fuzz import CRASH, HANG, LONGEST_SENTENCE, MEMORY_ERROR, OK, REFUSED, UNCLEAR, UNTYPED, place
from hostile import disguises, stranger
from torch import nn

WRONG, CHANGED = "wrong", "changed"
MEMORY = 2**30
"""Bytes of address space that a call may take beyond what the process has when it starts."""
SECONDS = 60
"""In which a call must end; others may use the machine, too."""
AREAS = {name: f"calls_of_{name}" for name in ("graphs", "layers", "models", "analysis")}
PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("netsci_nn", "analysis"))


class Call(NamedTuple):
    """A legal call.

    Attributes:
        arguments: by name.
        check: raises an error if the result is wrong; it is called with the result and the arguments by their names.
        fixed: arguments that stay as they are: large values of them are legal and take forever, or code of the caller.
        changes: whether the function is there to change what it is given.
        refusal: whether the function may refuse the call, since what is feasible is not known beforehand.
        stops: whether it may refuse to go on in the middle of its work, by what has come of it.
        like: a function of others that may raise the same type of error for the same arguments.
    """

    arguments: dict[str, Any]
    check: Callable[..., None]
    fixed: tuple[str, ...] = ()
    changes: bool = False
    refusal: bool = False
    stops: bool = False
    like: Callable[..., Any] | None = None


class Draw(random.Random):
    """A source of random choices that also has one of numpy."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.numpy = np.random.default_rng(self.getrandbits(64))

    def size(self) -> int:
        """Return a number of neurons."""
        return self.choice((1, 2, 3, 5, 8, self.randint(1, 60), self.randint(1, 60)))

    def seed(self, *arguments: Any) -> Any:
        """Return a seed or a generator of a function; with an argument, as `random.Random`, which needs it to begin."""
        if arguments:
            return super().seed(*arguments)
        return self.choice((0, self.getrandbits(31), np.random.default_rng(self.getrandbits(31))))


class Maker(NamedTuple):
    """How a function is called: the function, what draws a legal call, and how often compared with others."""

    function: Callable[..., Any]
    draw: Callable[[Draw], Call]
    weight: float


MAKERS: dict[str, dict[str, Maker]] = {area: {} for area in AREAS}


def calls(area: str, *names: str, weight: float = 1.0) -> Callable[..., Any]:
    """Return a decorator of a function that draws a legal call of public functions: `module.name` or `module.Class.name`."""

    def enter(draw: Callable[..., Call]) -> Callable[..., Call]:
        for name in names:
            MAKERS[area][name] = Maker(resolve(name), draw, weight / len(names))
        return draw

    return enter


def resolve(name: str) -> Callable[..., Any]:
    """Return the function of a name; a property becomes a function of `self`."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        if not callable(found):
            return lambda self: getattr(self, parts[-1])
        return found
    raise LookupError(name)


def makers(area: str) -> dict[str, Maker]:
    """Return how all functions of an area are called."""
    importlib.import_module(AREAS[area])
    return MAKERS[area]


class End(NamedTuple):
    """What became of a call: its kind (see `fuzz.Outcome`; `WRONG` and `CHANGED` beside), the call and what is wrong."""

    kind: str
    text: str

    @property
    def is_failure(self) -> bool:
        return self.kind not in (OK, REFUSED)


def attempt(area: str, seed: int, number: int, tell: Callable[[str], None] = str) -> End:
    """Make the call of a number; `tell` gets it in words before it is made."""
    draw = Draw(f"calls {area} {seed} {number}")
    known = makers(area)
    name = draw.choices(list(known), [maker.weight for maker in known.values()])[0]
    torch.manual_seed(draw.getrandbits(32))
    call = known[name].draw(draw)
    arguments, checked, what = dict(call.arguments), dict(call.arguments), ""
    places = [key for key in arguments if key not in call.fixed]
    is_legal = not places or draw.random() < 0.4
    if not is_legal:
        key = draw.choice(places)
        looks = disguises(arguments[key])
        if looks and draw.random() < 0.3:
            what = draw.choice(list(looks))
            arguments[key] = looks[what]()
        else:
            what, arguments[key] = stranger(draw, arguments[key])
            checked[key] = list(range(3)) if what == "a generator object" else arguments[key]
        what = f" with {key} {what}"
    shown = f"{name}({', '.join(f'{key}={short(value)}' for key, value in call.arguments.items())}){what}"
    tell(shown)
    is_refusable = call.refusal or not is_legal
    before = None if call.changes and is_legal else fingerprint(arguments)
    kept = {key: as_given(value, call.arguments.get(key)) for key, value in checked.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = known[name].function(**arguments)
    except Exception as error:
        kind, detail = _judged(error, call, arguments)
        if kind == REFUSED and not is_refusable:
            return End(WRONG, f"{shown} was refused: {detail}")
        if kind == REFUSED and before is not None and not call.stops and fingerprint(arguments) != before:
            return End(CHANGED, f"{shown} was refused and has changed an argument: {detail}")
        return End(kind, f"{shown}: {detail}")
    if not call.changes and fingerprint(arguments) != before:
        return End(CHANGED, f"{shown} has changed an argument")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call.check(result, **kept)
    except Exception as error:
        return End(WRONG, f"{shown} gave {short(result)}: {place(error)}")
    return End(OK, shown)


def as_given(value: Any, legal: Any) -> Any:
    """Return an argument as the check of a call knows it: a number for one without dimensions, no gradient, no bfloat16."""
    if type(value) in (list, tuple):
        known = legal if isinstance(legal, list | tuple) and len(legal) == len(value) else [None] * len(value)
        return type(value)(as_given(entry, of) for entry, of in zip(value, known, strict=True))
    if type(value) is dict:
        known = legal if type(legal) is dict else {}
        return {key: as_given(entry, known.get(key)) for key, entry in value.items()}
    if type(value) is torch.Tensor and not value.is_meta:
        value = (value.float() if value.dtype == torch.bfloat16 else value).detach()
    is_number = isinstance(legal, int | float | np.number) and getattr(value, "shape", None) == ()
    return value.item() if is_number and not getattr(value, "is_meta", False) else value


def _judged(error: Exception, call: Call, arguments: dict[str, Any]) -> tuple[str, str]:
    """Return whether an error is a refusal that a user can read."""
    from analysis import AnalysisError
    from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError

    if isinstance(error, MemoryError):
        return MEMORY_ERROR, place(error)
    frames = traceback.extract_tb(error.__traceback__)
    is_own = any(package in frames[-1].filename for package in PACKAGES) and (frames[-1].line or "").startswith("raise ")
    is_signature = isinstance(error, TypeError) and len(frames) == 1
    if not isinstance(error, AnalysisError | CheckpointError | ConfigError | DataError | TopologyError):
        is_allowed = is_signature or (is_own and isinstance(error, TypeError | ValueError))
        if not is_allowed and not _is_like(error, call, arguments):
            return UNTYPED, place(error)
        return REFUSED, str(error)
    return (UNCLEAR if "\n" in str(error) or len(str(error)) > LONGEST_SENTENCE else REFUSED), str(error)


def _is_like(error: Exception, call: Call, arguments: dict[str, Any]) -> bool:
    if call.like is None:
        return False
    try:
        call.like(**arguments)
    except type(error):
        return True
    except Exception:
        return False
    return False


def fingerprint(value: Any) -> Any:
    """Return what a value holds, to be compared later; generators of random numbers count as equal."""
    if value is None or isinstance(value, bool | int | float | str | bytes | complex):
        return repr(value) if isinstance(value, float | complex) else value
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, repr(value) if value.dtype == object else value.tobytes()
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.layout != torch.strided:
            return str(value.dtype), tuple(value.shape)
        data = value.detach().cpu()
        return str(data.dtype), tuple(data.shape), repr(data.reshape(-1).tolist())
    if isinstance(value, nn.Module):
        gradients = [None if parameter.grad is None else fingerprint(parameter.grad) for parameter in value.parameters()]
        classes = [(name, type(module), module.training) for name, module in value.named_modules()]
        return classes, {name: fingerprint(entry) for name, entry in value.state_dict().items()}, gradients
    if isinstance(value, torch.optim.Optimizer):
        return fingerprint(value.state_dict())
    if isinstance(value, dict):
        return {key: fingerprint(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [fingerprint(entry) for entry in value]
    if dataclasses.is_dataclass(value):
        return [fingerprint(getattr(value, field.name)) for field in dataclasses.fields(value)]  # type: ignore[arg-type]
    if hasattr(value, "get_edgelist"):
        return value.vcount(), value.get_edgelist(), {name: value.es[name] for name in value.es.attributes()}
    if hasattr(value, "edges") and hasattr(value, "nodes"):
        return list(value.nodes(data=True)), list(value.edges(data=True))
    if hasattr(value, "tocoo"):
        coo = value.tocoo()
        return [fingerprint(np.asarray(part)) for part in (coo.row, coo.col, coo.data)], coo.shape
    return type(value)


def short(value: Any) -> str:
    """Return a value in few characters."""
    if isinstance(value, np.ndarray | torch.Tensor):
        is_few = 0 < np.prod(value.shape) <= 8 and not getattr(value, "is_meta", False) and str(value.dtype) != "object"
        few = f" {value.tolist()}" if is_few else ""
        return f"<{type(value).__name__} {str(value.dtype).removeprefix('torch.')} {list(value.shape)}{few}>"
    if isinstance(value, int) and abs(value) > 10**30:
        return "<a huge int>"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(short(entry) for entry in value[:6])}{', ...' * (len(value) > 6)})"
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key!r}: {short(entry)}' for key, entry in list(value.items())[:6])})"
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # a huge integer in it
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 90 else f"{text[:87]}..."


def _work(area: str, seed: int, n: int, first: int) -> None:
    """Make calls, one after the other, and print a line of JSON before and after each: the work of a child process."""
    faulthandler.enable()
    logging.disable()
    warnings.simplefilter("ignore")
    for name, maker in makers(area).items():  # what is needed is compiled
        draw = Draw(f"warm {name}")
        for _ in range(3):
            call = maker.draw(draw)
            try:
                maker.function(**call.arguments)
            except ValueError:
                continue
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for number in range(first, n):

        def tell(text: str, number: int = number) -> None:
            print(json.dumps([number, text]), flush=True)

        print(json.dumps([number, *attempt(area, seed, number, tell)]), flush=True)


def run(area: str, seed: int, n: int) -> Iterator[End]:
    """Make `n` calls in child processes, each of which ends with the call that brings it down."""
    first, is_again = 0, False  # whether the first call has taken too long before
    while first < n:
        with tempfile.TemporaryDirectory() as folder:
            printed, said = Path(folder, "out"), Path(folder, "err")
            limits = ["--seed", str(seed), "--number", str(n), "--first", str(first)]
            environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
            with printed.open("w") as out, said.open("w") as err:
                command = [sys.executable, __file__, "--child", area, *limits]
                child = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
            try:
                code = watched(child, printed)
            finally:
                child.kill()
                child.wait()
            lines = [json.loads(line) for line in printed.read_text().splitlines(keepends=True) if line.endswith("\n")]
            assert lines, said.read_text()
            for _, *result in lines:
                if len(result) == 2:
                    yield End(*result)
            first = lines[-1][0] + 1
            if len(lines[-1]) == 2:
                if code is None and not is_again:  # it may have compiled something
                    first, is_again = first - 1, True
                    continue
                yield End(HANG if code is None else CRASH, f"{lines[-1][1]}: exit code {code}: {said.read_text()[-300:]}")
            is_again = False


def watched(child: subprocess.Popen[bytes], printed: Path) -> int | None:
    """Wait for the end of a child; None if it has printed nothing for too long."""
    size, since = 0, time.monotonic()
    while child.poll() is None:
        time.sleep(0.05)
        if printed.stat().st_size != size:
            size, since = printed.stat().st_size, time.monotonic()
        elif time.monotonic() - since > (SECONDS if size else 10 * SECONDS):
            return None
    return child.returncode


def main() -> None:
    """Make calls of all areas in turn until the time is up, and print each kind of failure once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--number", type=int, default=2000, help="calls per area and round")
    parser.add_argument("--area", action="append", choices=AREAS, help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", help='one call, as "AREA SEED NUMBER"')
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _work(options.child, options.seed, options.number, options.first)
        return
    if options.repeat:
        area, seed, number = options.repeat.split()
        print(*attempt(area, int(seed), int(number)))
        return
    end, seed, kinds, seen = time.monotonic() + options.seconds, options.seed, Counter[tuple[str, str]](), set[str]()
    while time.monotonic() < end:
        for area in options.area or AREAS:
            begin = time.monotonic()
            for number, outcome in enumerate(run(area, seed, options.number)):
                kinds[area, outcome.kind] += 1
                key = f"{outcome.text.partition('(')[0]} {outcome.text[-90:]}"
                if outcome.is_failure and key not in seen:
                    seen.add(key)
                    print(f"{area} {seed} {number} {outcome.kind}: {outcome.text}", flush=True)
            counts = {kind: count for (of, kind), count in sorted(kinds.items()) if of == area}
            print(area, counts, f"{options.number / (time.monotonic() - begin):.0f} calls per second", flush=True)
        seed += 1


if __name__ == "__main__":
    sys.modules["api_calls"] = sys.modules["__main__"]  # the areas import what runs
    main()
