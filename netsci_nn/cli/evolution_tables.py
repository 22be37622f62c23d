"""The tables of `netsci-nn evolve` for a terminal of 100 columns, however many epochs there are."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from netsci_nn.cli.output import STDOUT

if TYPE_CHECKING:
    from analysis.base.quantity import Quantity
    from analysis.report.evolution import Evolution, LayerState, Trajectory

MAX_ROWS = 20
"""A table with an epoch a row has no more rows than that."""
MAX_COLUMNS = 6
"""A table with an epoch a column has no more columns of numbers than that."""


def print_evolution(followed: "Evolution") -> None:
    """Print a table for every layer, one of the measures, why numbers are missing, and how to read them."""
    from analysis.render.cells import ages_sentence
    from analysis.report.evolution import NOTE

    for index, (states, ages) in enumerate(zip(followed.layers, followed.ages, strict=True)):
        STDOUT.print(layer_table(followed, index, states))
        _paragraph(ages_sentence(ages) + "\n")
    if followed.trajectories:
        STDOUT.print(measures_table(followed))
    if len(followed.epochs) > MAX_COLUMNS:
        _paragraph(f"Not all of the {len(followed.epochs)} recorded epochs are shown; --json and --html have them all.")
    _paragraph(NOTE)


def layer_table(followed: "Evolution", index: int, states: "Sequence[LayerState]") -> Table:
    """The states of one layer, an epoch a row; of many epochs the first, the last and some between them."""
    from analysis.render.cells import STATE_TITLES, state_cells
    from analysis.render.terminal import rich_table

    chosen = spread(len(followed.epochs), MAX_ROWS)
    rows = [[str(followed.epochs[k]), *state_cells(states[k])] for k in chosen]
    missing = ((title, followed.epochs[k], getattr(states[k], name)) for name, title in STATE_TITLES.items() for k in chosen)
    return rich_table(("epoch", *STATE_TITLES.values()), [(f"layer {index}", rows)], "\n".join(_reasons(missing)) or None)


def measures_table(followed: "Evolution") -> Table:
    """The measures, a quantity a row, section by section; of many epochs the first, the last and some between them."""
    from analysis.render.cells import value_cell
    from analysis.render.terminal import rich_table

    chosen = spread(len(followed.epochs), MAX_COLUMNS)
    blocks, notes = [], list[str]()
    for section, trajectories in _by_section(followed.trajectories):
        rows = [[_title(each), *(value_cell(each.values[k]) for k in chosen)] for each in trajectories]
        blocks.append((section, rows))
        missing = ((_title(each), followed.epochs[k], each.values[k]) for each in trajectories for k in chosen)
        notes += [f"{section}: {reason}" for reason in _reasons(missing)]
    return rich_table(("measures", *(f"epoch {followed.epochs[k]}" for k in chosen)), blocks, "\n".join(notes) or None)


def spread(n: int, most: int) -> list[int]:
    """Of 0, ..., n - 1 at most `most` numbers, evenly spread, with both ends."""
    return np.linspace(0, n - 1, min(n, most)).round().astype(int).tolist()


def _by_section(trajectories: "Sequence[Trajectory]") -> "Iterator[tuple[str, list[Trajectory]]]":
    for section in dict.fromkeys(trajectory.section for trajectory in trajectories):
        yield section, [trajectory for trajectory in trajectories if trajectory.section == section]


def _title(trajectory: "Trajectory") -> str:
    return trajectory.name.replace("_", " ")


def _reasons(values: "Iterable[tuple[str, int, Quantity | float]]") -> list[str]:
    """Why quantities have no value: for every reason and the epochs at which it holds a sentence with the quantities."""
    epochs: dict[tuple[str, str], list[int]] = {}
    for title, epoch, value in values:
        if not isinstance(value, int | float) and value.reason is not None:
            epochs.setdefault((value.reason, title), []).append(epoch)
    titles: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for (reason, title), at in epochs.items():
        titles.setdefault((reason, tuple(at)), []).append(title)
    return [
        f"Not defined (-) at epoch {', '.join(map(str, at))}, as {reason}: {', '.join(names)}."
        for (reason, at), names in titles.items()
    ]


def _paragraph(text: str) -> None:
    """Print text, broken into lines as wide as the terminal."""
    STDOUT.print(text, markup=False, highlight=False)
