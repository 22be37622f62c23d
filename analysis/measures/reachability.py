"""Paths from inputs to outputs: which neurons and edges lie on one, and how many there are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.base.checks import is_whole
from analysis.base.compiling import njit
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import BoolArray, FloatArray, LongArray, as_array
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.values import LayeredGraph, missing_weights
from analysis.measures.measure import Measure, takes_any_layer

BLOCK_INPUTS = 4096
"""Inputs that are followed at once, one bit each for every neuron."""

NO_PATH = "no input is joined to an output"


@dataclass(frozen=True)
class OnPath:
    """Neurons that are reached from an input, or reach an output, group after group.

    Attributes:
        from_input: reached from an input (every input is), bool of shape [n_l] for each group.
        to_output: an output is reached from here (from every output is), likewise.
    """

    from_input: tuple[BoolArray, ...]
    to_output: tuple[BoolArray, ...]

    @property
    def neurons(self) -> tuple[BoolArray, ...]:
        """On at least one path from an input to an output, bool of shape [n_l] for each group."""
        return tuple(first & last for first, last in zip(self.from_input, self.to_output, strict=True))


def on_path(network: LayeredGraph) -> OnPath:
    """Neurons that are reached from an input, and neurons from which an output is reached."""
    from_input, to_output = _reached(network)
    stops = np.cumsum(network.layer_sizes)[:-1]
    return OnPath(tuple(np.split(from_input, stops)), tuple(np.split(to_output, stops)))


def _reached(network: LayeredGraph) -> tuple[BoolArray, BoolArray]:
    """Whether a neuron is reached from an input, and whether an output is reached from it; both of shape [n_neurons]."""
    from_input, to_output = network.inputs.copy(), network.outputs.copy()
    src, dst = network.edges
    for arrival in network.arrivals:
        edges = arrival.edges[from_input[src[arrival.edges]]]
        from_input[dst[edges]] = True
    for arrival in reversed(network.arrivals):
        edges = arrival.edges[to_output[dst[arrival.edges]]]
        to_output[src[edges]] = True
    return from_input, to_output


def dead_neurons(network: LayeredGraph) -> int:
    """Number of neurons without an incoming edge or link that are no input, or without an outgoing one that are no output."""
    is_begun, is_ended = network.outputs.copy(), network.inputs.copy()
    is_begun[network.edges.src] = True
    is_ended[network.edges.dst] = True
    return int(np.count_nonzero(~(is_begun & is_ended)))


def effective_edges(network: LayeredGraph) -> int:
    """Number of edges on at least one path from an input to an output.

    Paths may lead over links, which are not counted. The share of these edges in all that could be is the effective density;
    one minus it the effective sparsity of Vysogorets and Kempe (2023), "Connectivity matters: neural network pruning through
    the lens of effective sparsity", Journal of Machine Learning Research 24(99).
    """
    return _effective_edges(network, *_reached(network))


def _effective_edges(network: LayeredGraph, from_input: BoolArray, to_output: BoolArray) -> int:
    src, dst = (ends[: network.n_edges] for ends in network.edges)
    return int(np.count_nonzero(from_input[src] & to_output[dst]))


@njit(cache=True, nogil=True)
def _spread(src: LongArray, dst: LongArray, bits: npt.NDArray[np.uint64]) -> None:
    """The bits of every neuron become the union of its own and its sources' bits; edges come in the order of computation."""
    for edge in range(src.size):
        for word in range(bits.shape[1]):
            bits[dst[edge], word] |= bits[src[edge], word]


