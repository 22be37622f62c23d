"""An evolution as tables for a terminal of 100 columns, however many epochs there are."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from analysis.base.quantity import Quantity
from analysis.render.cells import STATE_TITLES, ages_sentence, evenly_spread, state_cells, value_cell
from analysis.render.terminal import rich_table
from analysis.report.evolution import NOTE, Evolution, LayerState

MAX_ROWS = 20
"""Upper limit of epochs in a table with one row per epoch."""

MAX_COLUMNS = 6
"""Upper limit of epochs in a table with one column per epoch."""


def evolution_tables(followed: Evolution, hint: str = "") -> list[Table | Text]:
    """A table per layer, one of the measures, why numbers are missing, and how to read them; to be printed in this order.

    Args:
        followed: the recorded topologies, as `evolve` has followed them.
        hint: where all epochs can be seen, for the case that not all are shown.

    Returns:
        What `rich.console.Console().print` takes, one by one.
    """
    parts: list[Table | Text] = []
    for index, (states, ages) in enumerate(zip(followed.layers, followed.ages, strict=True)):
        parts += [layer_table(followed, index, states), Text(ages_sentence(ages) + "\n")]
    if followed.trajectories:
        parts.append(measures_table(followed))
    if len(followed.epochs) > MAX_COLUMNS:
        more = f"; {hint}" if hint else ""
        parts.append(Text(f"Not all of the {len(followed.epochs)} recorded epochs are shown{more}."))
    return [*parts, Text(NOTE)]


def layer_table(followed: Evolution, index: int, states: Sequence[LayerState]) -> Table:
    """The states of one layer, one row per epoch; of many epochs the first, the last and some between them."""
    chosen = evenly_spread(len(followed.epochs), MAX_ROWS)
    rows = [[str(followed.epochs[k]), *state_cells(states[k])] for k in chosen]
    missing = ((title, followed.epochs[k], getattr(states[k], name)) for name, title in STATE_TITLES.items() for k in chosen)
    return rich_table(
        ("epoch", *STATE_TITLES.values()), [(followed.full_name(index), rows)], "\n".join(_reasons(missing)) or None
    )


def measures_table(followed: Evolution) -> Table:
    """The measures, one row per quantity, section by section; of many epochs the first, the last and some between them."""
    chosen = evenly_spread(len(followed.epochs), MAX_COLUMNS)
    blocks, notes = [], list[str]()
    for section in dict.fromkeys(trajectory.section for trajectory in followed.trajectories):
        courses = {one.name.replace("_", " "): one.values for one in followed.trajectories if one.section == section}
        blocks.append((section, [[name, *(value_cell(values[k]) for k in chosen)] for name, values in courses.items()]))
        missing = ((name, followed.epochs[k], values[k]) for name, values in courses.items() for k in chosen)
        notes += [f"{section}: {reason}" for reason in _reasons(missing)]
    return rich_table(("measures", *(f"epoch {followed.epochs[k]}" for k in chosen)), blocks, "\n".join(notes) or None)


def _reasons(values: Iterable[tuple[str, int, Quantity | float]]) -> list[str]:
    """Why quantities have no value: one sentence per (reason, epochs)."""
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
