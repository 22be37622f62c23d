"""`EdgeDelta`: which edges go and which come."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from netsci_nn.errors import TopologyError
from netsci_nn.topology import Int64Array


@dataclass(frozen=True, eq=False)
class EdgeDelta:
    """A change of a layer's edges, proposed by a rewiring rule and carried out by `apply_delta`.

    Args:
        dropped: `[n_dropped]`, distinct positions into the layer's current edges.
        grown_src: `[n_grown]`, sources of the new edges.
        grown_dst: `[n_grown]`, targets of the new edges.
        grown_values: `[n_grown]`, their weights.
        kept_values: `[n_edges]`, new weights of the current edges where the rule changes them (entries of dropped edges do
            not count); None leaves them as they are.

    Raises:
        TopologyError: when the shapes do not fit, positions repeat, or a value is not finite.
    """

    dropped: Int64Array
    grown_src: Int64Array
    grown_dst: Int64Array
    grown_values: npt.NDArray[np.floating]
    kept_values: npt.NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        for name in ("dropped", "grown_src", "grown_dst"):
            array = np.asarray(getattr(self, name))
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
                raise TopologyError(f"{name} has shape {array.shape} and dtype {array.dtype}; it must be 1-D integers")
            object.__setattr__(self, name, array.astype(np.int64))
        if (np.diff(self.dropped) < 0).any():
            self.dropped.sort()
        values = np.asarray(self.grown_values)
        if values.ndim != 1 or (values.size and values.dtype.kind not in "fiu"):
            raise TopologyError(f"grown_values has shape {values.shape} and dtype {values.dtype}; it must be 1-D numbers")
        object.__setattr__(self, "grown_values", values.astype(np.result_type(values, np.float32)))
        if self.kept_values is not None and (self.kept_values.ndim != 1 or self.kept_values.dtype.kind != "f"):
            raise TopologyError(f"kept_values has shape {self.kept_values.shape}; it must be 1-D floating numbers, one an edge")
        for array in (self.dropped, self.grown_src, self.grown_dst, self.grown_values):
            array.setflags(write=False)
        if not len(self.grown_src) == len(self.grown_dst) == len(self.grown_values):
            raise TopologyError(
                f"grown_src, grown_dst and grown_values have {len(self.grown_src)}, {len(self.grown_dst)} and "
                f"{len(self.grown_values)} entries; they must be equally long"
            )
        if (np.diff(self.dropped) == 0).any():
            raise TopologyError("dropped names an edge twice; positions must be distinct")
        if not np.isfinite(self.grown_values).all():
            raise TopologyError("grown_values holds NaN or infinity; new weights must be finite")
