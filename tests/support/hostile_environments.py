"""Installed programs in hostile environments: no home, full disks, odd locales, closed streams, low limits, odd paths.

An environment is a line of sh that runs before the program. Programs come from a wheel in a venv of its own, and work in a
folder of their own; nothing is imported from this checkout. A process of root first gives up its capabilities, which pass over
permissions. Where a line fails, the machine lacks a means (such as mounting), and the try does not count.
"""

import functools
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from contents import contents
from half_written import half_written
from interrupted_programs import EXPERIMENT

from netsci_nn.files import leftovers

ROOT = Path(__file__).resolve().parents[2]
MISSING = 99  # exit code where the line of the environment fails
SLOWEST = 600  # seconds

DESCRIBE = """
import netsci_nn, analysis
from netsci_nn.cli.output import print_line, reported_errors
with reported_errors():
    print_line(analysis.describe(netsci_nn.generators.erdos_renyi(20, 10, n_edges=60, rng=0), nulls=2, rng=0).to_markdown())
"""
CLI = ("-m", "netsci_nn")
PROGRAMS: dict[str, tuple[str, ...]] = {
    "generate": (*CLI, "generate", "erdos_renyi", "60", "50", "--edges", "600", "--out", "OUT.npz", "--plot", "OUT.png"),
    "train": (*CLI, "train", "tiny.toml", "--method", "SET", "--out", "OUT"),
    "compare": (*CLI, "compare", "tiny.toml", "--nulls", "2", "--out", "OUT"),
    "analyze": (*CLI, "analyze", "t.npz", "--nulls", "2", "--json", "OUT.json", "--html", "OUT.html"),
    "evolve": (*CLI, "evolve", "run", "--nulls", "2", "--json", "OUT.json", "--html", "OUT.html"),
    "export": (*CLI, "export", "run", "--out", "OUT.onnx"),
    "describe": ("-c", DESCRIBE),
    "doctor": (*CLI, "doctor"),
    "help": (*CLI, "--help"),
    "version": (*CLI, "--version"),
    "demo": (*CLI, "demo"),
}
"""Arguments of python; OUT is replaced by the place of the results."""


class Environment(NamedTuple):
    line: str = ":"  # of sh; it may use $VENV, $HOME, $TMPDIR, and $RESULTS, the paths of the results
    may_fail: bool = False  # whether a refusal in one sentence is as good as success
    python: tuple[str, ...] = ()  # options of the interpreter
    out: str = "out"
    is_exact: bool = True  # whether the results have the bits that they have elsewhere


def _every(files: str, command: str) -> str:
    return f"find \"$VENV\" {files} -exec {command} '{{}}' +"


READ_ONLY_CODE = _every("-type d", "chmod 555")
CACHES = "\\( -name '*.nbi' -o -name '*.nbc' \\)"
# Limits of processes do not bind root.
ANOTHER_USER = (
    'if test "$(id -u)" = 0; then chown -R 54321 .. && ORDINARY="setpriv --reuid=54321 --regid=54321 --clear-groups"; fi'
)
SMALL = "mount -t tmpfs -o size=4k none"

