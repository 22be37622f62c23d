"""`sparsify`: the linear layers of any model become sparse, in place."""

import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from netsci_nn.allocation import ALLOCATIONS, Allocation
from netsci_nn.checks import check_choice, check_density
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.generators import GENERATORS, Generator, call, resolve_n_edges, takes
from netsci_nn.layers import SparseLayer
from netsci_nn.layers.init import rescale_to_in_degree_
from netsci_nn.models.attention import PROJECTIONS, unpacked
from netsci_nn.models.summary import SparsifySummary, listed_kinds, summarise
from netsci_nn.models.surgery import check_replaceable, replace_layers, sparse_twin
from netsci_nn.models.walk import CONVOLUTIONS, convolutions, is_linear, linear_layers, names_of, shape_of, size_of
from netsci_nn.registry import RESERVED
from netsci_nn.sampling import Rng, as_generator
from netsci_nn.topology import BipartiteTopology

INITS = "fan_in", "keep"
FEWEST_SOURCES = 8  # of a layer, for it to become sparse without being named

LayerSettings = Mapping[str, Any]
"""What `sparsify` is told of the layers of a pattern: `density`, `generator`, and parameters of the generator."""


@dataclass(frozen=True)
class _Plan:
    """How one layer gets its edges."""

    layer: nn.Module
    generator: Generator
    parameters: Mapping[str, Any] = field(default_factory=dict)
    density: float | None = None
    shares_budget: bool = True

    def n_edges(self) -> int | None:
        """The edges that its own density means; None without one."""
        return None if self.density is None else resolve_n_edges(*size_of(self.layer), None, self.density)


def sparsify(
    model: nn.Module,
    *,
    density: float | None = None,
    allocation: str | Allocation = "erk",
    generator: str | Generator = "erdos_renyi",
    layers: Mapping[str, LayerSettings] | None = None,
    exclude: str | None = None,
    init: str = "fan_in",
    backend: str = "auto",
    rng: Rng,
) -> SparsifySummary:
    """Replace linear layers, convolutions and attention of `model` by sparse layers with their weights and biases.

    Every `nn.Linear`, and every Hugging Face `Conv1D`, becomes a `SparseLinear`; every `nn.Conv1d` and `nn.Conv2d` without
    groups a sparse convolution on a graph of its channels; every `nn.MultiheadAttention` an `UnpackedAttention` with the sparse
    layers `q_proj`, `k_proj`, `v_proj` and `out_proj`. A layer with fewer than 8 sources stays dense, unless `layers` has a
    pattern for it: the colours of an image are few enough. Every target has at least one edge where a layer is given as many
    edges as it has targets: those without get one that another target can spare, drawn at random, from the same source. (A
    generator that fixes its own number of edges is taken at its word.)

    The model is changed in place, at any depth, and only when all layers could be built. A layer that is registered under
    several names is replaced once, everywhere. Make optimisers afterwards: the parameters are new ones, trainable where the old
    ones were; `netsci_nn.parameter_groups` tells those apart that weight decay is for.

    What is neither stays dense, and the summary says so: embeddings, recurrent layers, other convolutions.
    `nn.TransformerEncoder` and its layers leave their fused paths of evaluation, which read weights past the layers.

    Args:
        model: any module that has linear layers or convolutions and is none itself.
        density: edges / possible edges of all layers together that share the budget, in (0, 1]; None with an `Allocation`, or
            if no layer shares it.
        allocation: how the edges are spread over the layers: a name in `netsci_nn.allocation.ALLOCATIONS` that needs no more
            than a density ("uniform", "er", "erk"), or an `Allocation` for the layers that share the budget, in the order of
            `model.modules()`.
        generator: a name in `netsci_nn.generators.GENERATORS` or a function with the same signature.
        layers: settings for the layers of a pattern: from a regular expression, of which a match is sought anywhere in the
            dotted names of a layer, to a mapping with any of `density`, `generator` and parameters of the generator. The first
            pattern that matches a layer is the one that counts. A layer with a density of its own has round(density * n_in *
            n_out) edges and no share in the common budget; nor has one whose generator fixes its own number of edges.
        exclude: regular expression; layers with a match anywhere in one of their dotted names stay dense and take no part
            in the budget. None excludes none. Attention of which all four projections are excluded stays as it is.
        init: "fan_in" multiplies every weight by sqrt(n_in / in-degree of its target), which gives back the variance that the
            dense initialisation had: a target with k sources gets the weights of a dense layer with k inputs. "keep" leaves
            weights as they are. At a density of 5 %, networks of 3, 10 and 30 layers with He's initialisation learned the
            digits to 87, 94 and 90 % with "fan_in", and to 87, 16 and 10 % with "keep" (docs/networks.md).
        backend: of every layer (see `SparseLinear`).
        rng: int seed or numpy Generator, for the topologies; torch's global generators are left as they were.

    Returns:
        What became sparse, what stayed dense and why, and the density of the whole model (see `SparsifySummary`).

    Raises:
        ConfigError: when an argument is not allowed, no layer is left to replace, or one would lose something: a weight
            that it shares with another module, hooks, further parameters, a `forward` of its own; or when the model lies in
            `DistributedDataParallel` or the like already.
        TopologyError: when the budget is out of range or the generator cannot place it.

    Warns:
        UserWarning: if the density of the whole model is more than twice what was asked of its linear layers.

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.LayerNorm(32), nn.Linear(32, 10))
        >>> sparsify(model, density=0.1, layers={"^3$": {"density": 0.5, "generator": "constant_fan_in"}}, rng=0)
        SparsifySummary: 2 of 3 modules became sparse; density 0.1541 of the whole model, 0.1541 asked
        parameters: 2,474 before, 471 now
        sparse  n_in -> n_out  edges  density
          0     64 -> 32         205  0.1001
          3     32 -> 10         160  0.5
        dense  kind       parameters  why
          2    LayerNorm          64  a normalisation
        >>> model[3]
        SparseLinear(n_in=32, n_out=10, n_edges=160, density=0.5, bias=True, backend='auto')
    """
    _check_model(model)
    check_choice("init", init, INITS, ConfigError)
    stays = _Staying(exclude, layers)
    packed, left_packed = _attention(model, stays)
    with unpacked(model, packed, for_good=True):
        chosen, left = _choose(model, stays)
        plans = _plan(chosen, names_of(model), _generator("generator", generator), layers)
        sharing = [name for name, plan in plans.items() if plan.shares_budget]
        budget = _allocate({name: shape_of(chosen[name]) for name in sharing}, density, allocation)
        n_edges = {**{name: plan.n_edges() for name, plan in plans.items()}, **budget}
        replacement = _sparse_twins(plans, n_edges, init, backend, as_generator(rng))
        replace_layers(model, replacement)
    new = {layer: type(dense).__name__ for dense, layer in replacement.items()}
    asked = density if density is not None and len(sharing) == len(plans) else None
    summary = summarise(model, new, left | left_packed, asked)
    if summary.density > 2 * summary.asked:
        warnings.warn(
            f"the whole model has a density of {summary.density:.4g}, more than twice the {summary.asked:.4g} that was asked "
            f"of its linear layers: {summary.largest_dense()}; the summary that sparsify returns lists what stayed dense",
            stacklevel=2,
        )
    return summary


