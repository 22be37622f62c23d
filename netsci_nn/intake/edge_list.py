"""Edge lists of any tool: text files with a source, a target and perhaps a weight per line."""

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netsci_nn.errors import CheckpointError, TopologyError
from netsci_nn.intake.values import Layer
from netsci_nn.topology import load_weighted

FIRST = ("source", "src", "from", "input", "in", "sender")  # a column of this name holds sources
SECOND = ("target", "dst", "to", "output", "out", "receiver", "destination", "dest")  # a column of this name holds targets
EITHER = ("u", "v", "i", "j", "node", "node1", "node2", "node_1", "node_2", "user", "item", "row", "col", "column")
KINDS = ("", "_node", "node", "_id", "id", "_nodeid", "nodeid")  # from_node, FromNodeId, source_id, ...
SOURCES, TARGETS, LABELS = ({name + kind for name in names for kind in KINDS} for names in (FIRST, SECOND, EITHER))
WEIGHTS = {"weight", "weights", "w", "value", "strength", "rating", "count"}

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SIZES = re.compile(r"#.*\bn_(in|out)\s*=")  # how the edge lists of this program begin

NOTE = (
    "edge list: {edges} between {sources} and {targets}, a {columns[0]} in the first column, a {columns[1]} in the "
    "second{weights}; {header}; neurons are the labels that occur, {order}, so a neuron without edges is not among them, and a "
    "label in both columns stands for two neurons"
)


class Row(NamedTuple):
    """A line that is neither empty nor a comment."""

    number: int  # in the file, from 1
    cells: list[str]