ENVIRONMENTS: dict[str, Environment] = {
    "nothing odd": Environment(),
    # Where nothing can be written.
    "HOME read-only": Environment('chmod 555 "$HOME"'),
    "code read-only": Environment(READ_ONLY_CODE),
    "code and HOME read-only": Environment(f'{READ_ONLY_CODE} && chmod 555 "$HOME"'),
    "code, HOME and TMPDIR read-only": Environment(f'{READ_ONLY_CODE} && chmod 555 "$HOME" "$TMPDIR"'),
    "read-only file system": Environment('mount --bind . . && mount -o remount,ro,bind . && cd "$PWD"', may_fail=True),
    "folder read-only": Environment("chmod 555 .", may_fail=True),
    "folder unreadable": Environment("chmod 000 .", may_fail=True),
    "folder deleted": Environment("mkdir gone && cd gone && rmdir ../gone", may_fail=True),
    "no HOME": Environment("unset HOME"),
    "HOME missing": Environment("export HOME=/nonexistent"),
    "HOME a file": Environment('export HOME="$PWD/tiny.toml"'),
    "TMPDIR missing": Environment("export TMPDIR=/nonexistent"),
    "TMPDIR read-only": Environment('chmod 555 "$TMPDIR"'),
    "TMPDIR full": Environment(f'{SMALL} "$TMPDIR" && head -c 4096 /dev/zero > "$TMPDIR/full"'),
    # Caches.
    "cache missing": Environment("export NUMBA_CACHE_DIR=/nonexistent/cache"),
    "cache disk full": Environment(f'{SMALL} "$TMPDIR" && export NUMBA_CACHE_DIR="$TMPDIR"'),
    "cache cut": Environment(_every(CACHES, "truncate -s 100")),
    "cache emptied": Environment(_every(CACHES, "truncate -s 0")),
    "cache longer": Environment(_every(CACHES, "truncate -s 99999")),
    "cache not ours": Environment(_every(CACHES, "tee") + " < tiny.toml > /dev/null"),
    "MPLCONFIGDIR missing": Environment("export MPLCONFIGDIR=/nonexistent"),
    "XDG_CACHE_HOME a file": Environment('export XDG_CACHE_HOME="$PWD/tiny.toml"'),
    # Locales and streams.
    "ASCII": Environment("export LC_ALL=C PYTHONIOENCODING=ascii"),
    "no UTF-8 anywhere": Environment("export LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"),
    "no LANG": Environment("unset LANG LC_ALL"),
    "latin-1": Environment("export PYTHONIOENCODING=latin-1"),
    "stdin closed": Environment("exec <&-"),
    "stdout closed": Environment("exec >&-"),
    "stderr closed": Environment("exec 2>&-"),
    "all streams closed": Environment("exec <&- >&- 2>&-"),
    "stdout full": Environment("exec >/dev/full", may_fail=True),
    "stderr full": Environment("exec 2>/dev/full"),
    # Limits.
    "umask 0777": Environment("umask 0777", may_fail=True),
    "umask 0277": Environment("umask 0277", may_fail=True),
    "umask 0077": Environment("umask 0077"),
    "64 open files": Environment("ulimit -n 64", may_fail=True),
    "256 open files": Environment("ulimit -n 256"),
    "files of 512 bytes": Environment("ulimit -f 1", may_fail=True),
    "files of 4 KiB": Environment("ulimit -f 8", may_fail=True),
    "files of 64 KiB": Environment("ulimit -f 128", may_fail=True),
    "8 GB of addresses": Environment("ulimit -v 8000000", may_fail=True),
    "3 GB of addresses": Environment("ulimit -v 3000000", may_fail=True),
    "small stack": Environment("ulimit -s 512"),
    # OpenBLAS and OpenMP would end the process themselves; another user may find another Python behind the link of the venv.
    "no further threads": Environment(
        f"{ANOTHER_USER} && export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 && prlimit --pid $$ --nproc=1",
        may_fail=True,
        is_exact=False,
    ),
    # Python.
    "PYTHONOPTIMIZE=2": Environment("export PYTHONOPTIMIZE=2"),
    "PYTHONHASHSEED=0": Environment("export PYTHONHASHSEED=0"),
    "PYTHONHASHSEED=4294967295": Environment("export PYTHONHASHSEED=4294967295"),
    "PYTHONWARNINGS=error": Environment("export PYTHONWARNINGS=error"),
    "python -W error": Environment(python=("-W", "error")),
    "python -I": Environment(python=("-I",)),
    "python -X dev": Environment(python=("-X", "dev")),
    "python -B": Environment(python=("-B",)),
    "PYTHONUNBUFFERED=1": Environment("export PYTHONUNBUFFERED=1"),
    "PYTHONSAFEPATH=1": Environment("export PYTHONSAFEPATH=1"),
    # Libraries.
    "OMP_NUM_THREADS=1": Environment("export OMP_NUM_THREADS=1", is_exact=False),
    "OMP_NUM_THREADS=2": Environment("export OMP_NUM_THREADS=2", is_exact=False),
    "OMP_NUM_THREADS=0": Environment("export OMP_NUM_THREADS=0", is_exact=False),
    "OMP_NUM_THREADS=many": Environment("export OMP_NUM_THREADS=many", is_exact=False),
    "NUMBA_DISABLE_JIT=1": Environment("export NUMBA_DISABLE_JIT=1", is_exact=False),
    "NUMBA_NUM_THREADS=1": Environment("export NUMBA_NUM_THREADS=1"),
    "NUMBA_OPT=0": Environment('export NUMBA_OPT=0 NUMBA_CACHE_DIR="$TMPDIR"', is_exact=False),
    "NUMBA_CPU_NAME=generic": Environment('export NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR="$TMPDIR"', is_exact=False),
    "NUMBA_THREADING_LAYER=none": Environment("export NUMBA_THREADING_LAYER=none"),
    "MPLBACKEND of a notebook": Environment("export MPLBACKEND=module://matplotlib_inline.backend_inline"),
    "MPLBACKEND=none": Environment("export MPLBACKEND=none"),
    "NETSCI_NN_MAX_BYTES=much": Environment("export NETSCI_NN_MAX_BYTES=much", may_fail=True),
    # Terminals.
    "COLUMNS=1": Environment("export COLUMNS=1"),
    "COLUMNS=wide": Environment("export COLUMNS=wide"),
    "TERM=dumb": Environment("export TERM=dumb"),
    "no TERM": Environment("unset TERM"),
    "NO_COLOR": Environment("export NO_COLOR=1"),
    "FORCE_COLOR": Environment("export FORCE_COLOR=1"),
    # Where the results go.
    "results with accents": Environment(out="Ergebnis für Größe 漢字 \U0001f600"),
    "results with accents, ASCII": Environment("export LC_ALL=C PYTHONIOENCODING=ascii", out="für 漢字"),
    "results not in UTF-8": Environment(out="\udcff\udcfe"),
    "results with blanks": Environment(out="a  b "),
    "results with a line break": Environment(out="first\nsecond"),
    "results in brackets": Environment(out="[red]x{0}%s"),
    "results of 200 characters": Environment(out="x" * 200),
    "results of 300 characters": Environment(out="x" * 300, may_fail=True),
    "results at -": Environment(out="./-"),
    "results in a missing folder": Environment(out="no/out", may_fail=True),
    "results below a file": Environment(out="tiny.toml/out", may_fail=True),
    "results in /proc": Environment(out="/proc/out", may_fail=True),
    "results at folders": Environment('for path in $RESULTS; do mkdir -p "$path/a"; done', may_fail=True),
    "results at links": Environment(
        'mkdir to && for path in $RESULTS; do ln -s "to/$path" "$path"; done', may_fail=True, is_exact=False
    ),
    "results at links in a circle": Environment('for path in $RESULTS; do ln -s "$path" "$path"; done', may_fail=True),
    "results at pipes": Environment('for path in $RESULTS; do mkfifo "$path"; done', may_fail=True),
    "results at /dev/null": Environment('for path in $RESULTS; do ln -s /dev/null "$path"; done', may_fail=True),
    "results at read-only files": Environment('for path in $RESULTS; do : > "$path" && chmod 444 "$path"; done', may_fail=True),
}