class _Staying:
    """Which layers stay dense, and why."""

    def __init__(self, exclude: str | None, settings: Mapping[str, LayerSettings] | None) -> None:
        self.exclude = None if exclude is None else _compile("exclude", exclude)
        self.named = [_compile("layers", text) for text in settings] if isinstance(settings, Mapping) else []

    def because(self, names: Sequence[str], n_in: int) -> str | None:
        """Return why a layer of these names and so many sources stays dense; None if it does not."""
        if self.exclude and any(self.exclude.search(name) for name in names):
            return "excluded"
        if 0 < n_in < FEWEST_SOURCES and not any(text.search(name) for text in self.named for name in names):
            return f"it has fewer than {FEWEST_SOURCES} sources"
        return None


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module) or is_linear(model) or type(model) in (*CONVOLUTIONS, nn.MultiheadAttention):
        raise ConfigError(
            f"model is a {type(model).__name__}; it must be a module that contains nn.Linear layers, convolutions or "
            "attention (SparseLinear.from_dense, or that of a sparse convolution, makes a sparse layer of a single one)"
        )


def _attention(model: nn.Module, stays: _Staying) -> tuple[list[nn.MultiheadAttention], dict[nn.Module, str]]:
    """Return the attention of which a projection can become sparse, after checking it, and why the rest stays as it is."""
    found: dict[str, nn.MultiheadAttention] = {}
    left: dict[nn.Module, str] = {}
    for module, names in names_of(model).items():
        if type(module) is nn.MultiheadAttention:
            sizes = zip(PROJECTIONS, (module.embed_dim, module.kdim, module.vdim, module.embed_dim), strict=True)
            reasons = [stays.because([f"{name}.{part}".lstrip(".") for name in names], n_in) for part, n_in in sizes]
            if None in reasons:
                found[names[0]] = module
            else:
                left[module] = str(reasons[0])
    check_replaceable(model, found, advice=lambda name: rf'; exclude=r"^{re.escape(name)}\." keeps it dense')
    return list(found.values()), left


