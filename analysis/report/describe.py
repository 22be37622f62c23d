"""`describe`: measure a graph, its control and replicates of the null models, and judge what was found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.base.checks import as_generator, check_count, is_iterable
from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity
from analysis.graph.intake import as_layered
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import Measure
from analysis.measures.registry import get_measure, select_measures
from analysis.measures.small_world import INDICES, REFERENCE
from analysis.measures.small_world import NAME as SMALL_WORLD
from analysis.measures.wiring_length import wiring_measure
from analysis.nulls.models import WEIGHT_NULL
from analysis.report.observe import observe, observe_control, unmeasured, with_indices
from analysis.report.permutation import adjusted, compare_with_replicates
from analysis.report.replicates import Key, Progress, Replicates, draw_replicates, section_edges
from analysis.report.values import NullComparison, QuantityReport, SectionReport, TopologyReport
from analysis.report.verdicts import section_verdicts

INTERRUPTED = "interrupted before the first replicate"
NO_CHAIN = "groups of neurons that are no chain"


def describe(
    graph: Any,
    *,
    nulls: int = 200,
    control: Any = None,
    rng: int | np.random.Generator,
    measures: Iterable[str] | None = None,
    swaps_per_edge: int = 10,
    request: Iterable[str] = (),
    image_shape: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> TopologyReport:
    """Measure a graph layer by layer, and as a whole unless it is a single layer, beside its null models.

    Every null model randomises each layer by itself and leaves links alone: "erdos_renyi" keeps the sides and the number of
    edges, "fixed_degrees" keeps every neuron's degree. The whole network is then measured on the same replicate. Quantities
    into which weights enter are instead compared with the same edges under "permuted_weights", if every layer has weights. The
    p-value is that of a two-sided permutation test (`analysis.report.values.P_VALUE`). It is exact as long as the quantity is
    defined in every replicate. The report's verdicts are explained in `analysis.report.verdicts`.

    Three measures are expensive, "community", "opsahl" and "weighted_opsahl": on more than 2,000 edges (of the layer, or of
    the network for its section) they are measured on the graph alone unless `request` names them. The first two are
    repeated on fewer replicates if it is clear that nothing is to be found (`analysis.report.replicates.is_settled`).

    Ctrl-C ends the run: the report then holds the measures and the replicates so far (B says how many) and is marked as
    interrupted. Only before the first measure is there nothing to report, and the KeyboardInterrupt is raised.

    Args:
        graph: igraph, networkx, scipy biadjacency of shape [n_out, n_in], a topology, a sparse layer, or a list of these,
            one per layer; see `as_layered`.
        nulls: number of replicates of each null model, at least 0; 0 measures the graph alone, which is fast.
        control: a graph of the same layer sizes whose layers join the same neurons, such as the network before training, whose
            values stand beside; or None.
        rng: seed or generator; the same seed gives the same report.
        measures: names of the measures, or None for all; see `measure_names`.
        swaps_per_edge: attempted switches per edge of "fixed_degrees", at least 1.
        request: names of measures whose null distributions are wanted however many edges there are.
        image_shape: (height, width) if the inputs are the pixels of an image, row after row; the first layer is then also
            measured by `analysis.measures.wiring_length`.
        progress: called after every replicate with the number done and the number in all (`nulls` for each null model); or
            None.

    Returns:
        The report. Cost: (1 + 2 * nulls) times that of the measures; about 36 s on two cores for 784-300-100-10 with 26,770
        edges and 200 replicates.

    Raises:
        AnalysisError: the graph, the control or an argument is not usable.

    >>> import analysis, networkx
    >>> report = analysis.describe(networkx.complete_bipartite_graph(4, 3), nulls=0, measures=["degree"], rng=0)
    >>> report["layer 0"]["density"].value, report.verdicts["layer 0"]["sparse"].conclusion
    (1.0, 'contradicted')
    """
    nulls, swaps_per_edge = check_count("nulls", nulls, 0), check_count("swaps_per_edge", swaps_per_edge)
    if progress is not None and not callable(progress):
        raise AnalysisError(f"progress is {progress!r}; a function of (done, total) or None is needed")
    seeds = np.random.SeedSequence(int(as_generator(rng).integers(2**63))).spawn(4)
    network, chosen = as_layered(graph), select_measures(measures)
    requested = _requested(request, chosen)
    start = None if control is None else _matching(control, network)
    if image_shape is not None:
        if not np.array_equal(network.ends[0][0], np.flatnonzero(network.groups == 0)):
            raise AnalysisError("image_shape is given, but the sources of layer 0 are not the neurons of group 0, one each")
        chosen = (*chosen, wiring_measure(network.layers[0], image_shape))
    is_skipped = {
        (section, measure.name)
        for section, n_edges in section_edges(network).items()
        for measure in chosen
        if measure.is_on_request(n_edges) and measure.name not in requested
    }
    observed, controlled, drawn = dict[Key, Quantity](), dict[Key, Quantity](), Replicates.none(network)
    try:
        observe(network, chosen, np.random.default_rng(seeds[0]), nulls, observed)
        if start is not None:
            observe_control(start, chosen, np.random.default_rng(seeds[1]), nulls, controlled)
        draw_replicates(
            network, chosen, observed, drawn, nulls=nulls, seeds=seeds[2:], swaps_per_edge=swaps_per_edge,
            skip=is_skipped | unmeasured(network), progress=progress,
        )  # fmt: skip
    except KeyboardInterrupt:
        if not observed:
            raise
        drawn.interrupted = nulls == 0 or min(drawn.drawn.values()) < nulls

    def report() -> TopologyReport:
        found, values = with_indices(network, chosen, observed, drawn, np.random.default_rng(seeds[0]))
        reports = {
            key: _quantity_report(key, quantity, controlled.get(key), drawn, values, chosen, nulls, is_skipped)
            for key, quantity in found.items()
        }
        sections = _sections(network, _with_q_values(reports))
        judged = tuple(replace(section, verdicts=section_verdicts(section)) for section in sections)
        return TopologyReport(judged, min(drawn.drawn.values()), swaps_per_edge, drawn.interrupted, nulls)

    try:
        return report()
    except KeyboardInterrupt:
        # It takes a moment only, and everything that was waited for is there.
        return report()


def _quantity_report(
    key: Key,
    observed: Quantity,
    control: Quantity | None,
    drawn: Replicates,
    values: Mapping[str, Mapping[Key, list[Quantity]]],
    measures: Sequence[Measure],
    nulls: int,
    is_skipped: set[tuple[str, str]],
) -> QuantityReport:
    measure = next(measure for measure in measures if measure.name == key[1])
    comparisons = {
        null: _comparison(key, observed, null, drawn, values[null].get(key, []), measure, nulls, is_skipped)
        for null in drawn.drawn
    }
    return QuantityReport(key[1], key[2], observed, control, comparisons, measure.depends_on_weights(key[2]))


def _requested(request: Iterable[str], chosen: Sequence[Measure]) -> frozenset[str]:
    if isinstance(request, str) or not is_iterable(request):
        raise AnalysisError(f"request is {request!r}; a sequence of names of measures is needed")
    names = frozenset(get_measure(name).name for name in request)
    missing = names - {measure.name for measure in chosen}
    if missing:
        raise AnalysisError(f"request names {', '.join(sorted(missing))}; those are not among the measures of this report")
    return names


def _matching(control: Any, network: LayeredGraph) -> LayeredGraph:
    try:
        other = as_layered(control)
    except AnalysisError as error:
        raise AnalysisError(f"control: {error}") from error
    if other.layer_sizes != network.layer_sizes:
        raise AnalysisError(
            f"control has the layer sizes {other.layer_sizes}; they must be those of the graph, {network.layer_sizes}"
        )
    if not other.is_wired_like(network):
        raise AnalysisError("control has layers that join other neurons, or other links, than the graph; they must be the same")
    return other


_INDEX_NAMES = frozenset(f"small_world_{name}" for name in INDICES)


def _comparison(
    key: Key,
    observed: Quantity,
    null: str,
    drawn: Replicates,
    replicates: Sequence[Quantity],
    measure: Measure,
    nulls: int,
    is_skipped: set[tuple[str, str]],
) -> NullComparison:
    section, name, quantity = key
    if measure.is_fixed(null, quantity):
        return NullComparison("fixed", reason="the null model keeps it by construction")
    if null != WEIGHT_NULL and measure.depends_on_weights(quantity):
        return NullComparison("not computed", reason="the null model draws graphs without weights")
    is_index = name == SMALL_WORLD and quantity in _INDEX_NAMES
    if is_index and null != REFERENCE:
        return NullComparison("not computed", reason="every replicate would need a lattice and null models of its own")
    if not measure.under_nulls and not is_index:
        return NullComparison("not computed", reason="the measure is for the observed graph only")
    if nulls == 0:
        return NullComparison("not computed", reason="no replicates were asked for")
    if (section, name) in is_skipped:
        limit = f"null distributions of {name!r} are computed by default up to {measure.null_edge_limit} edges"
        return NullComparison("not computed", reason=f"{limit}; ask for them with request=({name!r},)")
    if drawn.drawn[null] == 0:
        return NullComparison("not computed", reason=INTERRUPTED)
    comparison = compare_with_replicates(observed, replicates)
    if (null, section, name) in drawn.settled and comparison.reason is None:
        return replace(comparison, reason="the replicates ended early, as it lies well inside them")
    return comparison


def _with_q_values(reports: dict[Key, QuantityReport]) -> dict[Key, QuantityReport]:
    """The reports with Benjamini and Hochberg's q beside every p; see `analysis.report.values.Q_VALUE`."""
    places = [(key, null, c.p) for key, report in reports.items() for null, c in report.nulls.items() if c.p is not None]
    for (key, null, _), q in zip(places, adjusted([p for _, _, p in places]), strict=True):
        report = reports[key]
        reports[key] = replace(report, nulls={**report.nulls, null: replace(report.nulls[null], q=q)})
    return reports


def _sections(network: LayeredGraph, reports: dict[Key, QuantityReport]) -> tuple[SectionReport, ...]:
    shapes: list[tuple[str, tuple[int, ...], int, str]] = [
        (f"layer {index}", (layer.n_in, layer.n_out), layer.n_edges, network.details[index])
        for index, layer in enumerate(network.layers)
    ]
    if not network.is_single:
        shapes.append(("network", network.layer_sizes, network.n_edges, "" if network.is_chain else NO_CHAIN))
    return tuple(
        SectionReport(name, sizes, n_edges, tuple(report for key, report in reports.items() if key[0] == name), details=details)
        for name, sizes, n_edges, details in shapes
    )