class End(NamedTuple):
    """How a program ended: the exit code, what it printed, and the results that it has left."""

    code: int
    out: str
    err: str
    results: dict[str, Any]


def all_tries() -> list[tuple[str, str]]:
    """Every environment with every program, in an order of chance that is always the same; the long demo with every tenth."""
    pairs = [(name, program) for name in ENVIRONMENTS for program in PROGRAMS if program != "demo"]
    pairs += [(name, "demo") for name in list(ENVIRONMENTS)[::10]]
    random.Random("environments").shuffle(pairs)
    return pairs


def faults(name: str, program: str) -> list[str] | None:
    """Run a program in an environment; return what is wrong, or None where this machine has no means for the environment."""
    environment = ENVIRONMENTS[name]
    if "mount " in environment.line and not _can(*NAMESPACE):
        return None
    usual = usual_end(program)
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        end = run(environment, PROGRAMS[program], Path(place))
        if end.code == MISSING:
            return None
        found = faults_of_output(end, is_heard="2>" not in environment.line) + _faults_of_files(Path(place))
    if end.code == usual.code:
        if environment.is_exact and end.results != usual.results:
            found.append("other results: " + ", ".join(sorted(_unequal(end.results, usual.results))))
    elif not (environment.may_fail and end.code == 2):
        found.append(f"exit code {end.code}: {end.err[-300:]}")
    return found


