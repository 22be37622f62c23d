"""How many edges each layer of a network gets: one density, a density per layer, ER and ERK, or by scores.

A layer is given by its shape: (n_in, n_out) of a linear layer, (n_in, n_out, kernel_height, kernel_width) of a convolution.
An edge of a convolution joins two channels and carries kernel_height * kernel_width weights. Every method returns an
`Allocation`. Wrong shapes and lengths are a ConfigError, sizes and densities out of range a TopologyError. A new method is a
function under `@ALLOCATIONS.register("its_name")`; one that takes (shapes, density) can be chosen by name for a whole model.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from netsci_nn.checks import MAX_NEURONS, check_count, check_density, check_real, neuron_count
from netsci_nn.errors import ConfigError, TopologyError, shown
from netsci_nn.registry import Registry
from netsci_nn.sampling import exact_largest_remainder
from netsci_nn.topology import FloatArray

logger = logging.getLogger(__name__)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Allocation:
    """The number of edges per layer, as an immutable value.

    Args:
        sizes: n_in * n_out per layer, the edges that it could have; at least 1 each.
        n_edges: the edges that each layer gets, 0 to its size.

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Example:
        >>> allocation = Allocation(sizes=(200, 50), n_edges=(20, 50))
        >>> allocation.densities, allocation.total
        ((0.1, 1.0), 70)
    """

    sizes: tuple[int, ...]
    n_edges: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes, n_edges = _entries("sizes", self.sizes), _entries("n_edges", self.n_edges)
        if len(sizes) != len(n_edges):
            raise ConfigError(f"sizes has {len(sizes)} entries and n_edges has {len(n_edges)}; both need one for each layer")
        checked = tuple(check_count(f"sizes[{i}]", size, 1, MAX_NEURONS**2) for i, size in enumerate(sizes))
        edges = tuple(check_count(f"n_edges[{i}]", n_edges[i], 0, size) for i, size in enumerate(checked))
        object.__setattr__(self, "sizes", checked)
        object.__setattr__(self, "n_edges", edges)

    @property
    def densities(self) -> tuple[float, ...]:
        """Edges / (n_in * n_out) per layer, 0 to 1; round(density * n_in * n_out) is the number of edges again."""
        return tuple(count / size for count, size in zip(self.n_edges, self.sizes, strict=True))

    @property
    def total(self) -> int:
        """Edges of all layers together."""
        return sum(self.n_edges)


ALLOCATIONS: Registry[Callable[..., Allocation]] = Registry("allocation")


def layer_shapes(layer_sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the shapes (n_in, n_out) of the linear layers of a network whose groups of neurons follow each other.

    Args:
        layer_sizes: neurons of the input, the hidden layers and the output, at least two numbers.

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Example:
        >>> layer_shapes([784, 300, 100, 10])
        [(784, 300), (300, 100), (100, 10)]
    """
    sizes = [neuron_count(f"layer_sizes[{i}]", size) for i, size in enumerate(_entries("layer_sizes", layer_sizes))]
    if len(sizes) < 2:
        raise ConfigError(f"layer_sizes is {shown(layer_sizes)}; it must have at least an input and an output size")
    return list(pairwise(sizes))


@ALLOCATIONS.register("uniform")
def uniform(shapes: Sequence[Shape], density: float) -> Allocation:
    """Give every layer the same density: round(density * n_in * n_out) edges.

    Every layer is rounded by itself, so the total can miss the density by half an edge per layer.

    Args:
        shapes: of every layer, at least one.
        density: in (0, 1].

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Deviation: RigL's "uniform" also keeps the first layer dense; here a layer that is to stay dense is left out of `shapes`.

    Example:
        >>> uniform([(784, 300), (300, 100), (100, 10)], density=0.1).n_edges
        (23520, 3000, 100)
    """
    sizes = _sizes(_check_shapes(shapes))
    return Allocation(sizes, tuple(_share("density", density, size) for size in sizes))


