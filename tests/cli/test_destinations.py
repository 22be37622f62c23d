"""Where results go: nothing that is read and nothing but files is overwritten, and a full disk is one sentence."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Cli, Outcome

from netsci_nn import ConfigError, generators
from netsci_nn.cli.destinations import check_writable
from netsci_nn.files import try_writing, write_text
from netsci_nn.topology import save_network

EDGES = 30


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    topology = generators.erdos_renyi(12, 9, n_edges=EDGES, rng=0)
    topology.save(tmp_path / "t.npz")
    (tmp_path / "link.npz").symlink_to("t.npz")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "run" / "topology").mkdir(parents=True)
    for name in ("epoch-0000", "final"):
        save_network([topology], tmp_path / "run" / "topology" / f"{name}.safetensors")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze", "t.npz", "--json", "pipe"], "path 'pipe' is a device, a pipe or a socket; it must be a file"),
        (["analyze", "t.npz", "--html", "pipe"], "is a device, a pipe or a socket"),
        (["evolve", "run", "--json", "pipe"], "is a device, a pipe or a socket"),
        (["evolve", "run", "--html", "pipe"], "is a device, a pipe or a socket"),
        (["generate", "erdos_renyi", 5, 5, "--edges", 3, "--out", "pipe"], "is a device, a pipe or a socket"),
        (["analyze", "t.npz", "--json", "folder"], "path 'folder' is a folder"),
        (["analyze", "t.npz", "--json", "no/r.json"], "lies in a folder that does not exist"),
        (["analyze", "t.npz", "--json", "t.npz"], "path 't.npz' is read by this command; its results must go to another"),
        (["analyze", "t.npz", "--html", "folder/../t.npz"], "is read by this command"),
        (["analyze", "t.npz", "--html", "link.npz"], "is read by this command"),
        (["analyze", "link.npz", "--json", "t.npz"], "is read by this command"),
        (["analyze", "run", "--json", "run/topology/final.safetensors"], "is read by this command"),
        (["analyze", "run", "--json", "run/config.toml"], "is read by this command"),
        (["evolve", "run", "--html", "run/metrics.jsonl"], "is read by this command"),
        (["evolve", "run", "--html", "folder/../run/topology/new.html"], "is read by this command"),
        (["analyze", "t.npz", "--json", "r", "--html", "./r"], "path 'r' is given for two results; each needs a file"),
        (["evolve", "run", "--json", "r", "--html", "folder/../r"], "is given for two results"),
        (["generate", "erdos_renyi", 5, 5, "--edges", 3, "--out", "a.npz", "--plot", "a.npz"], "is given for two results"),
        (["analyze", "t.npz", "--json", "x" * 300], "cannot be written: File name too long"),
    ],
    ids=lambda value: " ".join(map(str, value))[-60:] if isinstance(value, list) else "",
)
def test_what_is_refused_writes_nothing(arguments: list[object], message: str, run: Cli, tmp_path: Path) -> None:
    before = listing(tmp_path)
    outcome = run(*arguments)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert message in outcome.err
    assert listing(tmp_path) == before
    assert (tmp_path / "pipe").is_fifo()


def test_results_may_lie_in_the_run_beside_its_files(run: Cli, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("analyze", "run", "--nulls", 0, "--json", "run/report.json").code == 0
    assert (tmp_path / "run" / "report.json").is_file()


def test_a_folder_that_cannot_be_written_is_seen_before_the_work(
    run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To root every permission is granted, also on a file system that is read-only."""

    def read_only(*_: object, **__: object) -> tuple[int, str]:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("netsci_nn.files.tempfile.mkstemp", read_only)
    monkeypatch.setattr("netsci_nn.cli.analyze.take_in", lambda *_: pytest.fail("the work has begun"))
    outcome = run("analyze", "t.npz", "--json", "r.json")
    assert (outcome.code, outcome.err) == (2, "netsci-nn: path 'r.json' cannot be written: Read-only file system\n")


def test_checking_leaves_nothing(tmp_path: Path) -> None:
    before = listing(tmp_path)
    check_writable(tmp_path / "a", None, tmp_path / "b", tmp_path / "t.npz", reads=tmp_path / "run")
    assert listing(tmp_path) == before
    with pytest.raises(ConfigError, match="two results"):
        check_writable(tmp_path / "a", None, tmp_path / "a")


def program(*arguments: str, folder: Path, **options: object) -> Outcome:
    command = [sys.executable, "-m", "netsci_nn", *arguments]
    done = subprocess.run(command, cwd=folder, text=True, check=False, **{"capture_output": True, **options})  # type: ignore[call-overload]
    return Outcome(done.returncode, done.stdout or "", done.stderr or "")


def small_files() -> None:
    """Let no file be larger than a kilobyte, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


@pytest.mark.programs
def test_an_output_that_cannot_be_written_loses_no_file(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w") as out:
        arguments = ["analyze", "t.npz", "--nulls", "0"]
        full = program(*arguments, folder=tmp_path, capture_output=False, stdout=out, stderr=-1, preexec_fn=small_files)
    assert (full.code, full.err) == (2, "netsci-nn: output cannot be written: File too large\n")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        options = {"capture_output": False, "stdout": writing, "stderr": -1}
        outcome = program("evolve", "run", "--json", "e.json", folder=tmp_path, **options)
        assert (outcome.code, outcome.err) == (1, "")
        assert (tmp_path / "e.json").is_file()
    finally:
        os.close(writing)


@pytest.mark.parametrize("ending", [".safetensors", ".npz", ".graphml", ".csv"])
def test_a_full_disk_is_named_and_leaves_no_file(ending: str, empty: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    topology = generators.erdos_renyi(99, 99, n_edges=999, rng=0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(ConfigError, match=rf"path '.*full{ending}' cannot be written: ."):
            topology.save(empty / f"full{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(empty.iterdir()) == []


def test_only_regular_files_are_replaced(empty: Path) -> None:
    os.mkfifo(empty / "pipe")
    (empty / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        for write in (lambda path: write_text(path, "text"), try_writing):
            with pytest.raises(ConfigError, match=rf"path '.*{name}' is a device, a pipe or a socket; it must be a file"):
                write(empty / name)
    assert (empty / "pipe").is_fifo()
    assert sorted(entry.name for entry in empty.iterdir()) == ["link", "pipe"]


def test_links_are_followed(empty: Path) -> None:
    (empty / "folder").mkdir()
    for name in ("old", "new"):
        (empty / name).symlink_to(Path("folder") / name)
    (empty / "folder" / "old").write_text("old")
    for name in ("old", "new"):
        write_text(empty / name, "text")
        assert (empty / name).is_symlink()
        assert (empty / "folder" / name).read_text() == "text"


def test_trying_leaves_nothing_and_needs_a_name_that_the_system_allows(empty: Path) -> None:
    try_writing(empty / "new.npz")
    try_writing(empty / ("n" * 240 + ".npz"))
    with pytest.raises(ConfigError, match="cannot be written: File name too long"):
        try_writing(empty / ("n" * 300))
    assert list(empty.iterdir()) == []
