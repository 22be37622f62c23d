"""Legal calls of measures, null models, fits and reports, with networkx or plain counting as oracles."""

from itertools import combinations, pairwise
from typing import Any

import networkx
import numpy as np
import scipy.sparse
from api_calls import Call, Draw, calls
from calls_of_graphs import mask_of
from networkx.algorithms import bipartite

import analysis
from analysis import BipartiteGraph, LayeredGraph, Quantity
from analysis.nulls.models import NULL_MODELS

MEASURES, NULLS = "analysis.measures", "analysis.nulls"
ENDLESS = ("nulls", "swaps_per_edge", "restarts")  # the larger, the longer
NEED_EDGES = ("rich_club.rich_club_curve", "community.modules")
SLOW = ("power_law_ratios",)
FAST = [name for name in analysis.measure_names() if name not in SLOW]


def small(draw: Draw) -> np.ndarray:
    """Return a random mask of up to 12 x 12."""
    return mask_of(draw, draw.randint(1, 12), draw.randint(1, 12))


def weights_for(draw: Draw, mask: np.ndarray) -> np.ndarray | None:
    """Return weights, whole ones and equal ones among them, or None."""
    n = int(mask.sum())
    return draw.choice((None, draw.numpy.normal(size=n), draw.numpy.integers(-2, 3, size=n).astype(float), np.ones(n)))


def graph_of(draw: Draw, mask: np.ndarray, weights: np.ndarray | None) -> Any:
    """Return a mask as a graph of any library."""
    dst, src = np.nonzero(mask)
    n_out, n_in = mask.shape
    kinds = ("own", "own", "scipy", "igraph", "topology", "networkx")
    kind = draw.choice(kinds if len(src) else kinds[:-1])  # without edges networkx has no weights
    if kind == "own" or (kind != "scipy" and weights is None and draw.random() < 0.3):
        return BipartiteGraph(n_in, n_out, src, dst, weights)
    if kind == "scipy":
        data = np.ones(len(src), bool) if weights is None else weights
        return scipy.sparse.coo_array((data, (dst, src)), shape=mask.shape).asformat(draw.choice(("csr", "csc", "coo")))
    import netsci_nn

    value = netsci_nn.BipartiteTopology(n_in, n_out, src, dst)
    if kind == "topology":
        return value if weights is None else netsci_nn.intake.Layer("", n_in, n_out, value.src, value.dst, weights)
    return value.to_igraph(weights) if kind == "igraph" else value.to_networkx(weights)


def plain(graph: Any) -> networkx.Graph:
    """Return a layer as a graph of networkx: sources 0..n_in - 1, targets after them."""
    layer = analysis.as_layered(graph).layers[0]
    result = networkx.Graph()
    result.add_nodes_from(range(layer.n_in), bipartite=0)
    result.add_nodes_from(range(layer.n_in, layer.n_in + layer.n_out), bipartite=1)
    result.add_edges_from((s, t + layer.n_in) for s, t in zip(layer.src.tolist(), layer.dst.tolist(), strict=True))
    return result


def mask_in(graph: Any) -> np.ndarray:
    """Return a layer as a mask, put together edge by edge."""
    layer = analysis.as_layered(graph).layers[0]
    mask = np.zeros((layer.n_out, layer.n_in), bool)
    for source, target in zip(layer.src.tolist(), layer.dst.tolist(), strict=True):
        mask[target, source] = True
    return mask


def same(found: Quantity, right: float | None, tolerance: float = 1e-9) -> None:
    """Raise an error unless a quantity has this value; None: it is not defined."""
    if right is None or not np.isfinite(right):
        assert found.value is None, (found, right)
        assert found.reason
    else:
        assert found.value is not None, (found, right)
        assert abs(found.value - right) <= tolerance * max(1.0, abs(right)), (found.value, right)


# Graphs


