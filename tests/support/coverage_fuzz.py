"""Damaged files that are bred: what makes a reader take a new way is damaged further. An optional tool, which needs atheris.

    pip install atheris
    python tests/support/coverage_fuzz.py --format npz --minutes 10 --keep FOLDER

It begins with the sound files of `fuzz_formats.py`, damages them as `damage.py` and libFuzzer do, and judges as `fuzz.py`.
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import FunctionType, ModuleType

from damage import damaged
from fuzz import CRASH, HANG, OK, REFUSED, TIME_IS_UP, judged, limit_process
from fuzz_formats import Format, formats

READERS = (
    *("netsci_nn.intake.take_in", "netsci_nn.intake.edge_list", "netsci_nn.intake.shards", "netsci_nn.intake.state_dict"),
    *(
        "netsci_nn.intake.tensors",
        "netsci_nn.topology.formats",
        "netsci_nn.topology.convert",
        "netsci_nn.digest",
        "netsci_nn.limits",
    ),
    *("netsci_nn.training.checkpoint", "netsci_nn.training.learning_rate", "netsci_nn.data.idx"),
    *("netsci_nn.experiment.config", "netsci_nn.experiment.run_directory", "netsci_nn.experiment.result"),
    *("netsci_nn.cli.generate", "netsci_nn.cli.options", "tomllib._parser", "zipfile", "numpy.lib.format"),
    *("json.decoder", "scipy.sparse._matrix_io", "torch._weights_only_unpickler", "torch.serialization"),
)
"""Modules whose ways count: those that read, none with compiled functions, which cannot be watched."""
IN_PYTHON = ("text", "toml", "json", "graphml", "npz", "safetensors", "shards", "checkpoint", "idx", "option")
"""Formats whose readers are in Python, for a part at least."""
LONGEST = 20_000


def targets(folder: Path, name: str) -> list[list[Format]]:
    """The formats of a name, together if the same function reads files of the same ending."""
    groups: dict[object, list[Format]] = {}
    for form in formats(folder, name)[name]:
        groups.setdefault((form.read, Path(form.name).suffix), []).append(form)
    return list(groups.values())


def _breed(folder: Path, name: str, place: int, seconds: float, keep: Path) -> None:
    """Read files of one target until the time is over: the work of a child process, which a bad file may end."""
    import atheris

    warnings.simplefilter("ignore")
    for module in map(importlib.import_module, READERS):
        for function in _functions_of(module):
            atheris.instrument_func(function)
    forms = targets(folder, name)[place]
    corpus, form, seen, tried = folder / "corpus", forms[0], set[str](), 0
    corpus.mkdir(exist_ok=True)
    for sound in forms:
        path = folder / sound.name
        path.parent.mkdir(parents=True, exist_ok=True)
        sound.write(path)
        (corpus / Path(sound.name).name).write_bytes(path.read_bytes())
    path = folder / form.name
    limit_process()

    def one(content: bytes) -> None:
        nonlocal tried
        tried += 1
        if form.changes:
            form.write(path)
        path.write_bytes(content)
        with contextlib.redirect_stdout(None):
            kind, detail = judged(form.read, path)
        if kind not in (OK, REFUSED) and detail[-60:] not in seen:
            seen.add(detail[-60:])
            _keep(keep, name, form, kind, detail, content)
        (folder / "tried").write_text(str(tried))

    def other(content: bytes, longest: int, seed: int) -> bytes:
        draw = random.Random(seed)
        return atheris.Mutate(content, longest) if draw.random() < 0.4 else damaged(content, draw)[:longest]

    options = [f"-max_total_time={seconds:.0f}", f"-max_len={LONGEST}", "-timeout=0", "-rss_limit_mb=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=other)
    atheris.Fuzz()


def _functions_of(module: ModuleType) -> list[FunctionType]:
    """The functions of a module and the methods of its classes, without what it imports."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    holders = [value for value in own if isinstance(value, type)]
    values = [*own, *(value for holder in holders for value in vars(holder).values())]
    return list({id(value): value for value in values if isinstance(value, FunctionType)}.values())


def _keep(keep: Path, name: str, form: Format, kind: str, detail: str, content: bytes) -> None:
    print(f"{name} {form.name} {kind}: {detail}", flush=True)
    keep.mkdir(parents=True, exist_ok=True)
    (keep / f"{name}-{kind}-{abs(hash(content)) % 10**8}-{Path(form.name).name}").write_bytes(content)


def _bred(name: str, place: int, seconds: float, keep: Path) -> None:
    """Let child processes work on one target until the time is over."""
    end = time.monotonic() + seconds
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        forms, tried = targets(Path(folder), name)[place], 0
        while (left := end - time.monotonic()) > 1:
            command = [sys.executable, __file__, "--child", folder, name, str(place), f"{left:.0f}", "--keep", str(keep)]
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", env=environment, check=False)
            counted, path = Path(folder, "tried"), Path(folder, forms[0].name)
            if not counted.exists():
                sys.exit(done.stderr[-2000:])
            tried += int(counted.read_text() or 0)
            counted.unlink()
            if done.returncode:
                kind = HANG if -done.returncode in TIME_IS_UP else CRASH
                detail = f"exit code {done.returncode}: {done.stderr[-600:]}"
                _keep(keep, name, forms[0], kind, detail, path.read_bytes())
        ways = sum(1 for _ in Path(folder, "corpus").iterdir())
        print(f"{name}, {', '.join(form.name for form in forms)[:60]}: {tried} tried, {ways} files in the corpus", flush=True)


def main() -> None:
    """Share the time among the targets of the formats."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", action="append", help=f"of fuzz_formats.py; repeatable; by default {', '.join(IN_PYTHON)}")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each format")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "netsci_nn-found"), help="folder for failures")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; pip install atheris")
    if options.child:
        folder, name, place, seconds = options.child
        _breed(Path(folder), name, int(place), float(seconds), options.keep)
        return
    for name in options.format or IN_PYTHON:
        with tempfile.TemporaryDirectory() as folder:
            n_targets = len(targets(Path(folder), name))
        for place in range(n_targets):
            _bred(name, place, options.minutes * 60 / n_targets, options.keep)


if __name__ == "__main__":
    main()