@ALLOCATIONS.register("explicit")
def explicit(shapes: Sequence[Shape], densities: Sequence[float]) -> Allocation:
    """Give every layer a density of its own: round(densities[l] * n_in * n_out) edges.

    Args:
        shapes: of every layer, at least one.
        densities: one per layer, in (0, 1].

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Example:
        >>> explicit([(784, 300), (300, 100), (100, 10)], densities=[0.1, 0.1, 0.25]).n_edges
        (23520, 3000, 250)
    """
    sizes = _sizes(_check_shapes(shapes))
    values = _entries("densities", densities)
    if len(values) != len(sizes):
        raise ConfigError(f"densities is {shown(values)}; it must have one for each of the {len(sizes)} layers")
    return Allocation(sizes, tuple(_share(f"densities[{i}]", values[i], size) for i, size in enumerate(sizes)))


@ALLOCATIONS.register("er_epsilon")
def er_epsilon(shapes: Sequence[Shape], epsilon: float) -> Allocation:
    """Give every layer edges in proportion to its neurons: round(epsilon * (n_in + n_out)), at most n_in * n_out.

    The number of edges grows linearly with the neurons, so wide layers are sparser. A layer that would get more edges than it
    can have becomes dense; a warning names it, and the total is smaller by what the layer cannot take.

    Args:
        shapes: of every layer, at least one; the kernel has no influence.
        epsilon: edges per neuron of a layer's two sides, in (0, 2^31 - 1].

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Source: Mocanu et al. 2018 (SET), eq. 1: p = epsilon (n_in + n_out) / (n_in n_out) is the probability of every edge.
    Deviation: the number of edges is the expectation, not drawn.

    Example:
        >>> er_epsilon([(784, 300), (300, 100), (100, 10)], epsilon=20).n_edges
        (21680, 8000, 1000)
    """
    layers = _check_shapes(shapes)
    epsilon = check_real("epsilon", epsilon, lambda value: 0 < value <= MAX_NEURONS, f"in (0, {MAX_NEURONS}]")
    sizes, asked = _sizes(layers), [round(epsilon * (shape[0] + shape[1])) for shape in layers]
    for layer, (count, size) in enumerate(zip(asked, sizes, strict=True)):
        if count > size:
            logger.warning("epsilon = %g asks for %d edges in layer %d, which gets all of its %d", epsilon, count, layer, size)
    return Allocation(sizes, tuple(map(min, asked, sizes)))


@ALLOCATIONS.register("er")
def er(shapes: Sequence[Shape], density: float) -> Allocation:
    """Give every layer a density proportional to (n_in + n_out) / (n_in * n_out), and all layers together the wanted one.

    `erk` with power 1 and kernels left out of the ratio, so the same for linear layers; from the same source.

    Args:
        shapes: of every layer, at least one.
        density: share of all weights that exist, in (0, 1].

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Example:
        >>> er([(784, 300), (300, 100), (100, 10)], density=0.1).n_edges
        (18714, 6906, 1000)
    """
    layers = _check_shapes(shapes)
    return _by_ratio(layers, [shape[:2] for shape in layers], density, power=1.0)