@calls("analysis", "analysis.BipartiteGraph", weight=3)
def _graph(draw: Draw) -> Call:
    mask = mask_of(draw)
    dst, src = np.nonzero(mask)
    order = draw.numpy.permutation(len(src))

    def check(result: BipartiteGraph, *, n_in: Any, n_out: Any, src: Any, dst: Any, weights: Any) -> None:
        edges = sorted(zip(np.asarray(dst).tolist(), np.asarray(src).tolist(), strict=True))
        assert (result.n_in, result.n_out) == (int(n_in), int(n_out))
        assert list(zip(result.dst.tolist(), result.src.tolist(), strict=True)) == edges
        assert len(set(edges)) == len(edges)
        assert all(0 <= t < n_out and 0 <= s < n_in for t, s in edges)
        if weights is not None:
            pairs = zip(np.asarray(dst).tolist(), np.asarray(src).tolist(), strict=True)
            known = dict(zip(pairs, np.asarray(weights).astype(float).tolist(), strict=True))
            assert result.weights.tolist() == [known[edge] for edge in edges]
            assert np.isfinite(result.weights).all()
        full = np.zeros((int(n_out), int(n_in)), int)
        for target, source in edges:
            full[target, source] = 1
        assert result.out_degrees.tolist() == full.sum(0).tolist()
        assert result.in_degrees.tolist() == full.sum(1).tolist()
        assert (result.biadjacency.toarray() == full).all()
        assert result.keys.tolist() == np.flatnonzero(full).tolist()
        upper, corner = np.zeros((full.shape[1],) * 2), np.zeros((full.shape[0],) * 2)
        assert (result.adjacency.toarray() == np.block([[upper, full.T], [full, corner]])).all()
        assert result.density == full.mean()
        assert result.transposed().transposed() == result
        singular = np.linalg.svd(full, compute_uv=False)[:3]
        assert np.allclose(result.singular_values, singular, atol=1e-6 * max(1.0, singular[0]))

    weights = draw.choice((None, draw.numpy.normal(size=len(src)).astype(draw.choice((np.float32, np.float64)))))
    return Call(
        {"n_in": mask.shape[1], "n_out": mask.shape[0], "src": src[order], "dst": dst[order], "weights": weights}, check
    )


@calls("analysis", "analysis.as_layered", weight=2)
def _as_layered(draw: Draw) -> Call:
    mask = mask_of(draw)
    weights = weights_for(draw, mask)

    def check(result: LayeredGraph, **_: Any) -> None:
        assert (mask_in(result) == mask).all()
        own = result.layers[0].weights
        assert (own is None) == (weights is None) or not mask.any()
        assert own is None or weights is None or own.tolist() == weights.tolist()

    return Call({"graph": graph_of(draw, mask, weights)}, check)


@calls("analysis", "analysis.LayeredGraph")
def _layered(draw: Draw) -> Call:
    sizes = [draw.randint(1, 9) for _ in range(draw.randint(2, 5))]
    masks = [mask_of(draw, a, b) for a, b in pairwise(sizes)]
    layers = tuple(BipartiteGraph(m.shape[1], m.shape[0], *np.nonzero(m)[::-1]) for m in masks)

    def check(result: LayeredGraph, *, layers: Any) -> None:
        assert result.layer_sizes == tuple(sizes)
        assert result.n_edges == sum(int(mask.sum()) for mask in masks)
        degrees = np.concatenate([np.zeros(size, int) for size in sizes])
        first = np.cumsum([0, *sizes])
        for number, mask in enumerate(masks):
            degrees[first[number] : first[number + 1]] += mask.sum(0)
            degrees[first[number + 1] : first[number + 2]] += mask.sum(1)
        assert result.degrees.tolist() == degrees.tolist()
        assert sorted(plain(result.folded).degree[node] for node in plain(result.folded)) == sorted(degrees.tolist())

    return Call({"layers": layers}, check)


# Measures of one layer


def measure(name: str, masks: Any = small, weighted: bool = False, **parameters: Any) -> Any:
    """Return a decorator of an oracle: a function of the result, the mask, the weights and the arguments."""

    def enter(oracle: Any) -> Any:
        @calls("analysis", f"{MEASURES}.{name}")
        def make(draw: Draw) -> Call:
            mask = masks(draw)
            weights = weights_for(draw, mask)
            if weighted and weights is None:
                weights = np.ones(int(mask.sum()))
            given = {key: value(draw, mask) for key, value in parameters.items()}

            def check(result: Any, *, graph: Any, **rest: Any) -> None:
                oracle(result, mask_in(graph), analysis.as_layered(graph).layers[0].weights, **rest)

            fixed = tuple(key for key in given if key in ENDLESS)
            return Call(
                {"graph": graph_of(draw, mask, weights), **given}, check, fixed, refusal=name in NEED_EDGES and not mask.any()
            )

        return oracle

    return enter


