"""Some hundred damaged files of every format: each is read, or refused in one sentence. `tests/support/fuzz.py` runs longer."""

import io
import os
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import fuzz
import pytest
from damage import DIGEST, damaged
from fuzz import ALL, MEMORY_ERROR, OK, REFUSED, UNCLEAR, UNTYPED, judged, run

from netsci_nn import BipartiteTopology, ConfigError
from netsci_nn.topology import load_topology


@pytest.mark.programs
def test_damaged_files_are_read_or_refused_in_a_sentence() -> None:
    outcomes = list(run(ALL, seed=0, n=300))
    assert len(outcomes) == 300
    assert [outcome[:3] for outcome in outcomes if outcome.is_failure] == []
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds.count(REFUSED) > 180
    assert kinds.count(OK) > 30
    assert len({outcome.name for outcome in outcomes}) > 60


def refuse(_: Path) -> None:
    raise ConfigError("key is 1; it must be 2")


def ramble(_: Path) -> None:
    raise type("MyError", (ConfigError,), {"__init__": lambda self: ValueError.__init__(self, "a\nb")})()


def fail(_: Path) -> None:
    raise KeyError("a")


def swell(_: Path) -> None:
    _ = b"1" * (fuzz.MEMORY + 2**27)


def spin(_: Path) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        *((str, OK), (refuse, REFUSED), (ramble, UNCLEAR), (fail, UNTYPED), (swell, MEMORY_ERROR)),
        *((spin, -signal.SIGXCPU), (lambda _: time.sleep(9), -signal.SIGALRM)),
    ],
)
def test_the_judge(read: Callable[[Path], object], kind: str | int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "CPU_SECONDS", 0 if kind == -signal.SIGXCPU else 60)
    monkeypatch.setattr(fuzz, "SECONDS", 1 if kind == -signal.SIGALRM else 120)
    kinds = [OK, REFUSED, UNCLEAR, UNTYPED, MEMORY_ERROR]
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        os._exit(kinds.index(judged(read, Path())[0]))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert (kinds[code] if code >= 0 else code) == kind


def test_damage_reaches_what_a_digest_covers(tmp_path: Path) -> None:
    """Otherwise every damaged file of ours would be refused for its digest, and nothing behind it be tried."""
    topology = BipartiteTopology(3, 2, [1, 2, 0], [0, 0, 1])
    for ending in ("safetensors", "npz"):
        path = tmp_path / f"t.{ending}"
        topology.save(path)
        whole, said = path.read_bytes(), set()
        for number in range(300):
            path.write_bytes(damaged(whole, Random(number)))
            try:
                said.add("read" if load_topology(path) == topology else "read otherwise")
            except ValueError as error:
                said.add(str(error).rpartition(": ")[2])
        assert "read" in said, ending
        assert any("another digest" in sentence for sentence in said)
        assert len(said) > 20


def test_damage_is_the_same_for_the_same_seed() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.json", '{"a": [1, 2, {"b": null}]}')
    for content in (packed.getvalue(), b'{"a": [1, 2, {"b": null}]}', b"1,2\n3,4\n", DIGEST.encode(), b""):
        assert [damaged(content, Random(n)) for n in range(50)] == [damaged(content, Random(n)) for n in range(50)]