def _choose(model: nn.Module, stays: _Staying) -> tuple[dict[str, nn.Module], dict[nn.Module, str]]:
    """Return the layers to be replaced by their first names, after checking that they can be, and why others are left."""
    names, linear = names_of(model), linear_layers(model, attention=False)
    possible = {name: layer for name, layer in linear.items() if not isinstance(layer, SparseLayer)} | convolutions(model)
    dense = {name: possible[name] for name, _ in model.named_modules() if name in possible}
    if not dense:
        has = f"its {len(linear)} linear layers are sparse already" if linear else f"it has {listed_kinds(model)}"
        raise ConfigError(
            f"model is a {type(model).__name__} without dense linear layers: {has}; sparsify replaces nn.Linear, Hugging "
            "Face's Conv1D, nn.Conv1d, nn.Conv2d and nn.MultiheadAttention, and there must be one"
        )
    reasons = {layer: stays.because(names[layer], size_of(layer)[0]) for layer in dense.values()}
    left = {layer: reason for layer, reason in reasons.items() if reason is not None}
    chosen = {name: layer for name, layer in dense.items() if layer not in left}
    if not chosen and stays.exclude and set(left.values()) == {"excluded"}:
        raise ConfigError(
            f"exclude is {stays.exclude.pattern!r}, which keeps every linear layer dense ({_listed(dense)}); "
            "at least one must be left to replace"
        )
    if not chosen:
        raise ConfigError(
            f"model is a {type(model).__name__} in which no layer is left to replace: {_listed(dense)} have fewer than "
            f"{FEWEST_SOURCES} sources, or are excluded; name them in layers= to make them sparse"
        )
    check_replaceable(model, chosen, advice=lambda name: f'; exclude=r"^{re.escape(name)}$" keeps it dense')
    return chosen, left


def _sparse_twins(
    plans: Mapping[str, _Plan], n_edges: Mapping[str, int | None], init: str, backend: str, rng: np.random.Generator
) -> dict[nn.Module, nn.Module]:
    """Return the sparse layers by those that they take the place of."""
    devices = {p.device for plan in plans.values() for p in plan.layer.parameters() if p.device.type == "cuda"}
    replacement: dict[nn.Module, nn.Module] = {}
    with torch.random.fork_rng(devices=devices):
        for name, plan in plans.items():
            topology = _draw(name, plan, n_edges[name], rng)
            if n_edges[name] is not None:
                topology = _with_fed_targets(topology, rng)
            twin = sparse_twin(plan.layer, topology, backend)
            if init == "fan_in":
                rescale_to_in_degree_(twin.weight, twin.dst, twin.n_in, twin.n_out)
            replacement[plan.layer] = twin
    return replacement


def _with_fed_targets(topology: BipartiteTopology, rng: np.random.Generator) -> BipartiteTopology:
    """Return the edges with one for every target, where there are as many: a target that has several gives one of them."""
    lacking = np.flatnonzero(topology.in_degrees == 0)
    if not len(lacking) or topology.n_edges < topology.n_out:
        return topology
    order = rng.permutation(topology.n_edges)
    kept = np.unique(topology.dst[order], return_index=True)[1]  # one of every target that has any
    dst = topology.dst.copy()
    dst[np.delete(order, kept)[: len(lacking)]] = lacking
    return BipartiteTopology.from_keys(dst.astype(np.int64) * topology.n_in + topology.src, topology.n_in, topology.n_out)


def _plan(
    chosen: Mapping[str, nn.Module],
    names: Mapping[nn.Module, list[str]],
    generator: Generator,
    settings: Mapping[str, LayerSettings] | None,
) -> dict[str, _Plan]:
    """Return how every layer gets its edges, after checking the settings of all patterns."""
    if settings is not None and not isinstance(settings, Mapping):
        raise ConfigError(
            f"layers is a {type(settings).__name__}; it must map a regular expression of layer names to a mapping of settings"
        )
    made = [(_compile("layers", text), _settings(text, value, generator)) for text, value in (settings or {}).items()]
    plans, used = {}, set()
    for name, layer in chosen.items():
        number = next((i for i, (text, _) in enumerate(made) if any(text.search(other) for other in names[layer])), None)
        its_generator, parameters, density = (generator, {}, None) if number is None else made[number][1]
        shares = density is None and takes(its_generator, "n_edges")
        missing = [key for key in _needed(its_generator) if key not in parameters]
        if missing:
            raise ConfigError(
                f"layer {name!r} has a generator that needs {', '.join(missing)}; give it in `layers`, "
                "or bind it with functools.partial"
            )
        plans[name] = _Plan(layer, its_generator, parameters, density, shares)
        used.add(number)
    for number, (pattern, _) in enumerate(made):
        if number not in used:
            raise ConfigError(
                f"layers has the pattern {pattern.pattern!r}, which is the first to match for none of the layers to be "
                f"replaced: {_listed(chosen)}"
            )
    return plans


