"""A network of layers that share neurons."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from analysis.base.checks import shown
from analysis.base.errors import AnalysisError
from analysis.graph.arrays import BoolArray, FloatArray, LongArray, as_array, frozen
from analysis.graph.bipartite import MAX_NEURONS, BipartiteGraph
from analysis.graph.wiring import (
    GroupPair,
    check_order,
    checked_neurons,
    checked_sizes,
    checked_texts,
    joined_groups,
    two_colours,
)

NO_WEIGHTS = "the graph has no weights"
NOT_BIPARTITE = "edges skip groups, so the network is not bipartite (it has a cycle of an odd number of groups)"
"""Why a measure of bipartite graphs has no value for a network."""


class Edges(NamedTuple):
    """Edges between neurons of a whole network: `src` and `dst`, int64 of shape [n]."""

    src: LongArray
    dst: LongArray


class Arrivals(NamedTuple):
    """The edges that lead to a group: its `neurons`, and the positions of the `edges` in `LayeredGraph.edges`."""

    neurons: slice
    edges: LongArray


@dataclass(frozen=True, eq=False)
class LayeredGraph:
    """A feed-forward network of bipartite layers that share neurons.

    The neurons lie in groups that are numbered in the order of computation, and they are numbered group after group. Without
    further fields the layers are a chain: the targets of layer l are the sources of layer l + 1. Otherwise `sources` and
    `targets` say which neuron every source and every target of a layer is. The sources of a layer may lie in several groups
    (a concatenation) or be a part of one; a neuron may be several sources (of a linear layer that reads the maps of a
    convolution, which have many features each); and layers may share targets (outputs that are added up).

    Links are edges without a trained weight, which counts as 1: the identity of a skip connection, heads, gates. They are part
    of paths, components and cores, but of no layer: they count neither in `n_edges` nor in `degrees`, and null models leave
    them alone.

    Attributes:
        layers: at least one layer; in a chain, consecutive ones agree on the number of neurons that they share.
        sources: per layer, the neurons that its sources are, int64 of shape [n_in]; None for a chain.
        targets: per layer, the neurons that its targets are, int64 of shape [n_out]; None for a chain.
        group_sizes: number of neurons of every group; () for a chain.
        links: int64 of shape [n_links, 2], from neuron to neuron.
        names: one per layer, or ""; () for none.
        kinds: per layer, what it is if it is not linear, such as "convolution 3 x 3", else ""; () if all are linear.

    Raises:
        AnalysisError: no layer; consecutive layers of a chain that do not fit; a shape that does not fit, or a neuron that does
            not exist; a layer or a link that does not lead from lower to higher groups; or a group that nothing joins.

    >>> fork = BipartiteGraph(2, 1, [0, 1], [0, 0])  # neuron 2 is computed from 0 and 1, and neuron 3 from 1 and 2
    >>> network = LayeredGraph((fork, fork), sources=([0, 1], [1, 2]), targets=([2], [3]), group_sizes=(2, 1, 1))
    >>> network.is_chain, network.degrees.tolist(), network.is_bipartite
    (False, [1, 2, 3, 2], False)
    """

    layers: tuple[BipartiteGraph, ...]
    sources: tuple[LongArray, ...] | None = None
    targets: tuple[LongArray, ...] | None = None
    group_sizes: tuple[int, ...] = ()
    links: LongArray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.layers, list | tuple) or not all(isinstance(layer, BipartiteGraph) for layer in self.layers):
            raise AnalysisError(f"graph is {shown(self.layers)}; a tuple of BipartiteGraph is needed (`as_layered` makes it)")
        if not self.layers:
            raise AnalysisError("graph has no layer; at least one is needed")
        self._set(layers=tuple(self.layers))
        for name in ("names", "kinds"):
            self._set(**{name: checked_texts(name, getattr(self, name), len(self.layers))})
        if self.sources is None and self.targets is None:
            self._check_chain()
        else:
            self._check_ends()
        links = np.atleast_1d(as_array(self.links))
        self._set(links=checked_neurons("links", links, (len(links), 2), self.n_neurons))
        if not self.is_chain:
            check_order(self.ends, self.links, self.groups)

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _check_chain(self) -> None:
        for index, (first, second) in enumerate(pairwise(self.layers)):
            if first.n_out != second.n_in:
                raise AnalysisError(
                    f"graph: layer {index} has {first.n_out} targets and layer {index + 1} has {second.n_in} sources; "
                    "consecutive layers share these neurons, so the two numbers must be equal"
                )
        sizes = (self.layers[0].n_in, *(layer.n_out for layer in self.layers))
        if self.group_sizes and tuple(self.group_sizes) != sizes:
            raise AnalysisError(f"group_sizes is {shown(self.group_sizes)}; a chain of these layers has {sizes}")
        self._set(group_sizes=sizes)

    def _check_ends(self) -> None:
        """Check `sources` and `targets`; those of a chain become None."""
        self._set(group_sizes=checked_sizes(self.group_sizes, MAX_NEURONS))
        starts, total = np.cumsum([0, *self.group_sizes]), sum(self.group_sizes)
        is_chain = len(self.group_sizes) == len(self.layers) + 1
        for name, sides, shift in (
            ("sources", [layer.n_in for layer in self.layers], 0),
            ("targets", [layer.n_out for layer in self.layers], 1),
        ):
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or len(given) != len(self.layers):
                raise AnalysisError(f"{name} is {shown(given)}; an array for each of the {len(self.layers)} layers is needed")
            ends = tuple(
                checked_neurons(f"{name}[{index}]", neurons, (n,), total)
                for index, (neurons, n) in enumerate(zip(given, sides, strict=True))
            )
            self._set(**{name: ends})
            is_chain = is_chain and all(
                np.array_equal(neurons, np.arange(*starts[index + shift : index + shift + 2]))
                for index, neurons in enumerate(ends)
            )
        if is_chain:
            self._set(sources=None, targets=None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayeredGraph):
            return NotImplemented
        same_texts = (self.names, self.kinds) == (other.names, other.kinds)
        return self.layers == other.layers and same_texts and self.is_wired_like(other)

    def __hash__(self) -> int:
        return hash((self.layers, self.group_sizes))

    def with_layers(self, layers: Sequence[BipartiteGraph]) -> "LayeredGraph":
        """The same network with other edges: layers of the same sizes, wired and named as these are."""
        return replace(self, layers=tuple(layers))

    def is_wired_like(self, other: "LayeredGraph") -> bool:
        """Whether another network has layers of the same sizes that share the same neurons, and the same links."""
        if self.group_sizes != other.group_sizes or not np.array_equal(self.links, other.links):
            return False
        if self.sources is None or other.sources is None:
            return self.sources is other.sources
        return len(self.ends) == len(other.ends) and all(
            np.array_equal(mine, theirs)
            for pair in zip(self.ends, other.ends, strict=True)
            for mine, theirs in zip(*pair, strict=True)
        )

    @property
    def is_chain(self) -> bool:
        """Whether the targets of every layer are the sources of the next, and there are no links."""
        return self.sources is None and len(self.links) == 0

    @property
    def is_single(self) -> bool:
        """Whether it is one layer and nothing else: without links, every source and every target a neuron of its own."""
        return len(self.layers) == 1 and self.is_chain

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of neurons of every group, from the inputs to the outputs; shape [len(layers) + 1] in a chain."""
        return self.group_sizes

    @property
    def n_neurons(self) -> int:
        """Number of neurons of all groups."""
        return sum(self.group_sizes)

    @property
    def n_edges(self) -> int:
        """Number of edges of all layers."""
        return sum(layer.n_edges for layer in self.layers)

    @property
    def density(self) -> float:
        """Edges of all layers divided by the pairs that they could join, in [0, 1]."""
        return self.n_edges / sum(layer.n_pairs for layer in self.layers)

    @property
    def details(self) -> tuple[str, ...]:
        """Name and kind of every layer, such as "features.3, convolution 3 x 3"; "" if neither was given."""
        return tuple(", ".join(filter(None, texts)) for texts in zip(self.names, self.kinds, strict=True))

    @cached_property
    def groups(self) -> LongArray:
        """The group of every neuron, int64 of shape [n_neurons]."""
        return frozen(np.repeat(np.arange(len(self.group_sizes)), self.group_sizes))

    @cached_property
    def ends(self) -> tuple[tuple[LongArray, LongArray], ...]:
        """`sources` and `targets` of every layer, also in a chain."""
        if self.sources is not None and self.targets is not None:
            return tuple(zip(self.sources, self.targets, strict=True))
        neurons = np.split(np.arange(self.n_neurons), np.cumsum(self.group_sizes)[:-1])
        return tuple(pairwise(neurons))

    @cached_property
    def edges(self) -> Edges:
        """The edges of all layers, layer after layer, and then the links, as edges between neurons of the network.

        Several may join the same two neurons.
        """
        layers = list(zip(self.layers, self.ends, strict=True))
        src = np.concatenate([*(sources[layer.src] for layer, (sources, _) in layers), self.links[:, 0]])
        dst = np.concatenate([*(targets[layer.dst] for layer, (_, targets) in layers), self.links[:, 1]])
        return Edges(frozen(src), frozen(dst))

    @cached_property
    def arrivals(self) -> tuple[Arrivals, ...]:
        """Every group that edges lead to, in the order of computation, with these edges in the order of `edges`."""
        arriving = self.groups[self.edges.dst]
        order, counts = np.argsort(arriving, kind="stable"), np.bincount(arriving, minlength=len(self.group_sizes))
        stops = np.cumsum(self.group_sizes).tolist()
        parts = np.split(order, np.cumsum(counts)[:-1])
        return tuple(
            Arrivals(slice(stop - size, stop), part)
            for stop, size, part in zip(stops, self.group_sizes, parts, strict=True)
            if part.size
        )

    @cached_property
    def inputs(self) -> BoolArray:
        """Neurons of the groups that no layer and no link leads to, bool of shape [n_neurons]."""
        return frozen(~np.isin(self.groups, [second for _, second in self.joined_groups]))

    @cached_property
    def outputs(self) -> BoolArray:
        """Neurons of the groups that no layer and no link leads away from, bool of shape [n_neurons]."""
        return frozen(~np.isin(self.groups, [first for first, _ in self.joined_groups]))

    @cached_property
    def joined_groups(self) -> tuple[GroupPair, ...]:
        """Pairs (from, to) of groups that a layer or a link may join; as often as there are such layers, once for the links."""
        return tuple(joined_groups(self.ends, self.links, self.groups))

    @property
    def skips_groups(self) -> bool:
        """Whether a layer or a link joins groups that are not consecutive."""
        return any(second - first > 1 for first, second in self.joined_groups)

    @property
    def may_repeat_pairs(self) -> bool:
        """Whether several edges, of whatever wiring of these layers, may join the same two neurons."""
        if self.is_chain:
            return False
        is_shared = len(set(self.joined_groups)) < len(self.joined_groups) or _repeats(self.links)
        return is_shared or any(_repeats(neurons) for pair in self.ends for neurons in pair)

    @cached_property
    def degrees(self) -> LongArray:
        """Incoming plus outgoing edges of every neuron, without links; int64 of shape [n_neurons]."""
        src, dst = self.edges
        n = self.n_neurons
        return frozen(np.bincount(src[: self.n_edges], minlength=n) + np.bincount(dst[: self.n_edges], minlength=n))

    @cached_property
    def _colours(self) -> LongArray | None:
        colours = two_colours(len(self.group_sizes), self.joined_groups)
        return None if colours is None else np.array(colours)

    @property
    def is_bipartite(self) -> bool:
        """Whether the groups fall into two sides so that every layer and every link joins one to the other."""
        return self._colours is not None

    @cached_property
    def folded(self) -> BipartiteGraph:
        """The whole network as one undirected bipartite graph.

        In a chain every edge joins a group of even number to one of odd number, so the network is bipartite itself: its
        "sources" are the even groups and its "targets" the odd groups. In general its "sources" are the side of group 0 (of the
        lowest group, in a part of the network that is joined to no other). Paths, cycles and components are those of the
        network. Links are edges of weight 1; several edges between the same two neurons are one, whose weight is the sum of
        their magnitudes. `n_pairs` counts the pairs that the layers could join, layer by layer, and the links. It has weights
        if every layer has.

        Raises:
            AnalysisError: the network is not bipartite.
        """
        if self._colours is None:
            raise AnalysisError(f"graph cannot be folded: {NOT_BIPARTITE}")
        is_second = self._colours[self.groups] == 1
        place = np.where(is_second, np.cumsum(is_second), np.cumsum(~is_second)) - 1
        src, dst = self.edges
        turned = is_second[src]
        first, second = place[np.where(turned, dst, src)], place[np.where(turned, src, dst)]
        n_first, n_second = int(np.count_nonzero(~is_second)), int(np.count_nonzero(is_second))
        weights = None
        if missing_weights(self.layers) is None:
            weights = np.concatenate(
                [*(layer.weights for layer in self.layers if layer.weights is not None), np.ones(len(self.links))]
            )
        if self.may_repeat_pairs:
            first, second, weights = _merged(first, second, weights)
        n_pairs = sum(layer.n_pairs for layer in self.layers) + len(self.links)
        return BipartiteGraph(n_first, n_second, first, second, weights, n_pairs)

    @cached_property
    def adjacency(self) -> sparse.csr_array:
        """Symmetric adjacency of the undirected network as 0/1 (int64) in CSR form, links included.

        The neurons are those of `folded`, sources first, if the network is bipartite; else they come group after group.
        """
        if self.is_bipartite:
            return self.folded.adjacency
        src, dst = self.edges
        n = self.n_neurons
        first, second = np.divmod(np.unique(np.concatenate([src * n + dst, dst * n + src])), n)
        starts = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=n))])
        return sparse.csr_array((np.ones(second.size, dtype=np.int64), second, starts), shape=(n, n))


def _repeats(entries: LongArray) -> bool:
    return len(np.unique(entries, axis=0)) < len(entries)


def _merged(src: LongArray, dst: LongArray, weights: FloatArray | None) -> tuple[LongArray, LongArray, FloatArray | None]:
    """Every pair once, with its weight, or with the sum of the magnitudes if it was there several times."""
    n = int(src.max(initial=0)) + 1
    keys, first, place, counts = np.unique(dst * n + src, return_index=True, return_inverse=True, return_counts=True)
    merged = None
    if weights is not None:
        merged = np.where(counts == 1, weights[first], np.bincount(place, np.abs(weights), minlength=keys.size))
    return keys % n, keys // n, merged


def missing_weights(layers: Sequence[BipartiteGraph]) -> str | None:
    """Why a network has no weights of its own, naming the first layer without if others have some; None if all do."""
    bare = [index for index, layer in enumerate(layers) if layer.weights is None]
    if not bare:
        return None
    return NO_WEIGHTS if len(bare) == len(layers) else f"layer {bare[0]} has no weights"
