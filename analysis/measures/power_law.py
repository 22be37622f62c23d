"""Power laws of the degrees: the discrete fit of each side, and the evidence for and against it."""

import numpy as np

from analysis.base.quantity import Quantities, Quantity, defined, undefined
from analysis.graph.arrays import LongArray
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.values import LayeredGraph
from analysis.measures.measure import EVERYTHING, Measure, takes_any_layer
from analysis.tails.evidence import CATEGORIES, THIN_TAILS, broido_clauset, extremes_p, tail_evidence
from analysis.tails.fit import NoFit, fit_power_law


def power_law_quantities(prefix: str, degrees: LongArray) -> Quantities:
    """The fit as `{prefix}_alpha` (with its standard error at this xmin), `_xmin`, `_ks_distance` and `_tail_size`.

    All are not defined if there is no fit.
    """
    names = [f"{prefix}_{name}" for name in ("alpha", "xmin", "ks_distance", "tail_size")]
    fit = fit_power_law(degrees)
    if isinstance(fit, NoFit):
        return dict.fromkeys(names, undefined(fit.reason))
    values = (defined(fit.alpha, fit.standard_error), defined(fit.xmin), defined(fit.distance), defined(fit.n_tail))
    return dict(zip(names, values, strict=True))


def _network_power_law(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    """Fit to the degrees of all neurons together, incoming plus outgoing edges."""
    return power_law_quantities("degree_power_law", network.degrees)


@takes_any_layer
def power_law(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Discrete power-law fit of each side, p(k) = k^-alpha / zeta(alpha, xmin) for whole k >= xmin.

    By `fit_power_law`: maximum likelihood for alpha and the smallest Kolmogorov-Smirnov distance for xmin, after Clauset,
    Shalizi and Newman (2009), SIAM Review 51, 661-703. A fit exists for almost any degrees, so it does not say that they follow
    a power law; see `analysis.tail_evidence`.

    Returns:
        The quantities of `power_law_quantities` with the prefixes `source_power_law` and `target_power_law`: alpha above
        1, xmin at least 1, the distance in [0, 1], the tail size in 2..n.
    """
    return {
        **power_law_quantities("source_power_law", graph.out_degrees),
        **power_law_quantities("target_power_law", graph.in_degrees),
    }


def evidence_quantities(
    prefix: str, degrees: LongArray, rng: np.random.Generator, n_opposite: int | None = None
) -> dict[str, Quantity]:
    """The evidence for a power law as named quantities; about 0.5 s.

    `{prefix}_bootstrap_p`; `{prefix}_span` (largest degree / xmin); `{prefix}_vs_{alternative}` and
    `{prefix}_vs_{alternative}_p` for each of `ALTERNATIVES`; `{prefix}_{alternative}_extremes_p` for each of `THIN_TAILS`;
    `{prefix}_broido_clauset`, the category as its place in `CATEGORIES`, 0 (Not scale free) to 5 (Strongest).
    """
    evidence = tail_evidence(degrees, rng, n_opposite)
    result = {f"{prefix}_bootstrap_p": evidence.goodness.p, f"{prefix}_span": evidence.span}
    for alternative, (ratio, p) in evidence.ratios.items():
        result |= {f"{prefix}_vs_{alternative}": ratio, f"{prefix}_vs_{alternative}_p": p}
    for alternative in THIN_TAILS:
        fit = evidence.fit
        largest = undefined(fit.reason) if isinstance(fit, NoFit) else extremes_p(degrees, fit, alternative, n_opposite)
        result[f"{prefix}_{alternative}_extremes_p"] = largest
    category = evidence.span if isinstance(evidence.fit, NoFit) else defined(CATEGORIES.index(broido_clauset(evidence)))
    return result | {f"{prefix}_broido_clauset": category}


def _network_ratios(network: LayeredGraph, rng: np.random.Generator) -> Quantities:
    return evidence_quantities("degree_power_law", network.degrees, rng)


@takes_any_layer
def power_law_ratios(graph: BipartiteGraph, rng: np.random.Generator) -> Quantities:
    """Evidence for a power law on each side: bootstrap, likelihood ratios, category; measured on the observed graph only.

    The quantities of `evidence_quantities` with the prefixes `source_power_law` and `target_power_law`.
    """
    return {
        **evidence_quantities("source_power_law", graph.out_degrees, rng, graph.n_out),
        **evidence_quantities("target_power_law", graph.in_degrees, rng, graph.n_in),
    }


FIT = Measure("power_law", power_law, network=_network_power_law, fixed_by={"fixed_degrees": EVERYTHING})
EVIDENCE = Measure(
    "power_law_ratios", power_law_ratios, network=_network_ratios, fixed_by={"fixed_degrees": EVERYTHING}, under_nulls=False
)
