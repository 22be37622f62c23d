"""Compiled work on several threads: plain threads over functions that release the GIL.

No OpenMP team is involved, so nothing spins between calls and a forked process can go on; work is cut so that every output
number is computed by one thread in a fixed order, whatever the number of threads.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np
import torch

# Multiply-adds below which waking another thread costs more than it saves.
SERIAL_WORK = 400_000

_pool: ThreadPoolExecutor | None = None


def run_parts(work: Callable[[int, int], None], pointers: np.ndarray, lanes: int) -> None:
    """Call work(first, end) for parts of the rows 0..len(pointers) - 2 that hold about equally many edges.

    The number of parts is torch's number of threads, or one for small work; the calling thread takes the first part.

    Args:
        work: a compiled function over rows first..end - 1, safe to run beside itself on other rows.
        pointers: `[n_rows + 1]`, edges of row i are pointers[i] to pointers[i + 1].
        lanes: multiply-adds an edge.
    """
    n_rows, n_edges = len(pointers) - 1, int(pointers[-1])
    n_parts = 1 if n_edges * lanes < SERIAL_WORK else min(torch.get_num_threads(), n_rows)
    if n_parts == 1:
        work(0, n_rows)
        return
    inner = np.searchsorted(pointers, np.arange(1, n_parts) * n_edges // n_parts)
    bounds = [0, *inner.tolist(), n_rows]
    futures = [workers().submit(work, first, end) for first, end in pairwise(bounds[1:])]
    try:
        work(0, bounds[1])
    finally:
        wait(futures)
    for future in futures:
        future.result()


def workers() -> ThreadPoolExecutor:
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
