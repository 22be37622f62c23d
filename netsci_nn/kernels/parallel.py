"""Compiled work on several threads: plain threads over functions that release the GIL.

No OpenMP team is involved, so nothing spins between calls and a forked process can continue; work is cut so that every output
number is computed by one thread in a fixed order, whatever the number of threads.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import torch

# Multiply-adds below which waking another thread costs more than it saves, also where others have just used the processors.
SERIAL_WORK = 8_000_000

_pool: ThreadPoolExecutor | None = None


def run_edges(work: Callable[[int, int], object], pointers: np.ndarray, cost: int) -> None:
    """Call work(first, end) for parts of the rows 0..len(pointers) - 2 that hold about equally many edges.

    Args:
        work: a compiled function over rows first..end - 1, safe to run beside itself on other rows.
        pointers: `[n_rows + 1]`, edges of row i are pointers[i] to pointers[i + 1].
        cost: of an edge, in multiply-adds.
    """
    n_rows, n_edges = len(pointers) - 1, int(pointers[-1])
    n_parts = _parts(n_edges * cost, n_rows)
    if n_parts == 1:
        work(0, n_rows)
        return
    inner = np.searchsorted(pointers, np.arange(1, n_parts) * n_edges // n_parts)
    _run(work, [0, *inner.tolist(), n_rows])


def run_rows(work: Callable[[int, int], object], n_rows: int, cost: int, multiple: int) -> None:
    """Call work(first, end) for equal parts of the rows 0..n_rows - 1 that begin at multiples of `multiple`."""
    n_parts = _parts(n_rows * cost, n_rows)
    if n_parts == 1:
        work(0, n_rows)
        return
    _run(work, [*(part * n_rows // n_parts // multiple * multiple for part in range(n_parts)), n_rows])


def _parts(work: int, n_rows: int) -> int:
    """Return torch's number of threads, or 1 for small work."""
    return 1 if work < SERIAL_WORK else max(1, min(torch.get_num_threads(), n_rows))


def _run(work: Callable[[int, int], object], bounds: list[int]) -> None:
    """Run the parts between consecutive bounds."""
    run_threads(lambda part: work(bounds[part], bounds[part + 1]), len(bounds) - 1)


def run_threads(work: Callable[[int], object], n_threads: int) -> None:
    """Call work(0), ..., work(n_threads - 1), each on a thread of its own; the calling thread does work(0)."""
    if n_threads == 1:
        work(0)
        return
    futures = [_workers().submit(work, number) for number in range(1, n_threads)]
    try:
        work(0)
    finally:
        wait(futures)
    for future in futures:
        future.result()


def _workers() -> ThreadPoolExecutor:
    """Return the threads that share compiled work with the calling one."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="netsci_nn")
    return _pool


def _forget_workers() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_forget_workers)
