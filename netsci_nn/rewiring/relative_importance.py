"""Relative importance: how much of what its two neurons have on their edges is on one edge."""

import numpy as np

from netsci_nn.errors import ConfigError
from netsci_nn.rewiring.view import check_finite
from netsci_nn.topology import ArrayLike, BipartiteTopology, Float64Array, as_array
from netsci_nn.topology.value import check_topology


def relative_importance(topology: BipartiteTopology, weights: ArrayLike) -> Float64Array:
    """Return |w| / (sum of |w| over the edges of the same target) + |w| / (the same for the source), for every edge.

    Unlike |w|, it spares the last edges of a neuron: one that is alone at both ends has 2, whatever its weight. A share of a
    sum that is 0 is 0. Deviation: the authors' code adds 1e-5 to the sums, per pair of neurons in one of its versions, which
    makes weights of that size unimportant.

    Args:
        topology: the edges.
        weights: numbers `[n_edges]`; of kernels, their norms.

    Returns:
        float64 `[n_edges]`, from 0 to 2. The shares of a neuron's edges sum to 1.

    Raises:
        TopologyError: if `topology` is none, or a weight is not finite.
        ConfigError: if the weights are no real numbers, or not one per edge.

    Source: Zhang et al. 2024, "Plug-and-play: an efficient post-training pruning method for large language models" (RIA,
    without its activations), as CHTs (2025) uses it to drop edges.

    Example:
        >>> topology = BipartiteTopology(3, 2, src=[0, 1, 2], dst=[0, 0, 1])
        >>> relative_importance(topology, [1.0, -3.0, 0.1])
        array([1.25, 1.75, 2.  ])
    """
    check_topology("topology", topology)
    array = as_array(weights)
    if array.shape != (topology.n_edges,) or (array.size and array.dtype.kind not in "iuf"):
        raise ConfigError(
            f"weights has shape {array.shape} and dtype {array.dtype}; it must be {topology.n_edges} real numbers, one per edge"
        )
    size = np.abs(array.astype(np.float64))
    check_finite("relative importance", size)
    size = np.ldexp(size, -np.frexp(size.max(initial=1.0))[1])  # exactly, so that no sum is infinite
    shares = np.zeros(topology.n_edges)
    for ends, n_neurons in ((topology.dst, topology.n_out), (topology.src, topology.n_in)):
        total = np.bincount(ends, weights=size, minlength=n_neurons)[ends]
        shares += np.divide(size, total, out=np.zeros_like(size), where=total > 0)
    return shares
