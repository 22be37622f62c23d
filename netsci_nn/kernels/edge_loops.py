"""The loops over edges of the compiled backend, for the neurons first..end - 1 and one block of a batch.

Sums, one per column of the block, stay in registers while the edges of a neuron pass, so that an edge costs one row of the
other side and one multiply-add of it. Rows of the other side are visited in tiles that fit a cache (see `Visit`). Values,
biases and results that are not added up may be the bits of bfloat16 (see `vector`).
"""

import functools
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from netsci_nn.compiling import njit
from netsci_nn.kernels.vector import (
    GROUP,
    TILE,
    accumulate,
    add,
    dot,
    dots,
    load,
    multiply_add,
    prefetch,
    read,
    splat,
    store,
    total,
    write,
    zeros,
)

NARROW_BYTES = 128  # of a row, up to which two sums are added up side by side: one alone waits for each of its additions
TILE_BYTES = 2**17  # of the rows of a tile
CACHE_BYTES = 2**19  # of rows that the second-level cache holds; from further away it pays to ask for each row early
SHARED_CACHE_BYTES = 2**23  # that some cache holds beside what else is going on
LEAST_EDGES = 20  # that a neuron should have in a tile: it costs some to begin with each
AHEAD = 16  # edges
ROWS_AHEAD = 3  # neurons
LINE = 16  # numbers of a cache line


class Visit(NamedTuple):
    """How the rows of the other side are visited.

    Attributes:
        n: rows.
        tile: rows that are used together.
        ahead: how many edges before it is used a row is asked for; 0: never.
    """

    n: int
    tile: int
    ahead: int


def narrow(row_bytes: int) -> bool | None:
    """Return True for narrow rows and None for others, which are two types to compiled code."""
    return True if row_bytes <= NARROW_BYTES else None


@register_jitable
def look_ahead(n_bytes: int) -> int:
    """Return how many edges before it is used a row is asked for, one of rows of so many bytes together; 0: never."""
    return AHEAD if n_bytes > CACHE_BYTES else 0


