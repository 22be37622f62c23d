"""`netsci-nn evolve --html`: the page holds every table and picture, the seed decides, and nothing is half written."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli

from analysis import as_layered, small_world
from analysis.render import evolution_page
from analysis.render.cells import format_number
from analysis.render.page import Section, Table
from netsci_nn import BipartiteTopology, generators
from netsci_nn.topology import save_network

LAST_EPOCH = 15


def network(seed: int) -> list[BipartiteTopology]:
    return [generators.erdos_renyi(12, 10, n_edges=50, rng=seed), generators.erdos_renyi(10, 5, n_edges=25, rng=0)]


def record(folder: Path, networks: dict[int, list[BipartiteTopology]]) -> None:
    """What `evolve` reads of a run: topologies by epoch, the last of them the final one, and the log."""
    (folder / "topology").mkdir(parents=True)
    *_, last = networks
    for epoch, topologies in networks.items():
        name = "final" if epoch == last and epoch > 0 else f"epoch-{epoch:04d}"
        save_network(topologies, folder / "topology" / f"{name}.safetensors")
    if last == 0:
        save_network(networks[0], folder / "topology" / "final.safetensors")
    (folder / "metrics.jsonl").write_text(json.dumps({"event": "epoch", "epoch": last}) + "\n")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A first layer that changes at every epoch, and a second one that never does."""
    record(tmp_path / "here", {epoch: network(epoch) for epoch in range(LAST_EPOCH + 1)})
    return tmp_path / "here"


@pytest.fixture
def sections(run: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Section]]:
    """The sections of the page of a run, without the time that it takes to draw the pictures."""
    seen: list[Section] = []

    def keep(_: str, sections: list[Section]) -> str:
        seen[:] = sections
        return "page"

    def of(folder: str, *arguments: object) -> list[Section]:
        monkeypatch.setattr(evolution_page, "page", keep)
        done = run("evolve", folder, "--measure", "mixing", "--html", "page.html", "--nulls", 1, *arguments)
        assert done.code == 0, done.err
        return list(seen)

    return of


def captions(sections: list[Section]) -> str:
    """Captions and paragraphs, a line each."""
    blocks = [block for section in sections for block in section.blocks]
    return "\n".join(getattr(block, "caption", getattr(block, "text", "")) for block in blocks)


def rows_of(page: str) -> list[list[str]]:
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]


def test_page_holds_tables_and_pictures_of_every_section(here: Path, run: Cli, tmp_path: Path) -> None:
    arguments = ["evolve", "here", "--measure", "paths", "--json", "numbers.json", "--nulls", 1]
    done = run(*arguments, "--html", "page.html")
    assert done.code == 0, done.err
    page, numbers = (tmp_path / "page.html").read_text(), json.loads((tmp_path / "numbers.json").read_text())
    # Of both layers what has changed, ages, plane and measures; of the network its measures.
    assert page.count("data:image/png") == 2 * 4 + 1
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["How to read it", "layer 0: 12 x 10", "layer 1: 10 x 5", "network"]
    assert "16 topologies were recorded, from epoch 0 to epoch 15" in page
    assert "R_s: share of all pairs" in page
    assert "Ages in epochs of the 50 edges" in page
    rows = rows_of(page)
    # The terminal shows the same numbers of every epoch, in lines that it can hold.
    printed = [line.split() for line in done.out.splitlines()]
    for state in (row for row in rows if len(row) == 9 and row[0].isdecimal()):
        assert [cell for cell in state if cell] in printed
    assert max(map(len, done.out.splitlines())) <= 136
    for trajectory in numbers["trajectories"]:
        assert any(row[0] == trajectory["name"].replace("_", " ") and len(row) == LAST_EPOCH + 2 for row in rows)


def test_planes_are_at_few_epochs_and_follow_unchanged_layers(here: Path, sections: Callable[..., list[Section]]) -> None:
    text = captions(sections("here"))
    (shown, listed), again = re.findall(r"at (\d+) of the 16 recorded epochs: ([\d, ]+)\.", text)
    epochs = [int(epoch) for epoch in listed.split(", ")]
    assert (shown, len(epochs)) == ("12", 12)
    assert again == (shown, listed)
    assert (epochs[0], epochs[-1]) == (0, LAST_EPOCH)
    assert {after - before for before, after in pairwise(epochs)} <= {1, 2}
    assert text.count(evolution_page.UNCHANGED.strip()) == 1
    assert "relative to 1 random layers" in text


def test_numbers_of_the_plane_are_those_of_small_world(here: Path, sections: Callable[..., list[Section]]) -> None:
    tables = [block for block in sections("here", "--seed", 3)[1].blocks if isinstance(block, Table)]
    (table,) = (table for table in tables if table.header == evolution_page.POINTS_HEADER)
    (layer,) = as_layered(network(LAST_EPOCH)[0]).layers
    point = small_world(layer, np.random.default_rng((3, 0, LAST_EPOCH)), 1)
    quantities = (point.clustering, point.fixed_degrees.clustering, point.clustering_lattice, point.path_length,
                  point.fixed_degrees.path_length, point.path_length_lattice, point.sigma, point.omega,
                  point.propensity)  # fmt: skip
    values = ["-" if quantity.value is None else format_number(quantity.value) for quantity in quantities]
    assert table.rows[-1] == [str(LAST_EPOCH), *values]


def test_the_seed_decides(run: Cli, tmp_path: Path, sections: Callable[..., list[Section]]) -> None:
    record(tmp_path / "here", {0: network(0)[:1], 1: network(1)[:1]})
    for name in "ab":
        assert run("evolve", "here", "--measure", "mixing", "--html", name, "--nulls", 1).code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    first, second = (
        [block for block in sections("here", "--seed", seed)[1].blocks if isinstance(block, Table)] for seed in (0, 1)
    )
    assert first != second


