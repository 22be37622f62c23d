"""A layer as it comes out of a file: what every reader of the command line returns and `analysis` takes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Layer:
    """A bipartite layer with weights; edges in any order.

    Attributes:
        name: of the tensor, or nothing.
        n_in: number of sources.
        n_out: number of targets.
        src: integers `[n_edges]`.
        dst: integers `[n_edges]`.
        weights: `[n_edges]` numbers, or None.
    """

    name: str
    n_in: int
    n_out: int
    src: npt.NDArray[np.integer]
    dst: npt.NDArray[np.integer]
    weights: npt.NDArray[Any] | None = None
