"""Tables of an evolution: they fit a terminal of 100 columns, and give every reason once."""

import io

import numpy as np
import pytest
from rich.console import Console

from analysis.render.cells import evenly_spread
from analysis.render.evolution_terminal import MAX_COLUMNS, MAX_ROWS, evolution_tables
from analysis.report.evolution import Evolution, evolve
from netsci_nn import BipartiteTopology, generators

WIDTH = 100


def followed(n_epochs: int, step: int = 1, n_edges: int = 50) -> Evolution:
    """A first layer that is drawn anew for every epoch, and a second one that never changes."""
    second = generators.erdos_renyi(10, 5, n_edges=25, rng=0)
    recorded = [
        (step * epoch, [generators.erdos_renyi(12, 10, n_edges=n_edges, rng=epoch), second]) for epoch in range(n_epochs)
    ]
    return evolve(recorded, measures=["degree", "mixing"])


def printed(evolution: Evolution) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=WIDTH)
    for part in evolution_tables(evolution, "--json and --html have them all"):
        console.print(part)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("n_epochs", "step"), [(1, 1), (4, 1), (60, 1), (30, 1000)])
def test_every_line_fits_and_no_word_is_broken(n_epochs: int, step: int) -> None:
    evolution = followed(n_epochs, step)
    lines = printed(evolution)
    assert max(map(len, lines)) <= WIDTH
    assert not any("|" in line or line.startswith("#") for line in lines)
    words = {word for line in lines for word in line.split()}
    names = {word for trajectory in evolution.trajectories for word in trajectory.name.split("_")}
    assert names | {"Jaccard", "degrees"} <= words


def test_layers_have_an_epoch_a_row() -> None:
    lines = printed(followed(4))
    first = lines.index(next(line for line in lines if line.startswith(" layer 0")))
    assert [line.split()[:4] for line in lines[first + 1 : first + 3]] == [["0", "50", "-", "-"], ["1", "50", "0.52", "0.3158"]]
    assert sum("no topology was recorded before: new edges, Jaccard." in line for line in lines) == 2  # once a layer
    assert sum("Ages of the last topology's edges in epochs" in line for line in lines) == 2
    assert not any("--json" in line for line in lines)


def test_of_many_epochs_some_are_shown() -> None:
    lines = printed(followed(60))
    rows = [line.split() for line in lines if len(line.split()) == 9 and line.split()[0].isdecimal()]
    shown = [int(row[0]) for row in rows[:MAX_ROWS]]
    assert (shown[0], shown[-1], len(rows)) == (0, 59, 2 * MAX_ROWS)
    (header,) = [line for line in lines if line.startswith(" measures")]
    assert header.count("epoch") == MAX_COLUMNS
    assert header.split()[2::2] == ["0", "12", "24", "35", "47", "59"]
    assert "Not all of the 60 recorded epochs are shown; --json and --html have them all." in lines


def test_undefined_quantities_have_their_reason_once() -> None:
    empty = BipartiteTopology.from_edges([], 3, 2)
    lines = printed(evolve([(0, empty), (1, empty)], measures=["degree"]))
    assert "The last topology has no edges." in lines
    text = " ".join(line.strip() for line in lines)
    assert "Not defined (-) at epoch 0, 1, as the graph has no edges: mean age." in text
    assert "Not defined (-) at epoch 1, as neither topology has edges: Jaccard." in text
    notes = [part for part in text.split("Not defined (-)") if "layer 0: " in part]
    assert len(notes) == len(set(notes))


@pytest.mark.parametrize("most", [1, 2, 7])
def test_spread_has_both_ends(most: int) -> None:
    assert evenly_spread(3, 10) == [0, 1, 2]
    chosen = evenly_spread(100, most)
    assert len(chosen) == most
    assert chosen[0] == 0
    assert most == 1 or (chosen[-1] == 99 and np.ptp(np.diff(chosen)) <= 1)