@ALLOCATIONS.register("erk")
def erk(shapes: Sequence[Shape], density: float, power: float = 1.0) -> Allocation:
    """Give every layer a density proportional to (sum of its dimensions / product of its dimensions)^power.

    Layer l has the density e * r_l. r_l is that ratio, kernel included, and e is such that all layers together have
    round(density * weights) weights. While a layer would exceed density 1, the layer with the largest r becomes dense and e is
    solved again for the others.

    Shares are rounded to whole edges by largest remainder, the first of equal ones first, never above a layer's size.
    Without convolutions the total is exactly round(density * sum of n_in * n_out). With them, layers of the largest kernel
    are rounded first, and what they miss passes on to smaller kernels: the total of weights is exact if a linear layer has
    room, and else right to half an edge of the smallest kernel that has room. Layers that e makes dense stay dense.

    Args:
        shapes: of every layer, at least one.
        density: share of all weights that exist, in (0, 1].
        power: >= 0; 0 is one density for all, 1 the usual ERK.

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed.

    Source: Evci et al. 2020, "Rigging the lottery: making all tickets winners", section 3; the power is `erk_power_scale` of
    the authors' code. Deviation: the rounding, and fractions instead of floats, which could decide which layers are dense.

    Example:
        >>> erk([(784, 300), (300, 100), (100, 10)], density=0.1).n_edges
        (18714, 6906, 1000)
    """
    layers = _check_shapes(shapes)
    power = check_real("power", power, lambda value: 0 <= value < math.inf, ">= 0 and finite")
    return _by_ratio(layers, layers, density, power)


@ALLOCATIONS.register("global_scores")
def global_scores(scores: Sequence[npt.ArrayLike], density: float, minimum: int = 1, normalise: bool = False) -> Allocation:
    """Let the highest scores of all layers together decide how many edges each layer gets.

    Every layer first keeps its `minimum` highest scores, so that none is emptied; the highest of all others fill the budget
    of round(density * total). If equal scores compete for the last places, earlier layers come first.

    Args:
        scores: one array per layer, `[n_out, n_in]` or as many numbers in any shape, higher is better; infinite only if not
            normalised.
        density: share of all possible edges, in (0, 1].
        minimum: edges that every layer keeps (a smaller layer keeps all); at least 0.
        normalise: whether each layer's scores are first divided by their L2 norm.

    Raises:
        ConfigError, TopologyError: naming the argument that is not allowed; also when the minima exceed the budget.

    Source: global magnitude pruning; the normalisation is jaxpruner's (`GlobalPruningMixin`), without the 1e-8 that it adds
    to the norm: scores that are all zero stay so. The minimum is this toolkit's.

    Example:
        >>> global_scores([[[9, 1], [2, 8]], [[7, 3, 4]], [0.5, 0.25]], density=4 / 9).n_edges
        (2, 1, 1)
    """
    layers = [_check_scores(f"scores[{i}]", score, normalise) for i, score in enumerate(_entries("scores", scores))]
    sizes = tuple(len(layer) for layer in layers)
    budget = _share("density", density, sum(sizes))
    floor = check_count("minimum", minimum, 0, MAX_NEURONS**2)
    kept = [min(floor, size) for size in sizes]
    if sum(kept) > budget:
        raise TopologyError(
            f"minimum is {minimum}, which takes {sum(kept)} edges in {len(sizes)} layers; density {density} allows {budget}"
        )
    others = [np.partition(layer, -count)[:-count] if count else layer for layer, count in zip(layers, kept, strict=True)]
    added = _count_highest(others, budget - sum(kept))
    return Allocation(sizes, tuple(map(sum, zip(kept, added, strict=True))))


def _count_highest(layers: list[FloatArray], count: int) -> list[int]:
    """Return how many of the `count` highest numbers lie in each layer; equal ones go to the first layer."""
    if count == 0:
        return [0] * len(layers)
    pool = np.concatenate(layers)
    threshold = np.partition(pool, len(pool) - count)[len(pool) - count]
    result = [int((layer > threshold).sum()) for layer in layers]
    for i, layer in enumerate(layers):
        result[i] += min(count - sum(result), int((layer == threshold).sum()))
    return result