def read_edge_list(path: Path) -> tuple[Layer, list[str]]:
    """Read the edges of a text file with two or three columns: source, target and perhaps a weight.

    Columns are separated by tabs, commas or semicolons, or by blanks if the first line has none of these. The first line
    is a header if none of its cells is a number, and either some column holds nothing but numbers below it, or all its
    cells are usual names of columns (`source`, `to`, `node1`, ...), none of which is a label of its column. A header that
    names the first column as the targets and the second as the sources swaps the two. A file that begins with
    `# n_in=... n_out=...` is read as `netsci_nn.topology.save_topology` writes it.

    Returns:
        The layer, and sentences that say how it was read.

    Raises:
        CheckpointError: naming the file and the line, when it is not text in UTF-8, or a line holds no edge.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        if lines and SIZES.match(lines[0]):
            return Layer.of(load_weighted(path, ".csv")), []
        return _layer(_rows(lines))
    except UnicodeDecodeError as error:
        raise CheckpointError(f"file {str(path)!r} does not hold an edge list: it is not text in UTF-8") from error
    except (TopologyError, OSError, csv.Error) as error:
        raise CheckpointError(f"file {str(path)!r} does not hold an edge list: {error}") from error


def _rows(lines: Sequence[str]) -> list[Row]:
    """The cells of every line, as many in each."""
    numbered = [(number, line.strip(" \r\n")) for number, line in enumerate(lines, 1) if line.strip()]
    stated = next((number for number, line in numbered if SIZES.match(line)), None)
    if stated is not None:
        raise TopologyError(f"line {stated} states the sizes; '# n_in=... n_out=...' must be the first line")
    kept = [(number, line) for number, line in numbered if not line.startswith(("#", "%"))]
    if not kept:
        raise TopologyError("it has no line with an edge")
    delimiter = next((mark for mark in "\t,;" if mark in kept[0][1]), None)
    rows = [Row(number, _cells(line, delimiter)) for number, line in kept]
    expected = len(rows[0].cells)
    if expected not in (2, 3):
        raise TopologyError(f"line {rows[0].number} has {_columns(expected)}; two or three columns are needed")
    for number, cells in rows:
        if len(cells) != expected:
            raise TopologyError(
                f"line {number} has {_columns(len(cells))} where line {rows[0].number} has {expected}; all must have two, or "
                "all three"
            )
        if not (cells[0] and cells[1]):
            raise TopologyError(f"line {number} has an empty cell; every edge needs a source and a target")
    return rows


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
    (cells,) = csv.reader([line], delimiter=delimiter, quotechar='"', skipinitialspace=True)
    return [cell.strip() for cell in cells]


def _columns(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"


def _layer(rows: list[Row]) -> tuple[Layer, list[str]]:
    header = rows[0].cells if _is_header(rows) else None
    edges = rows[1:] if header else rows
    if not edges:
        raise TopologyError("it has no line with an edge below its header")
    first, second = _order(header)
    (sources, src), (targets, dst) = (_numbered([row.cells[column] for row in edges]) for column in (first, second))
    _check_repeated(edges, src, dst, len(targets))
    weights = _weights(edges) if len(edges[0].cells) == 3 else None
    is_numeric = sources.dtype.kind == targets.dtype.kind == "i"
    skipped = "no line was taken as a header"
    if header:
        swap = ", which puts the targets first, so these columns were swapped" if first else ""
        skipped = f"line {rows[0].number} ({', '.join(header)}) was skipped as a header{swap}"
    note = NOTE.format(
        edges="1 edge" if len(edges) == 1 else f"{len(edges)} edges",
        sources="1 source" if len(sources) == 1 else f"{len(sources)} sources",
        targets="1 target" if len(targets) == 1 else f"{len(targets)} targets",
        columns=("target", "source") if first else ("source", "target"),
        weights="" if weights is None else ", a weight in the third (a weight of 0 is an edge too)",
        header=skipped,
        order="in the order of their numbers" if is_numeric else "in the order of the alphabet",
    )
    return Layer("", len(sources), len(targets), src, dst, weights), [note]


def _is_header(rows: list[Row]) -> bool:
    first, below = rows[0].cells, [row.cells for row in rows[1:]]
    if any(NUMBER.fullmatch(cell) for cell in first):
        return False
    columns = list(zip(*below, strict=True))
    if any(all(NUMBER.fullmatch(cell) for cell in column) for column in columns):
        return True
    names = [cell.lower() for cell in first]
    are_known = {*names[:2]} <= SOURCES | TARGETS | LABELS and {*names[2:]} <= WEIGHTS
    return are_known and not any(name in column for name, column in zip(first, columns, strict=False))


def _order(header: Sequence[str] | None) -> tuple[int, int]:
    """Which column holds the sources, and which the targets."""
    names = [name.lower() for name in header or ()]
    if len(names) == 3 and not {"weight", "weights", "value"}.isdisjoint(names[:2]):
        raise TopologyError(f"its header is {', '.join(header or ())}; the weight must be in the third column")
    is_swapped = bool(names) and names[0] in TARGETS and names[1] in SOURCES
    return (1, 0) if is_swapped else (0, 1)


def _numbered(column: Sequence[str]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The labels that occur, sorted, as whole numbers where all are; and the place of each among them."""
    labels = np.array(column)
    try:
        labels, places = np.unique(labels.astype(np.int64), return_inverse=True)
    except (ValueError, OverflowError):
        labels, places = np.unique(labels, return_inverse=True)
    return labels, places


def _check_repeated(edges: list[Row], src: npt.NDArray[np.intp], dst: npt.NDArray[np.intp], n_out: int) -> None:
    keys = src.astype(np.int64) * n_out + dst
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    if again.size:
        place = again[np.argmin(order[again + 1])]
        first, second = edges[order[place]], edges[order[place + 1]]
        pair = " - ".join(second.cells[:2])
        raise TopologyError(f"lines {first.number} and {second.number} hold the same edge, {pair}, so it occurs more than once")


def _weights(edges: list[Row]) -> npt.NDArray[np.float64]:
    weights = np.empty(len(edges))
    for place, (number, cells) in enumerate(edges):
        is_number = NUMBER.fullmatch(cells[2]) or cells[2].lower().lstrip("+-") in ("nan", "inf", "infinity")
        if not is_number:
            raise TopologyError(f"its third column must hold numbers, the weights; line {number} has {cells[2]!r} there")
        weights[place] = float(cells[2])
        if not math.isfinite(weights[place]):
            raise TopologyError(f"weights must be finite; line {number} has {cells[2]!r} there")
    return weights
