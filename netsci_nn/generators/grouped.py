"""Grouped: sources and targets in equal blocks, each block complete (the wiring of a group convolution)."""

import math

import numpy as np

from netsci_nn.checks import as_whole_number, neuron_count
from netsci_nn.errors import TopologyError, shown
from netsci_nn.generators.protocol import GENERATORS
from netsci_nn.topology import BipartiteTopology


@GENERATORS.register("grouped")
def grouped(n_in: int, n_out: int, *, n_groups: int) -> BipartiteTopology:
    """Cut sources and targets into n_groups equal blocks in order; block g joins all its sources with all its targets.

    Every source has degree n_out / n_groups, every target n_in / n_groups; the density is 1 / n_groups. One group is the
    complete graph.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        n_groups: number of blocks, a divisor of both sizes.

    Raises:
        TopologyError: when a size is out of range or n_groups does not divide both (the message lists what does).

    Source: the group convolution of AlexNet (Krizhevsky, Sutskever & Hinton 2012), its channels taken as neurons.

    Example:
        >>> grouped(4, 6, n_groups=2).to_mask().astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    n_groups = check_groups(n_groups, n_in, n_out)
    width, height = n_in // n_groups, n_out // n_groups
    dst, place = np.divmod(np.arange(n_out * width, dtype=np.int64), width)
    return BipartiteTopology.from_keys(dst * n_in + dst // height * width + place, n_in, n_out)


def check_groups(n_groups: int, n_in: int, n_out: int) -> int:
    """Return `n_groups` as an int after checking that it divides both sizes."""
    common = math.gcd(n_in, n_out)
    count = as_whole_number(n_groups) or 0
    if count < 1 or common % count:
        small = [divisor for divisor in range(1, math.isqrt(common) + 1) if common % divisor == 0]
        divisors = sorted({*small, *(common // divisor for divisor in small)})
        raise TopologyError(
            f"n_groups is {shown(n_groups)}; it must divide n_in = {n_in} and n_out = {n_out}: {', '.join(map(str, divisors))}"
        )
    return count
