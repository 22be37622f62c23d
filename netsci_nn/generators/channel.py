"""Channel graphs: the wiring of the compact modules of convolutional networks, grouped, depthwise, shuffled and low-rank."""

import math
import operator

import numpy as np

from netsci_nn.checks import neuron_count
from netsci_nn.errors import TopologyError
from netsci_nn.generators.budget import GENERATORS
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
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    n_groups = _check_groups(n_groups, n_in, n_out)
    width, height = n_in // n_groups, n_out // n_groups
    dst, place = np.divmod(np.arange(n_out * width, dtype=np.int64), width)
    return BipartiteTopology.from_keys(dst * n_in + dst // height * width + place, n_in, n_out)


@GENERATORS.register("depthwise")
def depthwise(n_in: int, n_out: int) -> BipartiteTopology:
    """Join source i to the targets i * m to i * m + m - 1, where m = n_out / n_in is the channel multiplier.

    Every source has degree m, every target 1; the density is 1 / n_in. It is `grouped` with n_groups = n_in.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, a multiple of n_in.

    Raises:
        TopologyError: when a size is out of range or n_out is not a multiple of n_in.

    Source: the depthwise step of separable convolutions (Sifre 2014; Howard et al. 2017, MobileNet).
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    if n_out % n_in:
        raise TopologyError(f"n_out is {n_out}; it must be a multiple of n_in = {n_in}, every source having as many targets")
    dst = np.arange(n_out, dtype=np.int64)
    return BipartiteTopology.from_keys(dst * n_in + dst // (n_out // n_in), n_in, n_out)


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
    """
    n_in, n_out = neuron_count("n_in", n_in), neuron_count("n_out", n_out)
    if n_in != n_out:
        raise TopologyError(f"n_out is {n_out}; it must be n_in = {n_in}, a shuffle being a permutation")
    n_groups = _check_groups(n_groups, n_in, n_out)
    src = np.arange(n_in, dtype=np.int64)
    group, place = np.divmod(src, n_in // n_groups)
    return BipartiteTopology.from_keys((place * n_groups + group) * n_in + src, n_in, n_out)


def low_rank(n_in: int, n_out: int, *, rank: int) -> tuple[BipartiteTopology, BipartiteTopology]:
    """Return two complete topologies, n_in x rank and rank x n_out, whose product is a matrix of at most that rank.

    Together they have rank * (n_in + n_out) edges, which is less than the n_in * n_out of one complete layer where
    rank < n_in * n_out / (n_in + n_out); from there on nothing is saved. In the first, sources have degree rank and targets
    n_in; in the second, sources have degree n_out and targets rank. It is no single topology, so it has no registered name.

    Args:
        n_in: number of sources, at least 1.
        n_out: number of targets, at least 1.
        rank: number of neurons between the two layers, at least 1.

    Raises:
        TopologyError: when a size or the rank is out of range.

    Source: low-rank factorisation of a layer (Sainath et al. 2013; Denton et al. 2014).
    """
    n_in, n_out, rank = neuron_count("n_in", n_in), neuron_count("n_out", n_out), neuron_count("rank", rank)
    return grouped(n_in, rank, n_groups=1), grouped(rank, n_out, n_groups=1)


def _check_groups(n_groups: int, n_in: int, n_out: int) -> int:
    common = math.gcd(n_in, n_out)
    try:
        count = 0 if isinstance(n_groups, (bool, np.bool_)) else operator.index(n_groups)
    except TypeError:
        count = 0
    if count < 1 or common % count:
        small = [divisor for divisor in range(1, math.isqrt(common) + 1) if common % divisor == 0]
        divisors = sorted({*small, *(common // divisor for divisor in small)})
        raise TopologyError(
            f"n_groups is {n_groups!r}; it must divide n_in = {n_in} and n_out = {n_out}: {', '.join(map(str, divisors))}"
        )
    return count
