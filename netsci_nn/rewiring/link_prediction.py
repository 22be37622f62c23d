"""Which absent edges of a layer are likely by Cannistraci-Hebb theory: scores that follow from the edges alone.

An absent edge from source u to target v would close the paths u - z1 - z2 - v of length 3 between them, where z1 is a target of
u, z2 a source of v, and z2 is joined to z1. Their inner neurons are the local community of (u, v). An inner neuron z has i
links to the community, e links that leave it, and one to u or v. In a bipartite graph i counts what z and its counterpart have
in common: sources of z1 and v, or targets of z2 and u. The weight of z is

    CH3: 1 / (1 + e)        CH2: (1 + i) / (1 + e)

The score of a pair is a sum over the paths of the geometric mean of the two weights (L3p), or a sum of the weights over the
community, however many paths a neuron is on (L3n).

Source: Muscoloni, Abdelhamid, Cannistraci 2018, "Local-community network automata modelling based on length-three-paths"
(CH2-L3p); Muscoloni, Michieli, Cannistraci 2021, "Adaptive network automata modelling of complex networks" (CH3-L3p); Zhang et
al. 2024, "Epitopological learning and Cannistraci-Hebb network shape intelligence" (edges of neural networks grow by CH3-L3p);
Zhang et al. 2025, "Brain network science modelling of sparse neural networks" (L3n). The matrix form of L3n, with weights of
(common + 1) / (e + 1), would give one to neurons that are on no path; as in the authors' code, they have none. That code raises
e to 0 where it would be -1; this happens at existing edges only, which have no score here.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import Rng, as_generator, check_count
from netsci_nn.compiling import njit
from netsci_nn.errors import ConfigError
from netsci_nn.rewiring.largest import Largest
from netsci_nn.sampling import distinct_cells
from netsci_nn.topology import BipartiteTopology, Int64Array
from netsci_nn.topology.edge_order import sorted_by_counting
from netsci_nn.topology.value import check_topology

BLOCK = 2**20  # pairs of neurons in a block of targets
MOST_PAIRS = 2**34  # above, the scores of all pairs would take minutes
ADDED = 1e-5  # to every score, where fewer pairs have one than are drawn; that of the authors


class LinkScores:
    """The scores of all absent edges of a layer, computed in blocks of targets whenever they are asked for.

    Sums are float64 and rounded to float32, so that scores are equal if they differ only in the order of their terms. They take
    one operation per walk of three edges (per edge the product of the degrees of its ends) and O(n_in * n_out) to be written;
    memory is O(n_in + n_out) and that of a block. All methods raise a ConfigError for more than 2^34 pairs of neurons.

    Args:
        topology: the edges that exist.
        by_paths: whether the score is a sum over paths (L3p), or over the neurons on them (L3n).
        rewards_inner: whether links inside of the local community count (CH2), or only those that leave it (CH3).

    Raises:
        TopologyError: if `topology` is none.
        ConfigError: if one of the others is not True or False.

    Source: at the top of this file.

    Example:
        >>> scores = LinkScores(BipartiteTopology(2, 2, src=[0, 0, 1], dst=[0, 1, 1]), by_paths=False, rewards_inner=True)
        >>> scores.matrix()  # the one path has two inner neurons, with i = 1 and e = 0 each
        array([[nan,  4.],
               [nan, nan]], dtype=float32)
    """

    def __init__(self, topology: BipartiteTopology, *, by_paths: bool, rewards_inner: bool) -> None:
        check_topology("topology", topology)
        for name, value in (("by_paths", by_paths), ("rewards_inner", rewards_inner)):
            if not isinstance(value, bool):
                raise ConfigError(f"{name} is {value!r}; it must be True or False")
        self.topology, self.by_paths, self.rewards_inner = topology, by_paths, rewards_inner

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield the first target of every block, and the scores float32 `[targets, n_in]`; NaN where there is an edge.

        Example:
            >>> path = BipartiteTopology(2, 2, src=[0, 0, 1], dst=[0, 1, 1])
            >>> [(first, block.tolist()) for first, block in ch3_l3p(path).blocks()]
            [(0, [[nan, 1.0], [nan, nan]])]
        """
        topology = self.topology
        n_in, n_out = topology.n_in, topology.n_out
        if n_in * n_out > MOST_PAIRS:
            raise ConfigError(
                f"the layer has {n_in:,} x {n_out:,} pairs of neurons, and each would get a score; link prediction takes up to "
                f"2^34 = {MOST_PAIRS:,} pairs: grow edges at random, as set"
            )
        _, targets = sorted_by_counting(topology.src, topology.dst, topology.src, n_in)
        of_source = np.concatenate([[0], np.cumsum(topology.out_degrees)])
        edges = (topology.target_pointers, topology.src, of_source, targets)
        size = max(1, BLOCK // n_in)
        for first in range(0, n_out, size):
            block = np.empty((min(size, n_out - first), n_in), np.float32)
            _score(block, first, *edges, self.by_paths, self.rewards_inner)
            yield first, block

    def matrix(self) -> npt.NDArray[np.float32]:
        """Return all scores, float32 `[n_out, n_in]`, NaN where there is an edge; they take 4 * n_in * n_out bytes."""
        return np.concatenate([block for _, block in self.blocks()])

    def largest(self, count: int, *, rng: Rng) -> Int64Array:
        """Return the absent edges with the highest scores, as dst * n_in + src, increasing.

        Of equal scores the smaller dst * n_in + src comes first. If fewer absent edges than `count` have a score above 0, all
        of them are returned, and the rest are drawn from those of score 0, each equally likely; by the order of pairs all would
        go to the first targets. Deviation: the authors' code takes all pairs that are as high as the last, so that ties make
        more edges than were asked for, and only those above 0 if that has score 0. Here the number is always `count`.

        Args:
            count: how many, at most as many as are absent.
            rng: an int seed or numpy Generator; used only where there are too few scores above 0.

        Raises:
            ConfigError: if fewer than `count` are absent, or `rng` is neither.

        Example:
            >>> topology = BipartiteTopology(3, 3, src=[0, 1, 1, 2], dst=[0, 0, 1, 1])
            >>> ch3_l3n(topology).largest(2, rng=0)  # 2 -> 0 and 0 -> 1
            array([2, 3])
        """
        count, random = self._checked(count), as_generator(rng)
        keys = self._above_0(count, random, is_drawn=False, added=0.0)
        if len(keys) == count:
            return keys
        occupied = np.sort(np.concatenate([self.topology.keys(), keys]))
        n_pairs = self.topology.n_in * self.topology.n_out
        return np.sort(np.concatenate([keys, distinct_cells(n_pairs, count - len(keys), random, occupied)]))

    def sample(self, count: int, *, rng: Rng) -> Int64Array:
        """Draw absent edges one after the other, each time with probabilities that are proportional to the scores of the rest.

        If fewer absent edges than `count` have a score above 0, 1e-5 is added to every score, as in the authors' code: the rest
        becomes nearly uniform, and where pairs of score 0 are very many, so does the whole.

        Args:
            count: how many, at most as many as are absent.
            rng: an int seed or numpy Generator.

        Returns:
            dst * n_in + src of the drawn ones, int64 `[count]`, increasing.

        Raises:
            ConfigError: if fewer than `count` are absent, or `rng` is neither.

        Example:
            >>> topology = BipartiteTopology(3, 3, src=[0, 1, 1, 2], dst=[0, 0, 1, 1])
            >>> ch2_l3n(topology).sample(2, rng=0)  # 2 -> 0 and 0 -> 1 are the only ones with a score
            array([2, 3])
        """
        count, random = self._checked(count), as_generator(rng)
        keys = self._above_0(count, random, is_drawn=True, added=0.0)
        return keys if len(keys) == count else self._above_0(count, random, is_drawn=True, added=ADDED)

    def _checked(self, count: int) -> int:
        count, topology = check_count("count", count, 0, error=ConfigError), self.topology
        n_absent = topology.n_in * topology.n_out - topology.n_edges
        if count > n_absent:
            raise ConfigError(f"count is {count}; only {n_absent} edges are absent")
        return count

    def _above_0(self, count: int, rng: np.random.Generator, *, is_drawn: bool, added: float) -> Int64Array:
        """Return the `count` highest of the scores above 0, or of scores / standard exponential draws, which is a sample.

        Of exponential variables with the scores as rates, the order from the smallest is that of draws without replacement.
        """
        if count == 0:
            return np.empty(0, np.int64)
        n_in, dtype = self.topology.n_in, np.float64 if is_drawn else np.float32
        best = Largest(count, 0.0, max(BLOCK, n_in), dtype)
        for first, block in self.blocks():
            best.take((block + added) / rng.standard_exponential(block.shape) if is_drawn else block, first * n_in)
        return best.shrink()


def ch3_l3p(topology: BipartiteTopology) -> LinkScores:
    """Score absent edges by CH3-L3p: the sum over paths of length 3 of 1 / sqrt((1 + e1) (1 + e2)).

    e1 and e2 count the links of the two inner neurons that leave the local community. Scores are 0 or more.

    Args:
        topology: the edges that exist.

    Returns:
        the scores, as a `LinkScores`.

    Raises:
        TopologyError: if `topology` is none.

    Example:
        >>> path = BipartiteTopology(3, 2, src=[0, 0, 1, 2], dst=[0, 1, 1, 1])
        >>> ch3_l3p(path).matrix().round(4)  # 1 -> 0 and 2 -> 0: target 1 has one link that leaves
        array([[   nan, 0.7071, 0.7071],
               [   nan,    nan,    nan]], dtype=float32)
    """
    return LinkScores(topology, by_paths=True, rewards_inner=False)


def ch2_l3p(topology: BipartiteTopology) -> LinkScores:
    """Score absent edges by CH2-L3p: the sum over paths of sqrt((1 + i1) (1 + i2) / ((1 + e1) (1 + e2))).

    i and e count the links of an inner neuron inside of the local community, and those that leave it. Scores are 0 or more.

    Args:
        topology: the edges that exist.

    Returns:
        the scores, as a `LinkScores`.

    Raises:
        TopologyError: if `topology` is none.

    Example:
        >>> path = BipartiteTopology(3, 2, src=[0, 0, 1, 2], dst=[0, 1, 1, 1])
        >>> ch2_l3p(path).matrix().round(4)
        array([[   nan, 1.4142, 1.4142],
               [   nan,    nan,    nan]], dtype=float32)
    """
    return LinkScores(topology, by_paths=True, rewards_inner=True)


def ch3_l3n(topology: BipartiteTopology) -> LinkScores:
    """Score absent edges by CH3-L3n: the sum over the local community of 1 / (1 + e).

    e counts the links of a neuron that leave the community. Scores are 0 or more.

    Args:
        topology: the edges that exist.

    Returns:
        the scores, as a `LinkScores`.

    Raises:
        TopologyError: if `topology` is none.

    Example:
        >>> path = BipartiteTopology(3, 2, src=[0, 0, 1, 2], dst=[0, 1, 1, 1])
        >>> ch3_l3n(path).matrix()  # target 1 has 1/2, source 0 has 1
        array([[nan, 1.5, 1.5],
               [nan, nan, nan]], dtype=float32)
    """
    return LinkScores(topology, by_paths=False, rewards_inner=False)


def ch2_l3n(topology: BipartiteTopology) -> LinkScores:
    """Score absent edges by CH2-L3n: the sum over the local community of (1 + i) / (1 + e).

    i and e count the links of a neuron inside of the community, and those that leave it. Scores are 0 or more.

    Args:
        topology: the edges that exist.

    Returns:
        the scores, as a `LinkScores`.

    Raises:
        TopologyError: if `topology` is none.

    Example:
        >>> path = BipartiteTopology(3, 2, src=[0, 0, 1, 2], dst=[0, 1, 1, 1])
        >>> ch2_l3n(path).matrix()
        array([[nan,  3.,  3.],
               [nan, nan, nan]], dtype=float32)
    """
    return LinkScores(topology, by_paths=False, rewards_inner=True)


@njit(cache=True, nogil=True)
def _weight(degree, inner, by_paths, rewards_inner):  # type: ignore[no-untyped-def]
    """Return the weight of a neuron with `inner` links to the community and one to u or v; for paths, its square root.

    Without a link to u or v (degree = inner), it belongs to pairs that are joined.
    """
    weight = (1.0 + inner * rewards_inner) / max(degree - inner, 1)
    return math.sqrt(weight) if by_paths else weight


@njit(cache=True, nogil=True)
def _score(block, first, of_target, sources, of_source, targets, by_paths, rewards_inner):  # type: ignore[no-untyped-def]
    """Write the scores of the targets from `first` on, one at a time; NaN where there is an edge.

    The edges of target t are sources[of_target[t] : of_target[t + 1]], those of a source likewise.
    """
    n_in = block.shape[1]
    total, reached = np.zeros(n_in), np.zeros(n_in)  # by source u; `reached` is the part of the path before z2
    common, seen = np.zeros(n_in, np.int64), np.empty(n_in, np.int64)
    shared, inner = np.zeros(len(of_target) - 1, np.int64), np.zeros(len(of_target) - 1)  # by target z1
    community = np.empty(len(of_target) - 1, np.int64)
    for row in range(len(block)):
        own = sources[of_target[first + row] : of_target[first + row + 1]]
        n_inner = 0
        for z2 in own:
            for z1 in targets[of_source[z2] : of_source[z2 + 1]]:
                if shared[z1] == 0:
                    community[n_inner] = z1
                    n_inner += 1
                shared[z1] += 1
        for z1 in community[:n_inner]:
            inner[z1] = _weight(of_target[z1 + 1] - of_target[z1], shared[z1], by_paths, rewards_inner)
        for z2 in own:
            n_seen = 0
            for z1 in targets[of_source[z2] : of_source[z2 + 1]]:
                for u in sources[of_target[z1] : of_target[z1 + 1]]:
                    if common[u] == 0:
                        seen[n_seen] = u
                        n_seen += 1
                    common[u] += 1
                    reached[u] += inner[z1]
            for u in seen[:n_seen]:
                weight = _weight(of_source[z2 + 1] - of_source[z2], common[u], by_paths, rewards_inner)
                total[u] += weight * reached[u] if by_paths else weight
                common[u], reached[u] = 0, 0.0
        for z1 in community[:n_inner]:
            shared[z1] = 0
            if not by_paths:
                for u in sources[of_target[z1] : of_target[z1 + 1]]:
                    total[u] += inner[z1]
        for u in range(n_in):
            block[row, u], total[u] = total[u], 0.0
        for u in own:
            block[row, u] = np.nan