def test_an_end_with_fewer_edges_stands_by_itself(tmp_path: Path, sections: Callable[..., list[Section]]) -> None:
    first, second = network(1)
    keep = np.arange(first.n_edges) % 4 > 0
    cut = BipartiteTopology(first.n_in, first.n_out, first.src[keep], first.dst[keep])
    record(tmp_path / "here", {0: network(0), 1: [first, second], 2: [cut, second]})
    text = captions(sections("here", "--measure", "degree"))
    assert text.count(evolution_page.AFTER_REMOVAL.strip()) == 1
    assert f"The last topology has {cut.n_edges} edges, the one before it 50:" in text
    assert f"The last topology has {cut.n_edges + 25} edges, the one before it 75:" in text
    assert "at the epochs 0, 1, 2." in text


def test_long_runs_keep_the_last_epoch_before_the_cut(tmp_path: Path, sections: Callable[..., list[Section]]) -> None:
    networks = {epoch: network(epoch) for epoch in range(LAST_EPOCH)}
    first, second = networks[LAST_EPOCH - 1]
    cut = BipartiteTopology(12, 10, first.src[:40], first.dst[:40])
    record(tmp_path / "here", networks | {LAST_EPOCH: [cut, second]})
    assert re.search(r"at 12 of the 16 recorded epochs: 0, [\d, ]+, 14, 15\.", captions(sections("here")))


def test_planes_that_are_not_defined_or_too_large_are_a_sentence(
    here: Path, tmp_path: Path, sections: Callable[..., list[Section]], monkeypatch: pytest.MonkeyPatch
) -> None:
    diagonal = BipartiteTopology.from_edges([(0, 0), (1, 1), (2, 2)], 3, 3)
    record(tmp_path / "there", {0: [diagonal, BipartiteTopology.from_edges([], 3, 2)]})
    text = captions(sections("there"))
    assert "One topology was recorded, at epoch 0." in text
    assert text.count("The small-world plane is not drawn: series[") == 2
    assert "The last topology has no edges, so they have no ages." in text
    monkeypatch.setattr(evolution_page, "MAX_SEARCHED_EDGES", 30)
    text = captions(sections("here"))
    assert text.count("The small-world plane is left out above 30 edges.") == 1
    assert text.count("The numbers behind the plane") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nulls", -1], "--nulls"),
        (["--nulls", 0], "--nulls"),
        (["--seed", -1], "--seed"),
        (["--html", "nowhere/page.html"], "lies in a folder that does not exist"),
        (["--html", "here"], "is a folder"),
        (["--measure", "nope"], "measure 'nope' is unknown"),
    ],
)
def test_what_is_refused_writes_nothing(arguments: list[object], message: str, here: Path, run: Cli, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = run("evolve", "here", "--html", "page.html", *arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_log_and_other_files_do_not_matter(here: Path, run: Cli, tmp_path: Path) -> None:
    with (here / "metrics.jsonl").open("ab") as file:
        file.write(b'[1]\n{"event": "epoch"}\n{"epoch": 99}\n\xff\xfe\n{"event": "epo')
    (here / "topology" / "epoch-of-others.safetensors").write_bytes(b"")
    assert run("evolve", "here", "--measure", "mixing", "--json", "numbers.json").code == 0
    assert json.loads((tmp_path / "numbers.json").read_text())["epochs"] == list(range(LAST_EPOCH + 1))


@pytest.mark.parametrize("name", ["epoch-0000", "epoch-0007", "final"])
def test_a_damaged_file_is_left_out_and_named(name: str, here: Path, run: Cli, tmp_path: Path) -> None:
    (here / "topology" / f"{name}.safetensors").write_bytes(b"damaged")
    done = run("evolve", "here", "--measure", "mixing", "--json", "numbers.json", "--nulls", 1)
    assert done.code == 0, done.err
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    left_out = LAST_EPOCH if name == "final" else int(name.removeprefix("epoch-"))
    assert numbers["epochs"] == [epoch for epoch in range(LAST_EPOCH + 1) if epoch != left_out]
    (note,) = numbers["notes"]
    assert note.startswith(f"left out, since it is damaged: file 'here/topology/{name}.safetensors' ")
    assert done.out.startswith(note + "\n")


def test_a_page_names_what_it_leaves_out(here: Path, run: Cli, tmp_path: Path) -> None:
    (here / "topology" / "final.safetensors").write_bytes(b"damaged")
    assert run("evolve", "here", "--measure", "mixing", "--html", "page.html", "--nulls", 1).code == 0
    assert "final.safetensors" in (tmp_path / "page.html").read_text()


def test_nothing_but_damaged_files_is_an_error(run: Cli, tmp_path: Path) -> None:
    record(tmp_path / "here", {epoch: network(epoch) for epoch in range(2)})
    for file in (tmp_path / "here" / "topology").iterdir():
        file.write_bytes(b"damaged")
    done = run("evolve", "here", "--json", "numbers.json")
    assert (done.code, done.out) == (2, "")
    assert "every file in 'here/topology' is damaged; at least one topology must be sound" in " ".join(done.err.split())
    assert not (tmp_path / "numbers.json").exists()


def test_a_page_that_fails_leaves_no_file(here: Path, run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(evolution_page, "page", interrupt)
    assert run("evolve", "here", "--html", "page.html", "--nulls", 1).code == 130
    assert not (tmp_path / "page.html").exists()