def joined_pairs(network: LayeredGraph, block_inputs: int = BLOCK_INPUTS) -> int:
    """Number of pairs (input, output) that are joined by at least one directed path; exact.

    Args:
        network: the layers and links.
        block_inputs: inputs that are followed at once, a positive multiple of 64.

    Returns:
        In 0..n_inputs * n_outputs. Cost O(edges * inputs / 64) time; O(neurons * block_inputs / 64) words of 8 bytes.

    Raises:
        AnalysisError: `block_inputs` is not a positive multiple of 64.
    """
    if not is_whole(block_inputs, 64) or block_inputs % 64:
        raise AnalysisError(f"block_inputs is {block_inputs!r}; a positive multiple of 64 is needed")
    inputs, total = np.flatnonzero(network.inputs), 0
    order = np.concatenate([arrival.edges for arrival in network.arrivals]) if network.arrivals else np.empty(0, np.int64)
    src, dst = (ends[order] for ends in network.edges)
    for start in range(0, inputs.size, block_inputs):
        block = inputs[start : start + block_inputs]
        numbers = np.arange(block.size)
        bits = np.zeros((network.n_neurons, -(-block.size // 64)), dtype=np.uint64)
        bits[block, numbers // 64] = np.uint64(1) << (numbers % 64).astype(np.uint64)
        _spread(src, dst, bits)
        total += int(np.unpackbits(bits[network.outputs].view(np.uint8)).sum())
    return total


def log10_path_sum(network: LayeredGraph, weights: list[FloatArray] | None = None) -> float:
    """log10 of the sum over all input-output paths of the product of a number per edge; of the number of paths without numbers.

    Computed group after group (in a chain as 1^T M_L ... M_1 1, one product of a matrix and a vector for each layer), in
    logarithms, so that nothing overflows or underflows. Links have the number 1; paths over different edges between the same
    two neurons are different paths. With |w| this is the l1 path norm of Neyshabur, Tomioka and Srebro (2015), "Norm-based
    capacity control in neural networks", COLT; and the objective of SynFlow (Tanaka et al. 2020, "Pruning neural
    networks without any data by iteratively conserving synaptic flow", NeurIPS 33).

    Args:
        network: the layers.
        weights: for each layer a non-negative number for every edge, float64 of shape [n_edges]; None counts paths.

    Returns:
        The logarithm, with an absolute error of about 1e-15 per layer; minus infinity if the sum is 0.

    Raises:
        AnalysisError: `weights` does not hold a finite number of at least 0 for every edge of every layer.
    """
    if weights is not None:
        weights = _checked_magnitudes(network, weights)
    logs, (src, dst) = np.where(network.inputs, 0.0, -np.inf), network.edges
    factors = np.zeros(src.size)
    if weights is not None:
        with np.errstate(divide="ignore"):
            factors[: network.n_edges] = np.log(np.concatenate(weights))
    for neurons, edges in network.arrivals:
        terms = logs[src[edges]] + factors[edges]
        logs[neurons] = _added(terms, dst[edges] - neurons.start, neurons.stop - neurons.start)
    logs = logs[network.outputs]
    highest = logs.max()
    return -math.inf if highest == -math.inf else float((highest + np.log(np.exp(logs - highest).sum())) / math.log(10.0))


def _checked_magnitudes(network: LayeredGraph, weights: Sequence[npt.ArrayLike]) -> list[FloatArray]:
    arrays = [as_array(part) for part in weights]
    if len(arrays) != len(network.layers):
        raise AnalysisError(f"weights has {len(arrays)} entries; one for each of the {len(network.layers)} layers is needed")
    for index, (array, layer) in enumerate(zip(arrays, network.layers, strict=True)):
        if array.shape != (layer.n_edges,) or array.dtype.kind not in "biuf":
            raise AnalysisError(
                f"weights[{index}] has shape {array.shape} and dtype {array.dtype}; {layer.n_edges} numbers are needed"
            )
        bad = np.flatnonzero(~((array >= 0) & np.isfinite(array)))
        if bad.size:
            raise AnalysisError(f"weights[{index}][{bad[0]}] is {array[bad[0]]}; finite numbers of at least 0 are needed")
    return [array.astype(np.float64, copy=False) for array in arrays]


def _added(terms: FloatArray, places: LongArray, n: int) -> FloatArray:
    """log(sum(exp(terms))) for each of n places; the largest term of every place is taken out before the sum."""
    alive = terms > -np.inf
    terms, places = terms[alive], places[alive]
    highest = np.full(n, -np.inf)
    np.maximum.at(highest, places, terms)
    sums = np.bincount(places, np.exp(terms - highest[places]), minlength=n)
    return highest + np.log(np.where(sums > 0, sums, 1.0))


def _path_weight(network: LayeredGraph) -> Quantity:
    reason = missing_weights(network.layers)
    if reason is not None:
        return undefined(reason)
    weights = [np.abs(layer.weights) for layer in network.layers if layer.weights is not None]
    result = log10_path_sum(network, weights)
    return undefined("the weights of all input-output paths add up to 0") if result == -math.inf else defined(result)


def _network_reachability(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Dead and off-path neurons, effective edges, joined pairs, number of paths and their summed weight."""
    from_input, to_output = _reached(network)
    n, dead = network.n_neurons, dead_neurons(network)
    off = int(np.count_nonzero(~(from_input & to_output)))
    edges, pairs = _effective_edges(network, from_input, to_output), joined_pairs(network)
    n_pairs = int(np.count_nonzero(network.inputs)) * int(np.count_nonzero(network.outputs))
    return {
        "dead_neurons": defined(dead),
        "dead_neuron_fraction": defined(dead / n),
        "off_path_neurons": defined(off),
        "off_path_neuron_fraction": defined(off / n),
        "effective_edges": defined(edges),
        "effective_edge_fraction": defined(edges / network.n_edges) if network.n_edges else undefined("the graph has no edge"),
        "effective_density": defined(edges / sum(layer.n_pairs for layer in network.layers)),
        "joined_pairs": defined(pairs),
        "joined_pair_fraction": defined(pairs / n_pairs),
        "log10_paths": undefined(NO_PATH) if pairs == 0 else defined(log10_path_sum(network)),
        "log10_path_weight": _path_weight(network),
    }


@takes_any_layer
def reachability(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """What is cut off: in a single layer the neurons without edges, in a network what lies on no path.

    Returns:
        `dead_sources` and `dead_targets`, the numbers of neurons without an edge (their shares are the zero fractions of
        the measure "degree"). Of a whole network: `dead_neurons`, `off_path_neurons` (on no path from an input to an
        output), `effective_edges` (on at least one), `joined_pairs` (input and output joined by a path), each with its
        share in [0, 1]; `effective_density` (effective edges / pairs that layers could join, in [0, 1]);
        `log10_paths` (number of paths), not defined if there is none; and `log10_path_weight` (sum over paths of the product
        of |w|, see `log10_path_sum`), not defined without weights. All exact but for the rounding of logarithms.
    """
    return {
        "dead_sources": defined(int(np.count_nonzero(graph.out_degrees == 0))),
        "dead_targets": defined(int(np.count_nonzero(graph.in_degrees == 0))),
    }


MEASURE = Measure(
    "reachability",
    reachability,
    network=_network_reachability,
    fixed_by={"fixed_degrees": frozenset({"dead_sources", "dead_targets", "dead_neurons", "dead_neuron_fraction"})},
    weighted=frozenset({"log10_path_weight"}),
)