def _by_ratio(layers: list[Shape], dimensions: list[Shape], density: float, power: float) -> Allocation:
    """Use up the budget with densities proportional to (sum / product of dimensions)^power, none above 1."""
    sizes, kernels = _sizes(layers), [math.prod(shape[2:]) for shape in layers]
    weights = [math.prod(shape) for shape in layers]
    budget = _share("density", density, sum(weights))
    ratios = [Fraction(sum(shape), math.prod(shape)) for shape in dimensions]
    shares = [Fraction(size) for size in sizes]
    open_ = sorted(range(len(sizes)), key=lambda layer: -ratios[layer])
    while True:
        # Relative to the largest that is left, which is then 1 and cannot vanish under a high power.
        relative = [ratios[layer] / ratios[open_[0]] for layer in open_]
        raw = relative if power == 1 else [Fraction(float(ratio) ** power) for ratio in relative]
        scale = budget / sum((value * weights[layer] for value, layer in zip(raw, open_, strict=True)), Fraction(0))
        if scale <= 1:
            break
        budget -= weights[open_.pop(0)]
    for value, layer in zip(raw, open_, strict=True):
        shares[layer] = scale * value * sizes[layer]
    return Allocation(sizes, _whole_edges(shares, sizes, kernels))


def _whole_edges(shares: list[Fraction], sizes: Sequence[int], kernels: list[int]) -> tuple[int, ...]:
    """Round shares of edges, layers of the largest kernel first; the weights that they miss pass on to the next."""
    n_edges = list(sizes)
    missed = Fraction(0)
    for kernel in sorted(set(kernels), reverse=True):
        group = [layer for layer, share in enumerate(shares) if kernels[layer] == kernel and share < sizes[layer]]
        parts, room = [shares[layer] for layer in group], [sizes[layer] for layer in group]
        wanted = sum(parts, missed / kernel)
        count = min(max(round(wanted), 0), sum(room))
        for layer, edges in zip(group, exact_largest_remainder(count, parts, room), strict=True):
            n_edges[layer] = edges
        missed = (wanted - count) * kernel
    return tuple(n_edges)


def _sizes(layers: list[Shape]) -> tuple[int, ...]:
    return tuple(shape[0] * shape[1] for shape in layers)


def _entries(name: str, value: Any) -> list[Any]:
    try:
        entries = list(value)
    except TypeError:
        entries = []
    if not entries:
        raise ConfigError(f"{name} is {shown(value)}; it must be a sequence of at least one entry")
    return entries


def _check_shapes(shapes: Sequence[Shape]) -> list[Shape]:
    layers = []
    for position, shape in enumerate(_entries("shapes", shapes)):
        is_list = isinstance(shape, Sequence) or (isinstance(shape, np.ndarray) and shape.ndim > 0)
        if not is_list or len(shape) not in (2, 4):
            raise ConfigError(
                f"shapes[{position}] is {shown(shape)}; it must be (n_in, n_out) or (n_in, n_out, kernel_height, kernel_width)"
            )
        layers.append(tuple(neuron_count(f"shapes[{position}][{i}]", size) for i, size in enumerate(shape)))
    return layers


def _check_scores(name: str, scores: npt.ArrayLike, normalise: bool) -> FloatArray:
    """Return the scores of a layer as float64 `[n_in * n_out]`, divided by their norm if asked for."""
    try:
        array = np.asarray(scores)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, and tensors that numpy cannot read
        array = np.empty(0)
    if array.size == 0 or array.dtype.kind not in "iuf":
        raise TopologyError(f"{name} is a {type(scores).__name__}; it must be an array with a number for each possible edge")
    flat = array.astype(np.float64).ravel()
    bad = ~np.isfinite(flat) if normalise else np.isnan(flat)
    if bad.any():
        allowed = "finite to be normalised" if normalise else "a number"
        raise TopologyError(f"{name} has {flat[bad][0]} at position {bad.argmax()}; every score must be {allowed}")
    largest = np.abs(flat).max()
    if normalise and largest > 0:
        flat /= largest  # its squares neither overflow nor vanish
        flat /= np.linalg.norm(flat)
    return flat


def _share(name: str, density: float, size: int) -> int:
    """Return round(density * size) after checking that `density` lies in (0, 1]."""
    checked = check_density(name, density)
    return min(round(checked * size), size)  # beyond 2^53 the product can be rounded up above the size
