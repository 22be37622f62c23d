"""Channel shuffle: a permutation that spreads each block of sources evenly over the targets."""

import numpy as np

from netsci_nn.checks import neuron_count
from netsci_nn.errors import TopologyError
from netsci_nn.generators.grouped import check_groups
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.topology import BipartiteTopology


@GENERATORS.register("shuffle")
def shuffle(n_in: int, n_out: int, *, n_groups: int) -> BipartiteTopology:
    """Join every source to one target, so that the targets of each of n_groups blocks of sources are evenly spread.

    With n = n_in = n_out, source i goes to target (i mod (n / n_groups)) * n_groups + i // (n / n_groups): the channels
    seen as a matrix of n_groups rows, transposed. All degrees are 1; the density is 1 / n. One group, and n groups, are the
    identity.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, equal to n_in.
        n_groups: number of blocks, a divisor of n_in.

    Raises:
        TopologyError: when a size is out of range, the sizes differ, or n_groups does not divide them.

    Source: the channel shuffle of ShuffleNet (Zhang et al. 2018), which lies between two grouped convolutions.

    Example:
        >>> shuffle(6, 6, n_groups=2).src.tolist()
        [0, 3, 1, 4, 2, 5]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    if n_in != n_out:
        raise TopologyError(f"n_out is {n_out}; it must be n_in = {n_in}, a shuffle being a permutation")
    n_groups = check_groups(n_groups, n_in, n_out)
    src = np.arange(n_in, dtype=np.int64)
    group, place = np.divmod(src, n_in // n_groups)
    return BipartiteTopology.from_keys((place * n_groups + group) * n_in + src, n_in, n_out)
