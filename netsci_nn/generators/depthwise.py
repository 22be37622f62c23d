"""Depthwise: every source has its own targets (the wiring of a depthwise convolution)."""

import numpy as np

from netsci_nn.checks import neuron_count
from netsci_nn.errors import TopologyError
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.topology import BipartiteTopology


@GENERATORS.register("depthwise")
def depthwise(n_in: int, n_out: int) -> BipartiteTopology:
    """Join source i to the targets i * m to i * m + m - 1; m = n_out / n_in is the channel multiplier.

    Every source has degree m, every target 1; the density is 1 / n_in. It is `grouped` with n_groups = n_in.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, a multiple of n_in.

    Raises:
        TopologyError: when a size is out of range or n_out is not a multiple of n_in.

    Source: the depthwise step of separable convolutions (Sifre 2014; Howard et al. 2017, MobileNet).

    Example:
        >>> depthwise(3, 6).to_edges().tolist()
        [[0, 0], [0, 1], [1, 2], [1, 3], [2, 4], [2, 5]]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    if n_out % n_in:
        raise TopologyError(f"n_out is {n_out}; it must be a multiple of n_in = {n_in}, every source having as many targets")
    dst = np.arange(n_out, dtype=np.int64)
    return BipartiteTopology.from_keys(dst * n_in + dst // (n_out // n_in), n_in, n_out)