@register_jitable
def best_visit(n: int, row_bytes: int, degree: float) -> Visit:
    """Return how n rows of so many bytes are visited best by neurons with so many edges on average.

    Tiles that would not fit a cache, since neurons have few edges, pay only where all rows are further away than any cache;
    those of narrow rows never do.
    """
    tile = max(TILE, TILE_BYTES // row_bytes, int(LEAST_EDGES * n / max(degree, 1)))
    is_whole = row_bytes <= NARROW_BYTES or (2 * tile * row_bytes > CACHE_BYTES and n * row_bytes <= SHARED_CACHE_BYTES)
    tile = n if is_whole else min(n, tile)
    return Visit(n, tile, look_ahead(tile * row_bytes))


visit = functools.lru_cache(maxsize=1024)(best_visit)


@njit(cache=True, nogil=True)
def gather(lanes, narrow, values, columns, pointers, bias, x, x_first, visit, out, stride, offset, first, end):  # type: ignore[no-untyped-def]
    """out[row] = bias[row] + the sum over the edges of row of values[edge] * x[columns[edge]]; an empty bias is 0.

    x is the block that begins at x[x_first], out is flat, with rows at a stride, of which the lanes from offset on count.
    `narrow` is that of the rows, or True where it is not known: for None, what narrow rows need is not even compiled.
    """
    width, furthest = len(lanes) * TILE, len(columns) - 1
    place = pointers[first:end].copy()
    for start in range(0, visit.n, visit.tile):
        for row in range(first, end):
            edge, last = place[row - first], pointers[row + 1]
            if visit.tile < visit.n and row + ROWS_AHEAD < end:
                _announce(columns, values, place[row + ROWS_AHEAD - first])
            if start > 0:
                sums = load(out, row * stride + offset, lanes)
            else:
                sums = splat(read(bias, row), lanes) if len(bias) > 0 else zeros(x, lanes)
            if narrow is not None and width * x.itemsize <= NARROW_BYTES:
                others = zeros(x, lanes)
                while edge + 1 < last and columns[edge + 1] < start + visit.tile:
                    if visit.ahead > 0:
                        prefetch(x, x_first + np.int64(columns[min(edge + visit.ahead, furthest)]) * width)
                        prefetch(x, x_first + np.int64(columns[min(edge + 1 + visit.ahead, furthest)]) * width)
                    column = load(x, x_first + np.int64(columns[edge]) * width, lanes)
                    sums = multiply_add(splat(read(values, edge), lanes), column, sums)
                    column = load(x, x_first + np.int64(columns[edge + 1]) * width, lanes)
                    others = multiply_add(splat(read(values, edge + 1), lanes), column, others)
                    edge += 2
                sums = add(sums, others)
            while edge < last and columns[edge] < start + visit.tile:
                if visit.ahead > 0:
                    prefetch(x, x_first + np.int64(columns[min(edge + visit.ahead, furthest)]) * width)
                column = load(x, x_first + np.int64(columns[edge]) * width, lanes)
                sums = multiply_add(splat(read(values, edge), lanes), column, sums)
                edge += 1
            store(out, row * stride + offset, sums)
            place[row - first] = edge


@njit(cache=True, nogil=True)
def sample(lanes, columns, pointers, x, x_first, visit, y, y_first, is_added, out, totals, first, end):  # type: ignore[no-untyped-def]
    """out[edge] = x[columns[edge]] . y[row], or is increased by that; x and y are blocks.

    totals[row], unless totals is empty, is the sum of the row of y, or is increased by that.
    """
    width, furthest = len(lanes) * TILE, len(columns) - 1
    place = pointers[first:end].copy()
    for start in range(0, visit.n, visit.tile):
        for row in range(first, end):
            edge, last = place[row - first], pointers[row + 1]
            if visit.tile < visit.n and row + ROWS_AHEAD < end:
                _announce(columns, out, place[row + ROWS_AHEAD - first])
            own = load(y, y_first + row * width, lanes)
            if start == 0 and len(totals) > 0:
                totals[row] = totals[row] + total(own) if is_added else total(own)
            while edge + GROUP <= last and columns[edge + GROUP - 1] < start + visit.tile:
                if visit.ahead > 0:
                    for further in range(edge + visit.ahead, edge + visit.ahead + GROUP):
                        prefetch(x, x_first + np.int64(columns[min(further, furthest)]) * width)
                products = dots(own, x, columns, edge, width, x_first)
                if is_added:
                    accumulate(out, edge, products)
                else:
                    store(out, edge, products)
                edge += GROUP
            while edge < last and columns[edge] < start + visit.tile:
                if visit.ahead > 0:
                    prefetch(x, x_first + np.int64(columns[min(edge + visit.ahead, furthest)]) * width)
                product = dot(own, load(x, x_first + np.int64(columns[edge]) * width, lanes))
                out[edge] = out[edge] + product if is_added else product
                edge += 1
            place[row - first] = edge


@njit(cache=True, nogil=True)
def sample_and_spread(lanes, values, columns, pointers, x, ahead, y, out, sums, sums_first, first, end):  # type: ignore[no-untyped-def]
    """out[edge] = x[columns[edge]] . y[row], and sums[columns[edge]] is increased by values[edge] * y[row].

    x and y are blocks, the rows of sums begin at sums[sums_first]. Those of the other side are not tiled, as rows are narrow.
    """
    width, furthest = len(lanes) * TILE, len(columns) - 1
    for row in range(first, end):
        edge, last = pointers[row], pointers[row + 1]
        own = load(y, row * width, lanes)
        while edge < last:
            if edge + GROUP <= last:
                store(out, edge, dots(own, x, columns, edge, width, 0))
                near = edge + GROUP
            else:
                write(out, edge, dot(own, load(x, np.int64(columns[edge]) * width, lanes)))
                near = edge + 1
            while edge < near:
                if ahead > 0:
                    further = np.int64(columns[min(edge + ahead, furthest)]) * width
                    prefetch(x, further)
                    prefetch(sums, sums_first + further)
                place = sums_first + np.int64(columns[edge]) * width
                store(sums, place, multiply_add(splat(read(values, edge), lanes), own, load(sums, place, lanes)))
                edge += 1


@njit(cache=True, nogil=True)
def permute(values, order, pointers, out, first, end):  # type: ignore[no-untyped-def]
    """out[edge] = values[order[edge]] for the edges of rows first..end - 1."""
    furthest = len(order) - 1
    for edge in range(pointers[first], pointers[end]):
        prefetch(values, np.int64(order[min(edge + AHEAD, furthest)]))
        out[edge] = read(values, order[edge])


@njit(cache=True, nogil=True)
def _announce(columns, numbers, edge):  # type: ignore[no-untyped-def]
    """Ask for what a neuron's edges hold from `edge` on: in tiles, that lies far from what the neuron before it needs."""
    prefetch(columns, edge)
    prefetch(numbers, edge)
    prefetch(columns, edge + LINE)
    prefetch(numbers, edge + LINE)
