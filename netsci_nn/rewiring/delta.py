"""`EdgeDelta`: which edges go and which come."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from netsci_nn.compiling import njit
from netsci_nn.errors import TopologyError
from netsci_nn.topology import Int64Array, as_array


@dataclass(frozen=True, eq=False, repr=False)
class EdgeDelta:
    """A change of a layer's edges, proposed by a rewiring rule and carried out by `apply_delta`.

    Args:
        dropped: `[n_dropped]`, distinct positions into the layer's current edges.
        grown_src: `[n_grown]`, sources of the new edges.
        grown_dst: `[n_grown]`, targets of the new edges.
        grown_values: `[n_grown, *kernel]`, their weights.
        kept_values: `[n_edges, *kernel]`, new weights of the current edges if the rule changes them (entries of dropped edges
            do not count); None leaves them as they are.
        kept_active: bool `[n_edges]`, a new forward mask of the current edges; None leaves it as it is.
        grown_active: bool `[n_grown]`, the forward mask of the new edges; None makes them active.

    Raises:
        TopologyError: if the shapes do not fit, positions repeat, or the weight of a new edge is not finite.
    """

    dropped: Int64Array
    grown_src: Int64Array
    grown_dst: Int64Array
    grown_values: npt.NDArray[np.floating]
    kept_values: npt.NDArray[np.floating] | None = None
    kept_active: npt.NDArray[np.bool_] | None = None
    grown_active: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        for name in ("dropped", "grown_src", "grown_dst"):
            array = as_array(getattr(self, name))
            if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
                raise TopologyError(f"{name} has shape {array.shape} and dtype {array.dtype}; it must be 1-D integers")
            if array.size and array.dtype.kind == "u" and array.max() >= 2**63:
                raise TopologyError(f"{name} holds {array.max()}; it must hold integers below 2^63")
            object.__setattr__(self, name, array.astype(np.int64, copy=not _is_frozen(array)))
        is_sorted, is_distinct = _order(self.dropped)
        if not is_sorted:
            object.__setattr__(self, "dropped", np.sort(self.dropped))
            is_distinct = _order(self.dropped)[1]
        values = as_array(self.grown_values)
        if values.ndim < 1 or values.dtype.kind not in "fiu":
            raise TopologyError(
                f"grown_values has shape {values.shape} and dtype {values.dtype}; it must be numbers [n_grown, *kernel]"
            )
        object.__setattr__(self, "grown_values", values.astype(np.result_type(values, np.float32), copy=not _is_frozen(values)))
        kept = self.kept_values
        if kept is not None and (not isinstance(kept, np.ndarray) or kept.ndim < 1 or kept.dtype.kind != "f"):
            got = (
                f"has shape {kept.shape} and dtype {kept.dtype}"
                if isinstance(kept, np.ndarray)
                else f"is a {type(kept).__name__}"
            )
            raise TopologyError(f"kept_values {got}; it must be an array of floating numbers [n_edges, *kernel]")
        if kept is not None:
            kept = np.ascontiguousarray(kept, dtype=kept.dtype.newbyteorder("="))
            # numpy calls a single number contiguous whatever its strides, torch refuses negative ones.
            object.__setattr__(self, "kept_values", kept.copy() if min(kept.strides) < 0 else kept)
        for name in ("kept_active", "grown_active"):
            mask = getattr(self, name)
            if mask is not None and (not isinstance(mask, np.ndarray) or mask.ndim != 1 or mask.dtype != np.bool_):
                raise TopologyError(f"{name} is {mask!r}; it must be a 1-D array of bool")
        for array in (self.dropped, self.grown_src, self.grown_dst, self.grown_values):
            array.setflags(write=False)
        n_grown = len(self.grown_src)
        if (
            not n_grown
            == len(self.grown_dst)
            == len(self.grown_values)
            == len(self.grown_src if self.grown_active is None else self.grown_active)
        ):
            raise TopologyError(
                f"grown_src, grown_dst and grown_values have {n_grown}, {len(self.grown_dst)} and {len(self.grown_values)} "
                f"entries{'' if self.grown_active is None else f', grown_active has {len(self.grown_active)}'}; "
                "they must be equally long"
            )
        if not is_distinct:
            raise TopologyError("dropped names an edge twice; positions must be distinct")
        if not np.isfinite(self.grown_values).all():
            raise TopologyError("grown_values holds NaN or infinity; new weights must be finite")

    def __repr__(self) -> str:
        return f"EdgeDelta({len(self.dropped)} dropped, {len(self.grown_src)} grown)"

    @property
    def moves_edges(self) -> bool:
        """Whether an edge goes or comes."""
        return len(self.dropped) + len(self.grown_src) > 0

    @property
    def sets_active(self) -> bool:
        """Whether the forward mask of the layer changes."""
        return self.kept_active is not None or self.grown_active is not None

    def check_fits(self, n_edges: int, kernel: tuple[int, ...]) -> None:
        """Raise a TopologyError unless the shapes belong to a layer of `n_edges` edges that carry `kernel`."""
        for name, array, shape in (
            ("kept_values", self.kept_values, (n_edges, *kernel)),
            ("kept_active", self.kept_active, (n_edges,)),
            ("grown_values", self.grown_values, (len(self.grown_src), *kernel)),
        ):
            if array is not None and array.shape != shape:
                raise TopologyError(f"{name} has shape {list(array.shape)}; the layer needs {list(shape)}")


def _is_frozen(array: npt.NDArray[np.generic]) -> bool:
    """Whether nobody can write to the array, so that it need not be copied."""
    return array.flags.owndata and not array.flags.writeable


@njit(cache=True, nogil=True)
def _order(positions):  # type: ignore[no-untyped-def]
    """Return whether positions are sorted, and whether no two neighbours are equal."""
    n_falls, n_equal = 0, 0
    for place in range(1, len(positions)):
        n_falls += positions[place] < positions[place - 1]
        n_equal += positions[place] == positions[place - 1]
    return n_falls == 0, n_equal == 0