def _settings(text: str, value: LayerSettings, generator: Generator) -> tuple[Generator, dict[str, Any], float | None]:
    """Return the checked generator, its parameters and the density that the settings of a pattern stand for."""
    what = f"layers[{text!r}]"
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} is {value!r}; it must be a mapping with density, generator or parameters of the generator")
    parameters = {key: entry for key, entry in value.items() if key not in ("density", "generator")}
    its = _generator(f"{what}['generator']", value["generator"]) if "generator" in value else generator
    known = inspect.signature(its).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for key in parameters:
        if key in RESERVED or not (takes_any or key in known):
            own = ", ".join(name for name in known if name not in RESERVED) or "none"
            raise ConfigError(f"{what} has the key {key!r}; allowed are density, generator and its parameters ({own})")
    density = None if value.get("density") is None else check_density(f"{what}['density']", value["density"])
    if density is not None and not takes(its, "n_edges"):
        raise ConfigError(
            f"{what} has the density {density!r} and a generator whose structure fixes its own number of edges; "
            "leave the density out"
        )
    return its, parameters, density


def _generator(what: str, generator: str | Generator) -> Generator:
    chosen = GENERATORS[generator] if isinstance(generator, str) else generator
    if not callable(chosen):
        raise ConfigError(f"{what} is {generator!r}; it must be a name or a function")
    return chosen


def _needed(generator: Generator) -> list[str]:
    """Return the parameters of a generator that have no default and do not come from the program."""
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    known = inspect.signature(generator).parameters.items()
    return [key for key, entry in known if key not in RESERVED and entry.default is entry.empty and entry.kind in kinds]


def _compile(what: str, pattern: str) -> re.Pattern[str]:
    try:
        if isinstance(pattern, str):
            return re.compile(pattern)
        reason = "it is no text"
    except (re.error, OverflowError, RecursionError) as error:
        reason = str(error)
    raise ConfigError(f"{what} is {pattern!r}; it must be a regular expression: {reason}")


def _listed(layers: Mapping[str, Any]) -> str:
    names = [repr(name) for name in layers]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _allocate(shapes: dict[str, tuple[int, ...]], density: float | None, allocation: str | Allocation) -> dict[str, int]:
    """Return the edges of every layer that shares the budget."""
    sizes = tuple(n_in * n_out for n_in, n_out, *_ in shapes.values())
    if isinstance(allocation, Allocation):
        if density is not None:
            raise ConfigError(
                f"density is {density!r}; it must be None beside an Allocation, which has the edges of every layer"
            )
        if allocation.sizes != sizes:
            raise ConfigError(
                f"allocation is for layers of the sizes {allocation.sizes}; the model's have {sizes} ({_listed(shapes)})"
            )
        return dict(zip(shapes, allocation.n_edges, strict=True))
    method = ALLOCATIONS[allocation]
    try:
        inspect.signature(method).bind(shapes=[], density=density)
    except TypeError:
        raise ConfigError(
            f"allocation is {allocation!r}, which needs more than a density; call it and pass the Allocation that it returns"
        ) from None
    if not shapes:
        if density is not None:
            raise ConfigError(
                f"density is {density!r}; it must be None, since every layer has edges of its own by its generator or `layers`"
            )
        return {}
    if density is None:
        raise TopologyError(
            f"density is None; it must be a number in (0, 1] for the layers that have none of their own: {_listed(shapes)}"
        )
    return dict(zip(shapes, method(shapes=list(shapes.values()), density=density).n_edges, strict=True))


def _draw(name: str, plan: _Plan, n_edges: int | None, rng: Any) -> BipartiteTopology:
    """Return the edges of a layer; `n_edges` is None for a generator that fixes their number."""
    n_in, n_out = size_of(plan.layer)
    try:
        topology = call(plan.generator, n_in, n_out, n_edges=n_edges, rng=rng, **plan.parameters)
    except (TopologyError, ConfigError) as error:
        raise type(error)(f"layer {name!r}: {error}") from error
    if not isinstance(topology, BipartiteTopology):
        raise ConfigError(f"generator gave layer {name!r} a {type(topology).__name__}; it must give a BipartiteTopology")
    if n_edges is not None and topology.n_edges != n_edges:
        raise TopologyError(
            f"generator gave {topology.n_edges} edges to {name!r}; it must give {n_edges}, "
            "so choose a model that meets its budget exactly"
        )
    return topology
