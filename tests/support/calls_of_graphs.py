"""Legal calls of graph models, topologies, conversions, sampling and allocations, with what they must give."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import igraph
import networkx
import numpy as np
import torch
from api_calls import Call, Draw, calls, resolve

from netsci_nn import allocation, generators, schedules
from netsci_nn import topology as topologies
from netsci_nn.topology import BipartiteTopology, WiredLayer, Wiring

GRAPHS, TOPOLOGY, VALUE = "netsci_nn.generators", "netsci_nn.topology", "netsci_nn.BipartiteTopology"
SAMPLING, ALLOCATION = "netsci_nn.sampling", "netsci_nn.allocation"


def mask_of(draw: Draw, n_in: int | None = None, n_out: int | None = None) -> np.ndarray:
    """Return a random mask `[n_out, n_in]`: empty, full, or in between and perhaps with isolated neurons."""
    shape = draw.size() if n_out is None else n_out, draw.size() if n_in is None else n_in
    mask = draw.numpy.random(shape) < draw.choice((0.0, 0.02, 0.1, 0.3, 0.7, 1.0))
    if draw.random() < 0.3:
        mask[draw.randrange(shape[0])] = False
        mask[:, draw.randrange(shape[1])] = False
    return mask


def topology_of(mask: np.ndarray) -> BipartiteTopology:
    """Return the topology of a mask, made by its constructor."""
    dst, src = np.nonzero(mask)
    return BipartiteTopology(mask.shape[1], mask.shape[0], src, dst)


def topology(draw: Draw, n_in: int | None = None, n_out: int | None = None) -> BipartiteTopology:
    """Return a random topology."""
    return topology_of(mask_of(draw, n_in, n_out))


def weights_of(draw: Draw, n_edges: int) -> np.ndarray:
    """Return random weights."""
    return draw.numpy.normal(size=n_edges).astype(draw.choice((np.float32, np.float64)))


def check_layer(result: Any, n_in: int, n_out: int, n_edges: int | None = None) -> None:
    """Raise an error unless this is a topology of these sizes: edges in range, sorted, and none twice."""
    assert isinstance(result, BipartiteTopology)
    assert (result.n_in, result.n_out) == (n_in, n_out)
    assert result.src.dtype == result.dst.dtype == np.int32
    assert len(result.src) == len(result.dst)
    if len(result.src):
        assert result.src.min() >= 0
        assert result.src.max() < n_in
        assert result.dst.min() >= 0
        assert result.dst.max() < n_out
        assert (np.diff(result.dst.astype(np.int64) * n_in + result.src) > 0).all()
    assert n_edges is None or len(result.src) == n_edges, f"{len(result.src)} edges for {n_edges}"


def count(n_in: int, n_out: int, n_edges: Any, density: Any) -> int | None:
    """Return the edges that a budget means."""
    if n_edges is None and density is None:  # of a model that may choose
        return None
    return int(n_edges) if density is None else round(float(density) * int(n_in) * int(n_out))


def budget(draw: Draw, largest: int, cells: int) -> dict[str, Any]:
    """Return a budget of up to `largest` edges."""
    number = draw.choice((0, largest, draw.randint(0, largest), draw.randint(0, largest)))
    if number and draw.random() < 0.4:
        return {"n_edges": None, "density": number / cells}
    return {"n_edges": number, "density": None}


def evenly(degrees: np.ndarray) -> None:
    """Raise an error unless degrees differ by at most one."""
    assert np.ptp(degrees) <= 1, degrees


def model(
    name: str, promise: Callable[..., None] | None = None, refusal: bool = False, exact: bool = True, weight: float = 1.0
) -> Callable[..., Any]:
    """Return a decorator of a function that draws sizes, the largest budget (None for no budget) and parameters of a model."""

    def enter(draw_parameters: Callable[[Draw], tuple[int, int, int | None, dict[str, Any]]]) -> Any:
        @calls("graphs", f"{GRAPHS}.{name}", weight=weight)
        def make(draw: Draw) -> Call:
            n_in, n_out, largest, parameters = draw_parameters(draw)
            cells = {} if largest is None else budget(draw, largest, n_in * n_out)

            def check(result: Any, *, n_in: Any, n_out: Any, rng: Any, **rest: Any) -> None:
                n_in, n_out = int(n_in), int(n_out)
                wanted = count(n_in, n_out, rest["n_edges"], rest["density"]) if largest is not None and exact else None
                check_layer(result, n_in, n_out, wanted)
                if isinstance(rng, int):
                    again = resolve(f"{GRAPHS}.{name}")(n_in, n_out, rng=rng, **rest)
                    assert again == result, "the same seed gave other edges"
                if promise is not None:
                    promise(result, **rest)

            return Call({"n_in": n_in, "n_out": n_out, **cells, **parameters, "rng": draw.seed()}, check, refusal=refusal)

        return draw_parameters

    return enter


@model("constant_fan_in", lambda t, **_: evenly(t.in_degrees))
@model("constant_fan_out", lambda t, **_: evenly(t.out_degrees))
@model("regular", lambda t, **_: (evenly(t.in_degrees), evenly(t.out_degrees)))
@model("bsf")
def _plain(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    n_in, n_out = draw.size(), draw.size()
    return n_in, n_out, n_in * n_out, {}


@model("erdos_renyi", exact=False)
def _erdos_renyi(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    return *_plain(draw)[:3], {"variant": draw.choice(("gnp", "with_replacement"))}


@calls("graphs", "netsci_nn.generators.GENERATORS.__getitem__")
def _named(draw: Draw) -> Call:
    name = draw.choice(list(generators.GENERATORS))

    def check(result: Any, *, name: str) -> None:
        # `from_graph` takes its arguments in another order under its name.
        assert name == "from_graph" or result is getattr(generators, name)

    return Call({"name": name}, check)


def _barabasi_promise(result: BipartiteTopology, *, sides: str, **_: Any) -> None:
    if sides != "both":
        evenly(result.in_degrees if sides == "source" else result.out_degrees)


@model("barabasi_albert", _barabasi_promise)
def _barabasi(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    mode = draw.choice(("growth", "urn"))
    attractiveness = draw.choice((None, 0.5, 1.0, 1e6, *((0.0,) if mode == "growth" else ())))
    sides = draw.choice(("both", "source", "target"))
    return *_plain(draw)[:3], {"attractiveness": attractiveness, "sides": sides, "mode": mode}


def _brf_promise(result: BipartiteTopology, *, degrees: str, **_: Any) -> None:
    if degrees == "fixed":
        evenly(result.out_degrees)


@model("brf", _brf_promise)
def _brf(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    randomness = draw.choice((0.0, 1.0, 0.3, 1e-9, draw.random()))
    return *_plain(draw)[:3], {"randomness": randomness, "degrees": draw.choice(("fixed", "uniform"))}


def _bsw_promise(result: BipartiteTopology, *, rewiring_probability: float, **_: Any) -> None:
    if rewiring_probability == 0:
        evenly(result.out_degrees if result.n_in >= result.n_out else result.in_degrees)


@model("bsw", _bsw_promise)
def _bsw(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    return *_plain(draw)[:3], {"rewiring_probability": draw.choice((0.0, 0.1, 1.0, draw.random()))}


def _small_world_promise(result: BipartiteTopology, *, rewiring_probability: float, rewiring: str, **_: Any) -> None:
    evenly(result.out_degrees)
    if rewiring == "swap" or rewiring_probability == 0:
        evenly(result.in_degrees)


@model("small_world", _small_world_promise)
def _small_world(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    *sizes, parameters = _bsw(draw)
    return *sizes, {**parameters, "rewiring": draw.choice(("target_end", "swap"))}


@model("configuration_model", lambda t, out_degrees, in_degrees, **_: _has_degrees(t, out_degrees, in_degrees), weight=0.5)
def _configuration(draw: Draw) -> tuple[int, int, None, dict[str, Any]]:
    mask = mask_of(draw)
    out_degrees, in_degrees = mask.sum(0), mask.sum(1)
    return mask.shape[1], mask.shape[0], None, {"out_degrees": out_degrees, "in_degrees": in_degrees}


def _has_degrees(result: BipartiteTopology, out_degrees: Any, in_degrees: Any) -> None:
    mask = dense(result)
    assert mask.sum(0).tolist() == [int(degree) for degree in out_degrees]
    assert mask.sum(1).tolist() == [int(degree) for degree in in_degrees]


def dense(topology: BipartiteTopology) -> np.ndarray:
    """Return the mask of a topology, put together edge by edge."""
    mask = np.zeros((topology.n_out, topology.n_in), bool)
    for source, target in zip(topology.src.tolist(), topology.dst.tolist(), strict=True):
        mask[target, source] = True
    return mask


def _csti_promise(result: BipartiteTopology, *, inputs: Any, **_: Any) -> None:
    n_in, copies = result.n_in, result.n_out // result.n_in
    x = np.asarray(inputs, dtype=np.float64)
    x = x / np.maximum(np.abs(x).max(0, initial=0), 1e-300)
    centred = x - x.mean(0)
    length = np.sqrt((centred**2).sum(0))
    with np.errstate(all="ignore"):
        strength = np.abs(np.nan_to_num(centred.T @ centred / (length[:, None] * length)))
    strength[length <= 1e-12 * np.abs(x).max(0, initial=1e-300)] = 0
    strength[:, length <= 1e-12 * np.abs(x).max(0, initial=1e-300)] = 0
    is_pair = ~np.eye(n_in, dtype=bool)
    for copy in range(copies):
        chosen = dense(result)[copy * n_in : (copy + 1) * n_in]
        assert not chosen.diagonal().any()
        if chosen.any() and (is_pair & ~chosen).any():
            assert strength[chosen].min() >= strength[is_pair & ~chosen].max() - 1e-9


@model("csti", _csti_promise)
def _csti(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    n_in = draw.randint(1, 20)
    n_out = n_in * draw.randint(1, 3)
    inputs = draw.numpy.normal(size=(draw.randint(2, 30), n_in)).astype(draw.choice((np.float32, np.float64)))
    if draw.random() < 0.3:
        inputs[:, draw.randrange(n_in)] = 1.5
    return n_in, n_out, (n_in - 1) * n_out, {"inputs": inputs}


def _weighted_promise(result: BipartiteTopology, *, weights: Any, smoothing: Any, **_: Any) -> None:
    law = np.asarray(weights, dtype=np.float64) + float(smoothing)
    assert not result.out_degrees[law == 0].any()


@model("input_weighted", _weighted_promise)
def _input_weighted(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    n_in, n_out = draw.size(), draw.size()
    weights = draw.numpy.random(n_in) * (draw.numpy.random(n_in) < 0.8)
    weights[draw.randrange(n_in)] = 1.0
    smoothing = draw.choice((0.0, 0.0, 0.5))
    largest = n_out * int(((weights + smoothing) > 0).sum())
    return (
        n_in,
        n_out,
        largest,
        {"weights": weights, "smoothing": smoothing, "sampler": draw.choice(("expected", "sequential"))},
    )


def _blocks_promise(result: BipartiteTopology, *, n_blocks: int, mixing: float, affinity: Any, **_: Any) -> None:
    if affinity is None and mixing == 0:
        group_of_source, group_of_target = _group(result.n_in, n_blocks), _group(result.n_out, n_blocks)
        assert (group_of_source[result.src] == group_of_target[result.dst]).all()
    if affinity is not None:
        law = np.asarray(affinity, dtype=np.float64)
        rows, columns = _group(result.n_out, law.shape[0]), _group(result.n_in, law.shape[1])
        assert (law[rows[result.dst], columns[result.src]] > 0).all()


def _group(n: int, n_groups: int) -> np.ndarray:
    return np.repeat(np.arange(n_groups), np.diff(np.arange(n_groups + 1) * n // n_groups))


@model("stochastic_block", _blocks_promise)
def _blocks(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    n_in, n_out = draw.size(), draw.size()
    n_blocks, mixing, affinity = draw.randint(1, min(n_in, n_out, 6)), draw.choice((0.0, 0.1, draw.random())), None
    if draw.random() < 0.4:
        affinity = draw.numpy.random((draw.randint(1, min(n_out, 4)), draw.randint(1, min(n_in, 4)))) + 0.01
        largest = n_in * n_out
    elif mixing == 0:
        sizes = [np.diff(np.arange(n_blocks + 1) * n // n_blocks) for n in (n_in, n_out)]
        largest = int((sizes[0] * sizes[1]).sum())
    else:
        largest = n_in * n_out
    return n_in, n_out, largest, {"n_blocks": n_blocks, "mixing": mixing, "affinity": affinity}


def _power_law_promise(result: BipartiteTopology, *, minimum: Any, maximum: Any, sides: str, **_: Any) -> None:
    for side, degrees in (("source", result.out_degrees), ("target", result.in_degrees)):
        if sides in ("both", side):
            assert degrees.min() >= (1 if minimum is None else minimum)
            assert maximum is None or degrees.max() <= maximum
        else:
            evenly(degrees)


@model("truncated_power_law", _power_law_promise, refusal=True, weight=0.4)
def _power_law(draw: Draw) -> tuple[int, int, int, dict[str, Any]]:
    n_in, n_out = draw.size(), draw.size()
    sides = draw.choice(("both", "source", "target"))
    exponent = draw.choice((0.0, 2.5, 20.0, draw.uniform(1, 4)))
    return n_in, n_out, n_in * n_out, {"exponent": exponent, "minimum": draw.choice((None, 1)), "maximum": None, "sides": sides}


@model("relational")
def _relational(draw: Draw) -> tuple[int, int, None, dict[str, Any]]:
    n_in, n_out = draw.size(), draw.size()
    n_nodes = draw.randint(1, min(n_in, n_out))
    degree = draw.choice((0.0, float(n_nodes - 1), draw.uniform(0, n_nodes - 1)))
    return n_in, n_out, None, {"n_nodes": n_nodes, "degree": degree, "rewiring_probability": draw.choice((0.0, 0.3, 1.0))}


@calls("graphs", f"{GRAPHS}.grouped")
def _grouped(draw: Draw) -> Call:
    n_groups = draw.randint(1, 6)

    def check(result: Any, *, n_in: int, n_out: int, n_groups: int) -> None:
        block = np.ones((n_out // n_groups, n_in // n_groups))
        assert (dense(result) == np.kron(np.eye(n_groups), block)).all()

    return Call({"n_in": n_groups * draw.randint(1, 9), "n_out": n_groups * draw.randint(1, 9), "n_groups": n_groups}, check)


@calls("graphs", f"{GRAPHS}.depthwise")
def _depthwise(draw: Draw) -> Call:
    n_in = draw.size()

    def check(result: Any, *, n_in: int, n_out: int) -> None:
        assert (dense(result) == np.kron(np.eye(n_in), np.ones((n_out // n_in, 1)))).all()

    return Call({"n_in": n_in, "n_out": n_in * draw.randint(1, 3)}, check)


@calls("graphs", f"{GRAPHS}.shuffle")
def _shuffle(draw: Draw) -> Call:
    n_groups = draw.randint(1, 6)
    n = n_groups * draw.randint(1, 9)

    def check(result: Any, *, n_in: int, n_out: int, n_groups: int) -> None:
        targets = np.arange(n_in).reshape(n_groups, -1).T.reshape(-1)
        assert (dense(result) == np.eye(n_in)[targets]).all()

    return Call({"n_in": n, "n_out": n, "n_groups": n_groups}, check)


@calls("graphs", f"{GRAPHS}.low_rank")
def _low_rank(draw: Draw) -> Call:
    def check(result: Any, *, n_in: int, n_out: int, rank: int) -> None:
        for part, sizes in zip(result, ((n_in, rank), (rank, n_out)), strict=True):
            check_layer(part, *sizes, sizes[0] * sizes[1])

    return Call({"n_in": draw.size(), "n_out": draw.size(), "rank": draw.randint(1, 20)}, check)


@calls("graphs", f"{GRAPHS}.trade_edges", f"{GRAPHS}.mixing")
def _trades(draw: Draw) -> Call:
    def check(result: Any, *, topology: BipartiteTopology, n_sweeps: int, rng: Any) -> None:
        shuffled = result if isinstance(result, BipartiteTopology) else result[0]
        check_layer(shuffled, topology.n_in, topology.n_out, topology.n_edges)
        _has_degrees(shuffled, topology.out_degrees, topology.in_degrees)
        if shuffled is not result:
            assert len(result[1].overlap) == n_sweeps
            both = len(np.intersect1d(shuffled.keys(), topology.keys()))
            last = result[1].overlap[-1] if n_sweeps else 1.0
            assert n_sweeps == 0 or topology.n_edges == 0 or abs(last - both / topology.n_edges) < 1e-12

    return Call({"topology": topology(draw), "n_sweeps": draw.randint(0, 12), "rng": draw.seed()}, check)


def graph_of(draw: Draw) -> tuple[Any, np.ndarray]:
    """Return a graph of igraph or networkx that can wire a layer, and its mask `[n_targets, n_sources]`."""
    kind = draw.choice(("bipartite", "directed", "undirected"))
    if kind == "bipartite":
        value = topology(draw, draw.randint(1, 12), draw.randint(1, 12))
        return draw.choice((value.to_igraph, value.to_networkx))(), dense(value)
    n = draw.randint(1, 12)
    pattern = draw.numpy.random((n, n)) < 0.4
    pattern = pattern if kind == "directed" else pattern | pattern.T
    edges = [(u, v) for v in range(n) for u in range(n) if pattern[v, u] and (kind == "directed" or u <= v)]
    if draw.random() < 0.5:
        return igraph.Graph(n=n, edges=edges, directed=kind == "directed"), pattern
    graph = networkx.DiGraph() if kind == "directed" else networkx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(edges)
    return graph, pattern


@calls("graphs", f"{GRAPHS}.from_graph")
def _from_graph(draw: Draw) -> Call:
    graph, pattern = graph_of(draw)
    is_multiple = draw.random() < 0.5
    n_out, n_in = (
        (size * draw.randint(1, 4) for size in pattern.shape) if is_multiple else (draw.randint(1, 40) for _ in pattern.shape)
    )

    def check(result: Any, *, graph: Any, n_in: int, n_out: int, rng: Any) -> None:
        check_layer(result, n_in, n_out)
        if n_in % pattern.shape[1] == n_out % pattern.shape[0] == 0:
            block = np.ones((n_out // pattern.shape[0], n_in // pattern.shape[1]))
            assert (dense(result) == np.kron(pattern, block)).all()
        wanted = pattern.mean() * n_in * n_out
        assert abs(result.n_edges - wanted) <= 0.5 + 1e-6

    call = {"graph": graph, "n_in": n_in, "n_out": n_out, "rng": draw.choice((None, draw.seed()))}
    return Call(call, check, refusal=not is_multiple)  # so few edges that scaling leaves none


@calls("graphs", f"{TOPOLOGY}.graph_edges")
def _graph_edges(draw: Draw) -> Call:
    graph, pattern = graph_of(draw)

    def check(result: Any, *, graph: Any) -> None:
        edges, n_sources, n_targets = result
        assert (n_targets, n_sources) == pattern.shape
        assert edges.tolist() == np.argwhere(pattern)[:, ::-1].tolist()

    return Call({"graph": graph}, check)


@calls("graphs", f"{GRAPHS}.call")
def _call(draw: Draw) -> Call:
    generator, parameters = draw.choice(((generators.erdos_renyi, {}), (generators.bsw, {"rewiring_probability": 0.5})))
    n_in, n_out = draw.size(), draw.size()

    def check(result: Any, *, n_in: int, n_out: int, n_edges: Any, density: Any, **_: Any) -> None:
        check_layer(result, n_in, n_out, count(n_in, n_out, n_edges, density))

    sizes = {"n_in": n_in, "n_out": n_out, **budget(draw, n_in * n_out, n_in * n_out)}
    return Call({"generator": generator, **sizes, "rng": draw.seed(), **parameters}, check, fixed=("generator",))


@calls("graphs", f"{GRAPHS}.resolve_n_edges")
def _resolve(draw: Draw) -> Call:
    n_in, n_out = draw.size(), draw.size()

    def check(result: Any, **arguments: Any) -> None:
        assert type(result) is int
        assert result == count(**arguments)

    return Call({"n_in": n_in, "n_out": n_out, **budget(draw, n_in * n_out, n_in * n_out)}, check)


@calls("graphs", f"{GRAPHS}.takes", weight=0.3)
def _takes(draw: Draw) -> Call:
    def check(result: Any, *, factory: Any, name: Any) -> None:
        assert result is (
            isinstance(name, str)
            and name in factory.__code__.co_varnames[: factory.__code__.co_argcount + factory.__code__.co_kwonlyargcount]
        )

    names = ("rng", "n_in", "density", "nothing")
    return Call({"factory": draw.choice((generators.grouped, generators.brf)), "name": draw.choice(names)}, check, ("factory",))


@calls("graphs", f"{GRAPHS}.check_parameters", weight=0.3)
def _check_parameters(draw: Draw) -> Call:
    def check(result: Any, *, parameters: Any, **_: Any) -> None:
        assert result is None
        assert set(parameters) <= {"randomness", "degrees"}

    call = {"what": "model", "factory": generators.brf, "parameters": {"randomness": 0.5}}
    return Call(call, check, fixed=("what", "factory"))


# Topologies


def _edges_in_any_order(draw: Draw, value: BipartiteTopology) -> np.ndarray:
    edges = np.stack([value.src, value.dst], axis=1)
    return edges[draw.numpy.permutation(len(edges))].astype(draw.choice((np.int32, np.int64, np.uint16, np.int8)))


@calls("graphs", VALUE)
def _value(draw: Draw) -> Call:
    mask = mask_of(draw)
    dst, src = np.nonzero(mask)

    def check(result: Any, *, n_in: Any, n_out: Any, src: Any, dst: Any) -> None:
        check_layer(result, n_in, n_out)
        assert result.src.tolist() == np.asarray(src).tolist()
        assert result.dst.tolist() == np.asarray(dst).tolist()
        assert not result.src.flags.writeable
        assert not result.dst.flags.writeable

    return Call({"n_in": mask.shape[1], "n_out": mask.shape[0], "src": src, "dst": dst}, check)


def _check_edges(result: Any, edges: Any, n_in: Any, n_out: Any) -> None:
    check_layer(result, n_in, n_out)
    assert result.to_edges().tolist() == sorted(np.asarray(list(edges)).reshape(-1, 2).tolist(), key=lambda edge: edge[::-1])


@calls("graphs", f"{VALUE}.from_edges")
def _value_from_edges(draw: Draw) -> Call:
    value = topology(draw)

    def check(result: Any, *, edges: Any, n_in: Any, n_out: Any) -> None:
        _check_edges(result, edges, n_in, n_out)

    return Call({"edges": _edges_in_any_order(draw, value), "n_in": value.n_in, "n_out": value.n_out}, check)


@calls("graphs", f"{TOPOLOGY}.from_edges")
def _from_edges(draw: Draw) -> Call:
    value = topology(draw)
    edges = _edges_in_any_order(draw, value)

    def check(result: Any, *, edges: Any, n_in: Any, n_out: Any, weights: Any) -> None:
        _check_edges(result.topology, edges, n_in, n_out)
        assert (result.weights is None) == (weights is None)
        if weights is not None:
            pairs = map(tuple, np.asarray(list(edges)).reshape(-1, 2).tolist())
            known = dict(zip(pairs, np.asarray(weights).tolist(), strict=True))
            given = [known[edge] for edge in map(tuple, result.topology.to_edges().tolist())]
            np.testing.assert_equal(result.weights.tolist(), given)

    weights = draw.choice((None, weights_of(draw, len(edges))))
    return Call({"edges": edges, "n_in": value.n_in, "n_out": value.n_out, "weights": weights}, check)


@calls("graphs", f"{VALUE}.from_keys")
def _from_keys(draw: Draw) -> Call:
    value = topology(draw)
    keys = value.dst.astype(np.int64) * value.n_in + value.src

    def check(result: Any, *, keys: Any, n_in: Any, n_out: Any) -> None:
        check_layer(result, n_in, n_out)
        assert (result.dst.astype(np.int64) * n_in + result.src).tolist() == sorted(np.asarray(keys).tolist())

    return Call({"keys": draw.numpy.permutation(keys), "n_in": value.n_in, "n_out": value.n_out}, check)


@calls("graphs", f"{VALUE}.from_ends")
def _from_ends(draw: Draw) -> Call:
    value = topology(draw)
    edges = _edges_in_any_order(draw, value)

    def check(result: Any, *, src: Any, dst: Any, n_in: Any, n_out: Any) -> None:
        _check_edges(result, np.stack([np.asarray(ends).astype(np.int64) for ends in (src, dst)], axis=1), n_in, n_out)

    return Call({"src": edges[:, 0].copy(), "dst": edges[:, 1].copy(), "n_in": value.n_in, "n_out": value.n_out}, check)


def _expected(name: str, value: BipartiteTopology) -> Any:
    mask = dense(value)
    return {
        "n_edges": lambda: int(mask.sum()),
        "density": lambda: mask.mean(),
        "out_degrees": lambda: mask.sum(0).tolist(),
        "in_degrees": lambda: mask.sum(1).tolist(),
        "target_pointers": lambda: [0, *mask.sum(1).cumsum().tolist()],
        "keys": lambda: np.flatnonzero(mask).tolist(),
        "to_edges": lambda: np.argwhere(mask)[:, ::-1].tolist(),
    }[name]()


def _parts() -> None:
    for name in ("n_edges", "density", "out_degrees", "in_degrees", "target_pointers", "keys", "to_edges"):

        @calls("graphs", f"{VALUE}.{name}", weight=0.2)
        def make(draw: Draw, name: str = name) -> Call:
            def check(result: Any, *, self: BipartiteTopology) -> None:
                expected = _expected(name, self)
                found = result.tolist() if isinstance(result, np.ndarray) else result
                assert found == expected or abs(found - expected) < 1e-15

            return Call({"self": topology(draw)}, check, fixed=("self",))


_parts()


@calls("graphs", f"{VALUE}.clone", weight=0.2)
def _clone(draw: Draw) -> Call:
    def check(result: Any, *, self: BipartiteTopology) -> None:
        assert result == self
        assert hash(result) == hash(self)
        assert not np.shares_memory(result.src, self.src) or self.n_edges == 0

    return Call({"self": topology(draw)}, check, fixed=("self",))


@calls("graphs", f"{VALUE}.digest", weight=0.2)
def _digest(draw: Draw) -> Call:
    def check(result: Any, *, self: BipartiteTopology) -> None:
        mask = dense(self)
        assert result == topology_of(mask).digest
        mask[0, 0] = ~mask[0, 0]
        assert result != topology_of(mask).digest

    return Call({"self": topology(draw)}, check, fixed=("self",))


@calls("graphs", f"{TOPOLOGY}.to_igraph", f"{VALUE}.to_igraph")
def _to_igraph(draw: Draw) -> Call:
    value = topology(draw)

    def check(result: igraph.Graph, *, topology: Any, weights: Any) -> None:
        value = topology
        assert result.vs["type"] == [False] * value.n_in + [True] * value.n_out
        ends = [(source, target + value.n_in) for source, target in value.to_edges().tolist()]
        assert result.get_edgelist() == ends
        _check_weights(result.es["weight"] if "weight" in result.es.attributes() else None, weights, value.n_edges)

    return Call({"topology": value, "weights": draw.choice((None, weights_of(draw, value.n_edges)))}, check)


def _check_weights(found: Any, weights: Any, n_edges: int) -> None:
    assert (found is None) == (weights is None)
    if weights is not None:
        np.testing.assert_equal(list(found), np.asarray(weights).tolist())


@calls("graphs", f"{TOPOLOGY}.to_networkx", f"{VALUE}.to_networkx")
def _to_networkx(draw: Draw) -> Call:
    value = topology(draw)

    def check(result: networkx.Graph, *, topology: Any, weights: Any) -> None:
        sides = [side for _, side in result.nodes(data="bipartite")]
        assert sides == [0] * topology.n_in + [1] * topology.n_out
        found = {tuple(sorted(ends)): weight for *ends, weight in result.edges(data="weight")}
        ends = [(source, target + topology.n_in) for source, target in topology.to_edges().tolist()]
        assert set(found) == set(ends)
        if topology.n_edges:
            _check_weights(None if weights is None else [found[edge] for edge in ends], weights, len(ends))

    return Call({"topology": value, "weights": draw.choice((None, weights_of(draw, value.n_edges)))}, check)


@calls("graphs", f"{TOPOLOGY}.to_scipy", f"{VALUE}.to_scipy")
def _to_scipy(draw: Draw) -> Call:
    value = topology(draw)

    def check(result: Any, *, topology: Any, weights: Any) -> None:
        assert result.shape == (topology.n_out, topology.n_in)
        coo = result.tocoo()
        assert np.stack([coo.col, coo.row], axis=1).tolist() == topology.to_edges().tolist()
        np.testing.assert_equal(result.data.tolist(), np.asarray(np.ones(coo.nnz) if weights is None else weights).tolist())

    return Call({"topology": value, "weights": draw.choice((None, weights_of(draw, value.n_edges)))}, check)


@calls("graphs", f"{TOPOLOGY}.to_mask", f"{TOPOLOGY}.to_torch_mask", f"{VALUE}.to_mask", weight=0.5)
def _to_mask(draw: Draw) -> Call:
    def check(result: Any, *, topology: BipartiteTopology) -> None:
        assert result.tolist() == dense(topology).tolist()

    return Call({"topology": topology(draw)}, check)


@calls("graphs", f"{TOPOLOGY}.from_mask", f"{VALUE}.from_mask")
def _from_mask(draw: Draw) -> Call:
    def check(result: Any, *, mask: Any) -> None:
        check_layer(result, np.shape(mask)[1], np.shape(mask)[0])
        assert dense(result).tolist() == np.asarray(mask).tolist()

    return Call({"mask": mask_of(draw)}, check)


def _round_trip(of: str, draw: Draw) -> tuple[BipartiteTopology, Any, Any]:
    value = topology(draw)
    weights = draw.choice((None, weights_of(draw, value.n_edges)))
    return value, weights, getattr(topologies, f"to_{of}")(value, weights)


def _sources_of_graphs() -> None:
    for library, argument in (("igraph", "graph"), ("networkx", "graph"), ("scipy", "matrix")):

        @calls("graphs", f"{TOPOLOGY}.from_{library}", f"{VALUE}.from_{library}")
        def make(draw: Draw, library: str = library, argument: str = argument) -> Call:
            value, weights, graph = _round_trip(library, draw)

            def check(result: Any, **_: Any) -> None:
                if isinstance(result, BipartiteTopology):
                    assert result == value
                    return
                assert result.topology == value
                if value.n_edges and (weights is not None or library == "scipy"):
                    given = np.ones(value.n_edges) if weights is None else weights
                    np.testing.assert_equal(np.asarray(result.weights).tolist(), given.tolist())

            return Call({argument: graph}, check)


_sources_of_graphs()


@calls("graphs", f"{TOPOLOGY}.from_scipy")
def _from_scipy(draw: Draw) -> Call:
    value, _weights, matrix = _round_trip("scipy", draw)
    form = draw.choice(("csr", "csc", "coo", "lil", "dok", "bsr"))
    matrix = matrix.asformat(form)

    def check(result: Any, *, matrix: Any) -> None:
        assert set(result.topology.keys().tolist()) >= set(np.flatnonzero(matrix.toarray()).tolist())
        assert form in ("bsr", "lil", "dok") or result.topology == value

    return Call({"matrix": matrix}, check)


@calls("graphs", f"{TOPOLOGY}.network_to_igraph", weight=0.5)
def _stack(draw: Draw) -> Call:
    sizes = [draw.randint(1, 12) for _ in range(draw.randint(2, 4))]
    layers = [topology(draw, a, b) for a, b in itertools.pairwise(sizes)]
    first = np.cumsum([0, *sizes])
    weights = [weights_of(draw, layer.n_edges) for layer in layers]
    wired = [
        WiredLayer(f"{n}", (), layer, weights[n], *(np.arange(first[k], first[k + 1]) for k in (n, n + 1)))
        for n, layer in enumerate(layers)
    ]
    links = np.array([[0, first[-1] - 1]] * draw.randint(0, 1)).reshape(-1, 2)

    def check(result: igraph.Graph, **_: Any) -> None:
        ends = [(s + first[n], t + first[n + 1]) for n, layer in enumerate(layers) for s, t in layer.to_edges().tolist()]
        assert result.get_edgelist() == ends + [tuple(link) for link in links.tolist()]
        assert result.vs["layer"] == [number for number, size in enumerate(sizes) for _ in range(size)]
        assert result.es["weight"] == np.concatenate([*weights, np.ones(len(links))]).tolist()
        assert [part["kind"] for part in result["layers"]] == ["linear"] * len(layers) + ["link"] * len(links)

    call = {"wiring": Wiring(tuple(wired), np.repeat(np.arange(len(sizes)), sizes), links)}
    return Call(call, check, fixed=tuple(call))  # of the program, not of users: it trusts what it is given


@calls("graphs", f"{TOPOLOGY}.as_array")
def _as_array(draw: Draw) -> Call:
    array = draw.choice((weights_of(draw, draw.randint(0, 9)), mask_of(draw), np.arange(5)))
    values = draw.choice((array, array.tolist(), torch.from_numpy(array)))

    def check(result: Any, *, values: Any) -> None:
        assert isinstance(result, np.ndarray)
        if values is not None and not isinstance(values, np.ndarray | torch.Tensor | type(iter(()))) and np.size(result) > 1:
            pairs = zip(result.ravel().tolist(), np.asarray(list(values)).ravel().tolist(), strict=True)
            assert all(found == value or value != value for found, value in pairs)

    return Call({"values": values}, check)


# Sampling


@calls("graphs", f"{SAMPLING}.as_generator")
def _as_generator(draw: Draw) -> Call:
    def check(result: Any, *, rng: Any) -> None:
        assert isinstance(result, np.random.Generator)
        assert result is rng or result.random() == np.random.default_rng(int(rng)).random()

    return Call({"rng": draw.seed()}, check)


@calls("graphs", f"{SAMPLING}.check_growth", weight=0.5)
def _check_growth(draw: Draw) -> Call:
    def check(result: Any, *, attractiveness: Any, updating: Any, side: Any) -> None:
        assert result is None
        assert 0 <= attractiveness < float("inf")
        assert updating in ("sequential", "frozen")
        assert side in ("source", "target", "both")

    return Call(_growth(draw), check)


def _growth(draw: Draw) -> dict[str, Any]:
    return {
        "attractiveness": draw.choice((0.0, 1.0, 1e6)),
        "updating": draw.choice(("sequential", "frozen")),
        "side": draw.choice(("source", "target", "both")),
    }


@calls("graphs", f"{SAMPLING}.grow_preferentially")
def _grow(draw: Draw) -> Call:
    value = topology(draw)
    cells = value.n_in * value.n_out
    free = cells - value.n_edges

    def check(result: Any, *, n_in: int, n_out: int, occupied: Any, count: int, **_: Any) -> None:
        src, dst = result
        new = dst * n_in + src
        assert len(new) == count
        assert len(np.unique(np.concatenate([occupied, new]))) == len(occupied) + count
        assert count == 0 or (src.min() >= 0 and src.max() < n_in and dst.min() >= 0 and dst.max() < n_out)

    call = {
        "n_in": value.n_in,
        "n_out": value.n_out,
        "occupied": value.keys(),
        "count": draw.choice((0, free, draw.randint(0, free))),
    }
    draws = {"draw": "end_then_partner"}
    growth = _growth(draw)
    if draw.random() < 0.3:
        growth |= {"updating": "sequential", "side": "both"}
        draws = {"draw": "both_ends"}
    return Call({**call, **growth, **draws, "rng": draw.seed()}, check)


@calls("graphs", f"{SAMPLING}.distinct_cells")
def _distinct_cells(draw: Draw) -> Call:
    n_cells = draw.choice((1, 10, 1000, 10**6))
    occupied = np.flatnonzero(draw.numpy.random(min(n_cells, 2000)) < 0.3) if draw.random() < 0.5 else None
    free = min(n_cells - (0 if occupied is None else len(occupied)), 3000)

    def check(result: Any, *, n_cells: int, count: int, occupied: Any, rng: Any) -> None:
        assert len(result) == count
        assert (np.diff(result) > 0).all()
        assert count == 0 or (result[0] >= 0 and result[-1] < n_cells)
        assert occupied is None or not np.isin(result, occupied).any()

    rng = np.random.default_rng(draw.getrandbits(30))
    return Call({"n_cells": n_cells, "count": draw.randint(0, free), "rng": rng, "occupied": occupied}, check, ("n_cells",))


@calls("graphs", f"{SAMPLING}.distinct_per_row")
def _distinct_per_row(draw: Draw) -> Call:
    n_rows, n_columns = draw.size(), draw.size()
    occupied = np.flatnonzero(draw.numpy.random(n_rows * n_columns) < 0.3) if draw.random() < 0.5 else None
    free = n_columns - (np.zeros(n_rows, int) if occupied is None else np.bincount(occupied // n_columns, minlength=n_rows))
    counts = draw.numpy.integers(0, free + 1)

    def check(result: Any, *, counts: Any, n_columns: int, occupied: Any, rng: Any) -> None:
        assert np.bincount(result // n_columns, minlength=len(counts)).tolist() == np.asarray(counts).tolist()
        assert (np.diff(result) > 0).all()
        assert occupied is None or not np.isin(result, occupied).any()

    rng = np.random.default_rng(draw.getrandbits(30))
    return Call({"counts": counts, "n_columns": n_columns, "rng": rng, "occupied": occupied}, check)


@calls("graphs", f"{SAMPLING}.contains")
def _contains(draw: Draw) -> Call:
    def check(result: Any, *, sorted_cells: Any, cells: Any) -> None:
        known = set(np.asarray(sorted_cells).tolist())
        assert result.tolist() == [cell in known for cell in np.asarray(cells).tolist()]

    cells = np.flatnonzero(draw.numpy.random(50) < 0.4)
    return Call({"sorted_cells": cells, "cells": draw.numpy.integers(0, 60, size=draw.randint(0, 20))}, check)


@calls("graphs", f"{SAMPLING}.even_parts", f"{SAMPLING}.even_borders")
def _even(draw: Draw) -> Call:
    def check(result: Any, *, total: int, n_parts: int) -> None:
        parts = result if len(result) == n_parts else np.diff(result)
        assert parts.sum() == total
        assert len(parts) == n_parts
        evenly(parts)

    return Call({"total": draw.randint(0, 500), "n_parts": draw.randint(1, 40)}, check)


@calls("graphs", f"{SAMPLING}.shuffled_parts")
def _shuffled_parts(draw: Draw) -> Call:
    def check(result: Any, *, total: int, n_parts: int, rng: Any) -> None:
        assert result.sum() == total
        assert len(result) == n_parts
        evenly(result)

    rng = np.random.default_rng(draw.getrandbits(30))
    return Call({"total": draw.randint(0, 500), "n_parts": draw.randint(1, 40), "rng": rng}, check)


@calls("graphs", f"{SAMPLING}.largest_remainder")
def _largest_remainder(draw: Draw) -> Call:
    shares = draw.numpy.random(draw.randint(1, 30)) * (draw.numpy.random() < 0.9)
    shares[0] = 1.0
    caps = draw.numpy.integers(0, 30, size=len(shares)) if draw.random() < 0.5 else 20
    room = int(np.broadcast_to(caps, shares.shape)[shares > 0].sum())

    def check(result: Any, *, count: int, shares: Any, caps: Any, **_: Any) -> None:
        assert result.sum() == count
        assert (result >= 0).all()
        assert (result <= caps).all()
        assert not result[np.asarray(shares) == 0].any()

    rng = np.random.default_rng(draw.getrandbits(30))
    return Call({"count": draw.randint(0, room), "shares": shares, "caps": caps, "rng": rng}, check)


@calls("graphs", f"{SAMPLING}.exact_largest_remainder")
def _exact_largest_remainder(draw: Draw) -> Call:
    shares = [Fraction(draw.randint(0, 20), draw.randint(1, 9)) for _ in range(draw.randint(1, 8))]
    caps = [draw.randint(0, 30) for _ in shares]

    def check(result: Any, *, count: int, shares: Any, caps: Any) -> None:
        assert sum(result) == count
        assert all(0 <= part <= cap for part, cap in zip(result, caps, strict=True))

    return Call({"count": draw.randint(0, sum(caps)), "shares": shares, "caps": caps}, check)


@calls("graphs", f"{SAMPLING}.fill_quotas")
def _fill_quotas(draw: Draw) -> Call:
    size, quota = draw.size(), draw.numpy.integers(0, 12, size=draw.size())
    quota = np.minimum(quota, size).astype(np.int64)
    total = int(quota.sum())

    def check(result: Any, *, chosen: Any, given: Any, placed: int, quota: Any, size: int, **_: Any) -> None:
        assert np.bincount(given, minlength=len(quota)).tolist() == np.asarray(quota).tolist()
        before, new = np.split(given.astype(np.int64) * size + chosen, [placed])
        assert len(np.unique(new)) == len(new)
        assert not np.isin(new, before).any()
        assert total == 0 or (chosen.min() >= 0 and chosen.max() < size)

    ends = {"chosen": np.zeros(total, np.int32), "given": np.zeros(total, np.int32)}
    rng = np.random.default_rng(draw.getrandbits(30))
    call = {**ends, "placed": 0, "size": size, "quota": quota, "attraction": draw.choice((0.0, 1.0)), "rng": rng}
    return Call(call, check, fixed=("chosen", "given"), changes=True)  # these are written


# Allocations


def _shapes(draw: Draw, kernels: bool = True) -> list[tuple[int, ...]]:
    return [
        (draw.size(), draw.size(), *((draw.randint(1, 3), draw.randint(1, 3)) if kernels and draw.random() < 0.2 else ()))
        for _ in range(draw.randint(1, 5))
    ]


def _density(draw: Draw) -> float:
    return draw.choice((1.0, draw.uniform(0.001, 1.0), draw.uniform(0.001, 1.0)))


@calls("graphs", f"{ALLOCATION}.uniform")
def _uniform(draw: Draw) -> Call:
    def check(result: Any, *, shapes: Any, density: Any) -> None:
        assert result.sizes == tuple(shape[0] * shape[1] for shape in shapes)
        assert result.n_edges == tuple(round(float(density) * int(shape[0]) * int(shape[1])) for shape in shapes)

    return Call({"shapes": _shapes(draw), "density": _density(draw)}, check)


@calls("graphs", f"{ALLOCATION}.explicit")
def _explicit(draw: Draw) -> Call:
    shapes = _shapes(draw)

    def check(result: Any, *, shapes: Any, densities: Any) -> None:
        assert result.n_edges == tuple(round(float(d) * int(s[0]) * int(s[1])) for d, s in zip(densities, shapes, strict=True))

    return Call({"shapes": shapes, "densities": [_density(draw) for _ in shapes]}, check)


@calls("graphs", f"{ALLOCATION}.er_epsilon")
def _er_epsilon(draw: Draw) -> Call:
    def check(result: Any, *, shapes: Any, epsilon: Any) -> None:
        assert result.n_edges == tuple(min(round(float(epsilon) * (s[0] + s[1])), s[0] * s[1]) for s in shapes)

    return Call({"shapes": _shapes(draw), "epsilon": draw.choice((0.5, 1.0, 20.0, draw.uniform(0.01, 3)))}, check)


@calls("graphs", f"{ALLOCATION}.er", f"{ALLOCATION}.erk")
def _er(draw: Draw) -> Call:
    shapes = _shapes(draw, kernels=draw.random() < 0.3)

    def check(result: Any, *, shapes: Any, density: Any) -> None:
        assert result.sizes == tuple(shape[0] * shape[1] for shape in shapes)
        if all(len(shape) == 2 for shape in shapes):
            assert result.total == round(float(density) * sum(result.sizes))
            ratios = [(n_in + n_out) / (n_in * n_out) for n_in, n_out in shapes]
            order = sorted(range(len(ratios)), key=ratios.__getitem__)
            loads = [result.n_edges[i] / result.sizes[i] for i in order]
            slack = [1 / result.sizes[i] for i in order]
            assert all(a <= b + s + t for a, b, s, t in zip(loads, loads[1:], slack, slack[1:], strict=False))

    return Call({"shapes": shapes, "density": _density(draw)}, check)


@calls("graphs", f"{ALLOCATION}.global_scores")
def _global_scores(draw: Draw) -> Call:
    scores = [draw.numpy.random(draw.size()).astype(draw.choice((np.float32, np.float64))) for _ in range(draw.randint(1, 4))]
    sizes = [len(score) for score in scores]
    minimum = draw.randint(0, 2)
    least = sum(min(size, minimum) for size in sizes)

    def check(result: Any, *, scores: Any, density: Any, minimum: Any, normalise: Any) -> None:
        layers = [np.asarray(score, dtype=np.float64).ravel() for score in scores]
        assert result.sizes == tuple(map(len, layers))
        assert result.total == round(float(density) * sum(result.sizes))
        if not normalise and minimum == 0:
            ranked = np.sort(np.concatenate(layers))[::-1][: result.total]
            kept = np.concatenate([np.sort(layer)[::-1][:n] for layer, n in zip(layers, result.n_edges, strict=True)])
            assert np.sort(kept)[::-1].tolist() == ranked.tolist()
        assert all(n >= min(minimum, size) for n, size in zip(result.n_edges, result.sizes, strict=True))

    density = draw.randint(max(least, 1), sum(sizes)) / sum(sizes)
    call = {"scores": scores, "density": density, "minimum": minimum, "normalise": draw.random() < 0.3}
    return Call(call, check, fixed=("normalise",))


@calls("graphs", f"{ALLOCATION}.layer_shapes")
def _layer_shapes(draw: Draw) -> Call:
    def check(result: Any, *, layer_sizes: Any) -> None:
        sizes = list(layer_sizes)
        assert result == list(itertools.pairwise(sizes))
        assert all(type(size) is int for shape in result for size in shape)

    return Call({"layer_sizes": [draw.size() for _ in range(draw.randint(2, 5))]}, check)


@calls("graphs", f"{ALLOCATION}.Allocation")
def _allocation(draw: Draw) -> Call:
    sizes = tuple(draw.randint(1, 500) for _ in range(draw.randint(1, 4)))
    return Call({"sizes": sizes, "n_edges": tuple(draw.randint(0, size) for size in sizes)}, _check_allocation)


def _check_allocation(result: Any, *, sizes: Any, n_edges: Any) -> None:
    assert isinstance(result, allocation.Allocation)
    assert result.sizes == tuple(sizes)
    assert result.n_edges == tuple(n_edges)
    assert result.total == sum(n_edges)
    assert all(abs(d * s - n) < 1e-6 for d, s, n in zip(result.densities, sizes, n_edges, strict=True))


# Schedules


def _check_course(result: Any, *, start: Any, end: Any = 0.0, **_: Any) -> None:
    first, last = float(start), float(start if result.is_constant else end)
    assert (result(0), result(1)) == (first, last)
    values = [result(place / 20) for place in range(21)]
    assert min(first, last) - 1e-15 <= min(values) <= max(values) <= max(first, last) + 1e-15 == result.largest + 1e-15
    assert all((later - former) * (last - first) >= -1e-15 for former, later in itertools.pairwise(values))


def _schedules() -> None:
    others = {"inverse_power": {"power": 2.5}, "sigmoid": {"slope": 6.0}}
    for name in ("constant", "linear", "cosine", "inverse_power", "cubic", "sigmoid"):

        @calls("graphs", f"netsci_nn.schedules.{name}", weight=0.2)
        def make(draw: Draw, name: str = name) -> Call:
            ends = {"start": draw.random(), "end": draw.random()}
            return Call(({"start": draw.random()} if name == "constant" else ends) | others.get(name, {}), _check_course)


_schedules()


@calls("graphs", "netsci_nn.schedules.steps", weight=0.3)
def _steps(draw: Draw) -> Call:
    def check(result: Any, *, values: Any, until: Any) -> None:
        levels, places = [float(value) for value in values], [float(place) for place in until]
        assert [result(place) for place in (0, *places)] == levels
        assert [result(np.nextafter(place, 0)) for place in (*places, 2)] == levels

    places = sorted({draw.uniform(0.01, 0.99) for _ in range(draw.randint(0, 4))})
    return Call({"values": [draw.random() for _ in range(len(places) + 1)], "until": places}, check)


@calls("graphs", "netsci_nn.schedules.as_fraction", weight=0.3)
def _as_fraction(draw: Draw) -> Call:
    start = draw.uniform(0.01, 0.99)

    def check(result: Any, *, name: Any, value: Any) -> None:
        assert isinstance(result, schedules.Schedule)
        assert 0 <= result(0.5) <= result.largest < 1

    values = start, {"name": "cosine", "start": start}, schedules.linear(start, start / 2)
    return Call({"name": "fraction", "value": draw.choice(values)}, check, fixed=("name",))


@calls("graphs", "netsci_nn.schedules.as_density", weight=0.3)
def _as_density(draw: Draw) -> Call:
    start = draw.uniform(0.01, 1)

    def check(result: Any, *, name: Any, value: Any) -> None:
        assert isinstance(result, schedules.Schedule)
        assert 0 <= result(0.5) <= result.largest <= 1

    values = start, 1.0, {"name": "cubic", "start": 1.0, "end": start}, schedules.linear(start, start / 2)
    return Call({"name": "density", "value": draw.choice(values)}, check, fixed=("name",))