def run(environment: Environment, program: tuple[str, ...], place: Path) -> End:
    """Run `python PROGRAM` of the installed wheel in a new folder of `place`."""
    venv, work, home, temporary = (place / name for name in ("venv", "work", "home", "tmp"))
    shutil.copytree(installed(), venv, symlinks=True)
    shutil.copytree(inputs(), work)
    home.mkdir(), temporary.mkdir()
    python = str(venv / "bin" / "python")
    words = [word.replace("OUT", environment.out) for word in program]
    results = [word for word in words if word.startswith(environment.out)]
    variables = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "OMP_WAIT_POLICY": "PASSIVE",
        "VENV": str(venv),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "RESULTS": " ".join(results),
        "ORDINARY": "setpriv --bounding-set=-all --inh-caps=-all" if os.geteuid() == 0 else "",
    }
    namespace = NAMESPACE if "mount " in environment.line else ()
    script = f'{{ {environment.line}; }} || exit {MISSING}; exec $ORDINARY "$@"'
    command = [*namespace, "sh", "-c", script, "sh", python, *environment.python, *words]
    done = subprocess.run(
        command, cwd=work, env=variables, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=SLOWEST
    )
    subprocess.run(["chmod", "-R", "u+rwX", str(place)], check=True)
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return End(done.returncode, out, err, {} if done.returncode else _results(work, os.path.normpath(environment.out)))


NAMESPACE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")


@functools.cache
def _can(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run([*command, "true"], capture_output=True).returncode == 0


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder until the process ends."""
    return tempfile.TemporaryDirectory(prefix="installed-")


@functools.cache
def installed() -> Path:
    """Install a wheel of this checkout in a venv, which finds all other packages where this interpreter has them."""
    source, venv = Path(_scratch().name, "source"), Path(_scratch().name, "venv")
    for name in ("netsci_nn", "analysis"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(venv / "bin" / "python")]
    (packages,) = venv.glob("lib/python*/site-packages")
    # The .pth files there, such as that of an editable install, are not read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*pip, "install", "--no-deps", "--no-build-isolation", str(source)], check=True, capture_output=True)
    imports = "import netsci_nn, analysis; print(netsci_nn.__file__, analysis.__file__)"
    found = subprocess.run([str(venv / "bin" / "python"), "-I", "-c", imports], capture_output=True, text=True, check=True)
    assert all(Path(file).is_relative_to(venv) for file in found.stdout.split()), found.stdout
    return venv


@functools.cache
def inputs() -> Path:
    """What the programs read."""
    folder = Path(_scratch().name, "inputs")
    folder.mkdir()
    (folder / "tiny.toml").write_text(EXPERIMENT.format(epochs=2))
    for line in ("train tiny.toml --method SET --out run", "generate erdos_renyi 60 50 --edges 600 --out t.npz"):
        command = [str(installed() / "bin" / "python"), *CLI, *line.split()]
        variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True)
    return folder


@functools.cache
def usual_end(program: str) -> End:
    """How a program ends where nothing is odd; what it compiles stays with the installed code."""
    inputs()
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        end = run(Environment(), PROGRAMS[program], Path(place))
        for path in Path(place, "venv").rglob("*.nb?"):
            shutil.copy2(path, installed() / path.relative_to(place).relative_to("venv"))
    return end


def _results(work: Path, stem: str) -> dict[str, Any]:
    """The results by name, without the place, pages, pictures and torch's own random state, which no seed sets."""
    ignored = (".html", ".png", "environment.json")
    found = {name.removeprefix(stem): value for name, value in contents(work).items() if not name.endswith(ignored)}
    for value in found.values():
        if isinstance(value, dict):
            value.pop("torch_rng", None)
    return found


def _unequal(first: dict[str, Any], second: dict[str, Any]) -> set[str]:
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def faults_of_output(end: End, *, is_heard: bool = True) -> list[str]:
    """What is wrong with what a program has printed; `is_heard`: whether its standard error came here."""
    printed = end.out + end.err
    found = [f"{word!r} in the output: {printed[-300:]}" for word in ("Traceback", "Exception ignored") if word in printed]
    sentences = [line for line in end.err.splitlines() if line.startswith("netsci-nn: ")]
    if end.code == 2 and is_heard and len(sentences) != 1:
        found.append(f"{len(sentences)} sentences: {end.err[-300:]}")
    return found


def _faults_of_files(place: Path) -> list[str]:
    folders = [path for path in place.joinpath("work").rglob("*") if path.is_dir()]
    found = [f"left over: {path.name}" for folder in folders for path in leftovers(folder, "*")]
    return found + half_written(place.joinpath("work").rglob("*"))