def _side(draw: Draw, mask: np.ndarray) -> str:
    return draw.choice(("source", "target"))


def _rng(draw: Draw, mask: np.ndarray) -> Any:
    return draw.seed()


def _generator(draw: Draw, mask: np.ndarray) -> np.random.Generator:
    return np.random.default_rng(draw.getrandbits(30))


def _labels(axis: int) -> Any:
    return lambda draw, mask: draw.numpy.integers(0, 4, size=mask.shape[axis])


def _butterflies(mask: np.ndarray) -> int:
    common = mask.astype(int).T @ mask.astype(int)
    return sum(int(n) * (int(n) - 1) // 2 for n in common[np.triu_indices(len(common), 1)])


def _three_paths(mask: np.ndarray) -> int:
    k, d = mask.sum(0), mask.sum(1)
    return sum(int((k[s] - 1) * (d[t] - 1)) for t, s in np.argwhere(mask))


measure("clustering.butterflies", mask_of)(lambda result, mask, weights: _equal(result, _butterflies(mask)))
measure("clustering.three_paths", mask_of)(lambda result, mask, weights: _equal(result, _three_paths(mask)))


def _equal(found: Any, right: Any) -> None:
    assert found == right, (found, right)


@measure("clustering.robins_alexander_clustering", mask_of)
def _robins(result: Quantity, mask: np.ndarray, weights: Any) -> None:
    paths = _three_paths(mask)
    same(result, 4 * _butterflies(mask) / paths if paths else None)


@measure("clustering.latapy_clustering", side=_side)
def _latapy(result: np.ndarray, mask: np.ndarray, weights: Any, side: str) -> None:
    graph = plain(scipy.sparse.coo_array(mask))
    nodes = range(mask.shape[1]) if side == "source" else range(mask.shape[1], sum(mask.shape))
    for column, mode in enumerate(("dot", "min", "max")):
        found = bipartite.latapy_clustering(graph, nodes, mode=mode)
        assert np.allclose(result[:, column], [found[node] for node in nodes])


@measure("weighted_clustering.ruzicka_clustering", weighted=True, side=_side)
def _ruzicka(result: Any, mask: np.ndarray, weights: np.ndarray, side: str) -> None:
    full = np.zeros(mask.shape)
    full[mask] = np.abs(weights)
    rows, has = (full.T, mask.T) if side == "source" else (full, mask)
    values, _ = result
    wanted = []
    for u in range(len(rows)):
        partners = [v for v in range(len(rows)) if v != u and (has[u] & has[v]).any()]
        sums = [(np.minimum(rows[u], rows[v]).sum(), np.maximum(rows[u], rows[v]).sum()) for v in partners]
        wanted.append(np.mean([low / high if high else np.nan for low, high in sums]) if partners else 0.0)
    known = np.isfinite(wanted)
    assert np.allclose(values[known], np.array(wanted)[known])


def _distances(mask: np.ndarray) -> list[int]:
    graph = plain(scipy.sparse.coo_array(mask))
    return [d for start, ends in networkx.all_pairs_shortest_path_length(graph) for end, d in ends.items() if end != start]


@measure("paths.average_path_length", rng=_generator)
def _path_length(result: Quantity, mask: np.ndarray, weights: Any, rng: Any) -> None:
    distances = _distances(mask)
    same(result, float(np.mean(distances)) if distances else None)


@measure("paths.global_efficiency", rng=_generator)
def _efficiency(result: Quantity, mask: np.ndarray, weights: Any, rng: Any) -> None:
    n = sum(mask.shape)
    same(result, sum(1 / d for d in _distances(mask)) / (n * (n - 1)))


@measure("paths.component_sizes", mask_of)
def _components(result: np.ndarray, mask: np.ndarray, weights: Any) -> None:
    graph = plain(scipy.sparse.coo_array(mask))
    assert sorted(result.tolist()) == sorted(map(len, networkx.connected_components(graph)))


@measure("degree_correlation.degree_correlation", mask_of)
def _correlation(result: Quantity, mask: np.ndarray, weights: Any) -> None:
    targets, sources = np.nonzero(mask)
    k, d = mask.sum(0)[sources], mask.sum(1)[targets]
    same(result, np.corrcoef(k, d)[0, 1] if len(k) and np.ptp(k) and np.ptp(d) else None)


@measure("community.barber_modularity", mask_of, source_labels=_labels(1), target_labels=_labels(0))
def _modularity(result: Quantity, mask: np.ndarray, weights: Any, source_labels: Any, target_labels: Any) -> None:
    m, k, d = mask.sum(), mask.sum(0), mask.sum(1)
    if m == 0:
        same(result, None)
        return
    delta = np.asarray(target_labels)[:, None] == np.asarray(source_labels)[None, :]
    same(result, float(((mask - np.outer(d, k) / m) * delta).sum() / m))


@measure("community.participation", mask_of, source_labels=_labels(1), target_labels=_labels(0))
def _participation(result: Any, mask: np.ndarray, weights: Any, source_labels: Any, target_labels: Any) -> None:
    for found, rows, labels in ((result[0], mask.T, target_labels), (result[1], mask, source_labels)):
        wanted = []
        for row in rows:
            shares = [row[np.asarray(labels) == label].sum() / max(1, row.sum()) for label in set(np.asarray(labels).tolist())]
            wanted.append(1 - sum(share**2 for share in shares) if row.any() else 0.0)
        assert np.allclose(found, wanted)


@measure("community.within_module_z", mask_of, source_labels=_labels(1), target_labels=_labels(0))
def _z(result: Any, mask: np.ndarray, weights: Any, source_labels: Any, target_labels: Any) -> None:
    own = np.asarray(target_labels)[:, None] == np.asarray(source_labels)[None, :]
    for found, inside, labels in (
        (result[0], (mask & own).sum(0), source_labels),
        (result[1], (mask & own).sum(1), target_labels),
    ):
        peers = [inside[np.asarray(labels) == label] for label in np.asarray(labels)]
        wanted = [(k - p.mean()) / p.std() if np.ptp(p) else 0.0 for k, p in zip(inside, peers, strict=True)]
        assert np.allclose(found, wanted)


@measure("community.modules", rng=_rng, restarts=lambda draw, mask: draw.randint(1, 3))
def _modules(result: Any, mask: np.ndarray, weights: Any, rng: Any, restarts: int) -> None:
    _modularity(Quantity(result.modularity), mask, None, result.source_labels, result.target_labels)
    assert ((result.source_labels < 0) == ~mask.any(0)).all()
    assert ((result.target_labels < 0) == ~mask.any(1)).all()
    assert result.modularity >= -1e-12


@measure("cores.coreness", mask_of)
def _coreness(result: Any, mask: np.ndarray, weights: Any) -> None:
    found = networkx.core_number(plain(scipy.sparse.coo_array(mask)))
    assert [*result[0].tolist(), *result[1].tolist()] == [found[node] for node in range(sum(mask.shape))]


@measure("cores.core_periphery")
def _core_periphery(result: Any, mask: np.ndarray, weights: Any) -> None:
    k, d = mask.sum(0), mask.sum(1)
    best = None
    for low in sorted(set(k.tolist())):
        for least in sorted(set(d.tolist())):
            core = np.outer(d >= least, k >= low)
            if mask.any() and not mask.all() and not core.all():
                found = np.corrcoef(core.ravel(), mask.ravel())[0, 1]
                best = found if best is None else max(best, found)
    assert (result is None) == (best is None)
    assert best is None or abs(result.correlation - best) < 1e-9


@measure("nestedness.nodf")
def _nodf(result: dict[str, Quantity], mask: np.ndarray, weights: Any) -> None:
    sums, pairs = {}, {}
    for side, rows in (("source", mask.T), ("target", mask)):
        k = rows.sum(1)
        pairs[side] = len(rows) * (len(rows) - 1) // 2
        sums[side] = sum(
            (rows[i] & rows[j]).sum() / min(k[i], k[j])
            for i, j in combinations(range(len(rows)), 2)
            if k[i] != k[j] and min(k[i], k[j])
        )
        same(result[f"{side}_nodf"], 100 * sums[side] / pairs[side] if pairs[side] and mask.any() else None)
    total = sum(pairs.values())
    same(result["nodf"], 100 * sum(sums.values()) / total if total and mask.any() else None)


@measure("nestedness.spectral_nestedness")
def _spectral_nestedness(result: Quantity, mask: np.ndarray, weights: Any) -> None:
    same(result, float(np.linalg.norm(mask.astype(float), 2)) if mask.any() else None, 1e-7)


@measure("spectral.ramanujan_bound", mask_of)
def _ramanujan(result: Quantity, mask: np.ndarray, weights: Any) -> None:
    k, d = mask.sum() / mask.shape[1], mask.sum() / mask.shape[0]
    same(result, None if min(k, d) < 1 else np.sqrt(k - 1) + np.sqrt(d - 1))


@measure("spectral.normalised_biadjacency")
def _normalised(result: Any, mask: np.ndarray, weights: Any) -> None:
    kept = mask[mask.any(1)][:, mask.any(0)].astype(float)
    with np.errstate(all="ignore"):
        wanted = kept / np.sqrt(np.outer(kept.sum(1), kept.sum(0)))
    assert np.allclose(result.toarray(), wanted)


@measure("rich_club.rich_club_curve", quantiles=lambda draw, mask: draw.numpy.random(draw.randint(0, 4)))
def _rich_club(result: np.ndarray, mask: np.ndarray, weights: Any, quantiles: Any) -> None:
    k, d = mask.sum(0), mask.sum(1)
    for found, q in zip(result.reshape(-1), np.asarray(quantiles, dtype=float).reshape(-1), strict=True):
        assert 0 <= q < 1
        rich = [degrees >= np.sort(degrees)[::-1][max(1, int(np.ceil((1 - q) * len(degrees)))) - 1] for degrees in (k, d)]
        inside = mask[np.ix_(rich[1] & (d > 0), rich[0] & (k > 0))]
        assert abs(found - inside.mean()) < 1e-12


@measure(
    "persistence.neural_persistence",
    weighted=True,
    largest=lambda draw, mask: 100.0,
    p=lambda draw, mask: draw.choice((1.0, 2.0, 3.5)),
)
def _persistence(result: Any, mask: np.ndarray, weights: np.ndarray, largest: float, p: float) -> None:
    graph = networkx.Graph()
    for (target, source), weight in zip(np.argwhere(mask).tolist(), weights, strict=True):
        graph.add_edge(source, target + mask.shape[1], weight=abs(weight) / float(largest))
    forest = [weight for *_, weight in networkx.maximum_spanning_edges(graph, data="weight")] if len(weights) else []
    forest = [entry["weight"] if isinstance(entry, dict) else entry for entry in forest]
    norm, bound = result
    assert abs(norm - sum((1 - weight) ** float(p) for weight in forest) ** (1 / float(p))) < 1e-7 * max(1, norm)
    assert norm <= bound + 1e-9


@measure("opsahl.opsahl_quantities", side=_side, rng=_generator)
def _opsahl(result: dict[str, Quantity], mask: np.ndarray, weights: Any, side: str, rng: Any) -> None:
    rows = mask.T if side == "source" else mask  # neurons of the side are rows
    total = closed = 0
    if rows.shape[0] * rows.shape[1] <= 49:
        neighbours = [set(np.flatnonzero(row).tolist()) for row in rows]
        for j in range(len(rows)):
            for i, k in combinations([n for n in range(len(rows)) if n != j], 2):
                for p in neighbours[i] & neighbours[j]:
                    for q in neighbours[j] & neighbours[k]:
                        if p != q:
                            total += 1
                            closed += bool((neighbours[i] & neighbours[k]) - {p, q})
        found = {name: quantity for name, quantity in result.items() if "local" not in name}
        assert {
            quantity.value for name, quantity in found.items() if name.endswith("_four_paths") and "closed" not in name
        } == {total}
        assert {quantity.value for name, quantity in found.items() if name.endswith("closed_four_paths")} == {closed}


@measure("opsahl.weighted_opsahl_quantities", weighted=True, side=_side, rng=_generator)
def _weighted_opsahl(result: dict[str, Quantity], mask: np.ndarray, weights: Any, side: str, rng: Any) -> None:
    for quantity in result.values():
        assert quantity.value is None or -1e-12 <= quantity.value <= 1 + 1e-12


def _pixels(draw: Draw, mask: np.ndarray) -> tuple[int, int]:
    width = draw.choice([n for n in range(1, mask.shape[1] + 1) if mask.shape[1] % n == 0])
    return mask.shape[1] // width, width


@measure("wiring_length.field_sizes_and_radii", image_shape=_pixels)
def _fields(result: Any, mask: np.ndarray, weights: Any, image_shape: Any) -> None:
    rows, columns = np.divmod(np.arange(mask.shape[1]), list(image_shape)[1])
    for row, size, radius in zip(mask, *result, strict=True):
        assert size == row.sum()
        wanted = rows[row].var() + columns[row].var() if row.any() else 0.0
        assert abs(radius - wanted) < 1e-9 * max(1, wanted)


@measure("wiring_length.wiring_length", image_shape=_pixels)
def _wiring_length(result: Any, mask: np.ndarray, weights: Any, image_shape: Any) -> None:
    rows, columns = np.divmod(np.arange(mask.shape[1]), list(image_shape)[1])
    squares = [rows[row].var() + columns[row].var() for row in mask if row.sum() > 1]
    same(result["field_squared_radius_mean"], float(np.mean(squares)) if squares else None)


@measure("small_world.clustering_and_path_length", rng=_generator)
def _pair(result: Any, mask: np.ndarray, weights: Any, rng: Any) -> None:
    _robins(result[0], mask, None)


@measure("small_world.small_world", rng=_rng, nulls=lambda draw, mask: draw.randint(1, 3), swaps_per_edge=lambda draw, mask: 2)
def _small_world(result: Any, mask: np.ndarray, weights: Any, rng: Any, nulls: int, swaps_per_edge: int) -> None:
    _robins(result.clustering, mask, None)


# Functions of degrees


def _degrees(draw: Draw) -> np.ndarray:
    n = draw.randint(1, 60)
    return draw.choice(
        (
            draw.numpy.integers(0, 9, size=n),
            draw.numpy.integers(0, 2, size=n),
            np.full(n, draw.randint(0, 5)),
            draw.numpy.zipf(2.5, size=n).clip(max=10**6),
        )
    )


def of_degrees(name: str) -> Any:
    """Return a decorator of an oracle of a number from degrees."""

    def enter(oracle: Any) -> Any:
        @calls("analysis", name)
        def make(draw: Draw) -> Call:
            def check(result: Quantity, *, degrees: Any) -> None:
                k = np.array([float(degree) for degree in degrees])
                same(result, oracle(k) if k.any() else None)

            return Call({"degrees": _degrees(draw)}, check)

        return oracle

    return enter


DEGREE = f"{MEASURES}.degree"
of_degrees(f"{DEGREE}.coefficient_of_variation")(lambda k: k.std() / k.mean())
of_degrees(f"{DEGREE}.moment_ratio")(lambda k: (k**2).mean() / k.mean())
of_degrees(f"{DEGREE}.gini")(lambda k: np.abs(k[:, None] - k[None, :]).sum() / (2 * len(k) ** 2 * k.mean()))
of_degrees(f"{DEGREE}.degree_entropy")(lambda k: -sum(s * np.log(s) for s in k[k > 0] / k.sum()))


@calls("analysis", f"{DEGREE}.binomial_cv")
def _binomial_cv(draw: Draw) -> Call:
    def check(result: Quantity, *, n_opposite: Any, density: Any) -> None:
        p = float(density)
        same(result, np.sqrt((1 - p) / (int(n_opposite) * p)) if p else None)

    return Call({"n_opposite": draw.randint(1, 60), "density": draw.choice((0.0, 1.0, draw.random()))}, check)


@calls("analysis", "analysis.fit_power_law")
def _fit(draw: Draw) -> Call:
    def check(result: Any, *, degrees: Any) -> None:
        k = np.asarray([float(degree) for degree in degrees])
        if hasattr(result, "reason"):
            assert (k > 0).sum() < 10 or len(set(k[k > 0])) < 2
            return
        assert result.alpha > 1
        assert result.n_tail == (k >= result.xmin).sum()
        assert 0 <= result.distance <= 1
        assert np.isfinite(result.standard_error)
        assert result.standard_error > 0

    return Call({"degrees": _degrees(draw)}, check)


@calls("analysis", "analysis.goodness_of_fit", weight=0.2)
def _goodness(draw: Draw) -> Call:
    def check(result: Any, **_: Any) -> None:
        assert result.p.value is None or 0 < result.p.value <= 1

    call = {"degrees": _degrees(draw), "rng": draw.seed(), "replicates": draw.randint(1, 5), "stop_after": draw.randint(1, 5)}
    return Call(call, check, fixed=("replicates",))


@calls("analysis", "analysis.tail_evidence", weight=0.05)
def _evidence(draw: Draw) -> Call:
    degrees = _degrees(draw)

    def check(result: Any, **_: Any) -> None:
        assert analysis.broido_clauset(result)
        assert set(result.better()).isdisjoint(result.worse())

    call = {"degrees": degrees, "rng": draw.seed(), "n_opposite": draw.choice((None, int(degrees.max()) + 1))}
    return Call({**call, "replicates": 3, "stop_after": 2}, check, fixed=("replicates",))


@calls("analysis", "analysis.defined", weight=0.2)
def _defined(draw: Draw) -> Call:
    value = draw.choice((0.5, -3, np.float32(0.25), float("nan"), float("inf")))
    return Call({"value": value}, lambda result, value: same(result, value), fixed=("value",))


@calls("analysis", "analysis.undefined", weight=0.1)
def _undefined(draw: Draw) -> Call:
    return Call(
        {"reason": "there is none"}, lambda result, reason: _equal((result.value, result.reason), (None, reason)), ("reason",)
    )


# Null models


def null(name: str, oracle: Any, weighted: bool = False, **parameters: Any) -> None:
    """Enter a null model of one layer."""

    @calls("analysis", f"{NULLS}.{name}")
    def make(draw: Draw) -> Call:
        mask = mask_of(draw)
        weights = draw.numpy.normal(size=int(mask.sum())) if weighted else weights_for(draw, mask)

        def check(result: BipartiteGraph, *, graph: Any, **_: Any) -> None:
            first = analysis.as_layered(graph).layers[0]
            assert (result.n_in, result.n_out, result.n_edges) == (first.n_in, first.n_out, first.n_edges)
            assert (np.diff(result.keys) > 0).all()
            oracle(result, first)

        call = {"graph": graph_of(draw, mask, weights), "rng": draw.seed(), **parameters}
        return Call(call, check, fixed=tuple(parameters))


def _same_degrees(result: BipartiteGraph, first: BipartiteGraph) -> None:
    assert result.out_degrees.tolist() == first.out_degrees.tolist()
    assert result.in_degrees.tolist() == first.in_degrees.tolist()


def _same_weights(result: BipartiteGraph, first: BipartiteGraph) -> None:
    assert result.keys.tolist() == first.keys.tolist()
    assert sorted(result.weights.tolist()) == sorted(first.weights.tolist())


null("models.erdos_renyi", lambda result, first: None)
null("models.permuted_weights", _same_weights, weighted=True)
null("switching.fixed_degrees", _same_degrees, swaps_per_edge=3)
null("lattice.ring_lattice", _same_degrees, swaps_per_edge=3)


@calls("analysis", f"{NULLS}.models.randomise_layers")
def _randomise(draw: Draw) -> Call:
    sizes = [draw.randint(1, 9) for _ in range(3)]
    layers = []
    for a, b in pairwise(sizes):
        mask = mask_of(draw, a, b)
        layers.append(BipartiteGraph(a, b, *np.nonzero(mask)[::-1], draw.numpy.normal(size=int(mask.sum()))))

    def check(result: LayeredGraph, *, network: LayeredGraph, null: str, **_: Any) -> None:
        assert result.layer_sizes == network.layer_sizes
        for layer, first in zip(result.layers, network.layers, strict=True):
            assert layer.n_edges == first.n_edges
            if null != "erdos_renyi":
                _same_degrees(layer, first)

    call = {"network": LayeredGraph(tuple(layers)), "null": draw.choice(sorted(NULL_MODELS)), "rng": draw.seed()}
    return Call({**call, "swaps_per_edge": 2}, check, fixed=("swaps_per_edge",))


# Reports


@calls("analysis", "analysis.get_measure", weight=0.5)
def _get_measure(draw: Draw) -> Call:
    def check(result: Any, *, name: str) -> None:
        assert result.name == name

    return Call({"name": draw.choice(analysis.measure_names())}, check)


@calls("analysis", "analysis.measure_names", weight=0.05)
def _measure_names(draw: Draw) -> Call:
    return Call({}, lambda result: _equal(set(FAST) <= set(result), True))


def measured(name: str, graph: Any, rng: Any) -> Any:
    """Measure one layer by the name of the measure."""
    return analysis.get_measure(name).layer(graph, rng)


@calls("analysis", "calls_of_analysis.measured", weight=8)
def _measured(draw: Draw) -> Call:
    mask = small(draw)

    def check(result: Any, *, name: str, graph: Any, rng: Any) -> None:
        assert result
        for key, quantity in result.items():
            assert isinstance(quantity, Quantity), key
            assert quantity.value is None or np.isfinite(quantity.value)
        own, k, d = mask_in(graph), mask_in(graph).sum(0), mask_in(graph).sum(1)
        if name == "degree":
            same(result["edges"], own.sum())
            same(result["density"], own.mean())
            same(result["source_degree_mean"], k.mean())
            same(result["target_degree_max"], d.max())
        if name == "reachability":
            same(result["dead_sources"], (k == 0).sum())
            same(result["dead_targets"], (d == 0).sum())
        if name == "clustering":
            same(result["butterflies"], _butterflies(own))
        if name == "spectral":
            singular = [*np.linalg.svd(own.astype(float), compute_uv=False), 0, 0][:3]
            for place in range(min(3, *own.shape)):
                same(result[f"singular_value_{place + 1}"], singular[place], 1e-6)

    names = SLOW if draw.random() < 0.002 else FAST
    call = {"name": draw.choice(names), "graph": graph_of(draw, mask, weights_for(draw, mask)), "rng": draw.seed()}
    return Call(call, check)


@calls("analysis", "analysis.describe", weight=0.5)
def _describe(draw: Draw) -> Call:
    mask = small(draw)

    def check(result: Any, *, graph: Any, nulls: int, measures: Any = None, **_: Any) -> None:
        if measures is None or "degree" in measures:
            assert result["layer 0"]["edges"].value == mask.sum()
        assert analysis.markdown(result)
        assert analysis.table(result).columns
        assert analysis.verdict_table(result).columns

    call = {
        "graph": graph_of(draw, mask, weights_for(draw, mask)),
        "nulls": draw.choice((0, 3)),
        "control": None,
        "rng": draw.seed(),
        "measures": ["degree", *draw.sample(FAST, 2)],
        "swaps_per_edge": 2,
        "request": (),
        "image_shape": None,
    }
    return Call(call, check, fixed=("nulls", "swaps_per_edge"))


@calls("analysis", "analysis.markdown", "analysis.table", "analysis.verdict_table", weight=0.3)
def _shown(draw: Draw) -> Call:
    mask = small(draw)
    report = analysis.describe(graph_of(draw, mask, None), nulls=0, measures=["degree"], rng=0)

    def check(result: Any, *, report: Any) -> None:
        assert "edges" in result if isinstance(result, str) else result.columns

    return Call({"report": report}, check)


@calls("analysis", "analysis.compare", weight=0.2)
def _compare(draw: Draw) -> Call:
    masks = [small(draw)]
    masks += [draw.numpy.permutation(masks[0].reshape(-1)).reshape(masks[0].shape) for _ in range(draw.randint(0, 3))]
    graphs = [BipartiteGraph(m.shape[1], m.shape[0], *np.nonzero(m)[::-1]) for m in masks]
    reports = [analysis.describe(graph, nulls=0, measures=["degree"], rng=0) for graph in graphs]

    def check(result: Any, **_: Any) -> None:
        edges = next(quantity for quantity in result.quantities if quantity.name == "edges")
        assert edges.mean == masks[0].sum()
        assert analysis.markdown(result)

    return Call({"reports": reports, "untrained": None, "shuffled": None, "rng": draw.seed()}, check)


@calls("analysis", "analysis.evolve", weight=0.5)
def _evolve(draw: Draw) -> Call:
    first = small(draw)
    masks = [first, *(mask_of(draw, first.shape[1], first.shape[0]) for _ in range(draw.randint(0, 3)))]
    graphs = [BipartiteGraph(m.shape[1], m.shape[0], *np.nonzero(m)[::-1]) for m in masks]

    def check(result: Any, *, recorded: Any, **_: Any) -> None:
        left, ever = first, first
        for state, mask in zip(result.layers[0], masks, strict=True):
            left, ever = left & mask, ever | mask
            assert state.n_edges == mask.sum()
            same(state.survival, left.sum() / first.sum() if first.any() else None)
            assert abs(state.exploration - ever.mean()) < 1e-12

    call = {"recorded": list(enumerate(graphs)), "measures": ["degree"], "births": None, "step": None, "rng": 0}
    return Call(call, check)
