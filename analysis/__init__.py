"""Network science of sparse layers: measures of bipartite graphs, beside null models and with verdicts.

    report = analysis.describe(graph, nulls=200, rng=0)
    print(report.to_markdown())

Matrices have the shape [n_out, n_in]: targets are rows, as in a PyTorch weight. The rooms, each of which imports only those
before it: `base` (errors, quantities), `graph` (layers and networks, and what becomes one), `nulls` (null models) and `tails`
(power-law statistics), `measures` (one per file), `report` (describe, compare, evolve), `render` (Markdown, tables, pages,
pictures).
"""

from analysis.base.errors import AnalysisError
from analysis.base.quantity import Quantity, defined, undefined
from analysis.graph.bipartite import BipartiteGraph
from analysis.graph.intake import as_layered
from analysis.graph.values import LayeredGraph
from analysis.measures.community import Modules, modules
from analysis.measures.measure import Measure
from analysis.measures.registry import get_measure, measure_names, register_measure
from analysis.measures.small_world import SmallWorld, small_world
from analysis.render.markdown import markdown
from analysis.render.terminal import table, verdict_table
from analysis.report.describe import describe
from analysis.report.evolution import evolve
from analysis.report.seeds import SeedComparison, compare
from analysis.report.values import TopologyReport, Verdict
from analysis.tails.bootstrap import goodness_of_fit
from analysis.tails.evidence import broido_clauset, tail_evidence
from analysis.tails.fit import fit_power_law

# Values do not print themselves; their users may still ask them to.
TopologyReport.to_markdown = markdown
TopologyReport.to_table = table
TopologyReport.to_verdict_table = verdict_table
SeedComparison.to_markdown = markdown
SeedComparison.to_table = table

__all__ = [
    "AnalysisError",
    "BipartiteGraph",
    "LayeredGraph",
    "Measure",
    "Modules",
    "Quantity",
    "SeedComparison",
    "SmallWorld",
    "TopologyReport",
    "Verdict",
    "as_layered",
    "broido_clauset",
    "compare",
    "defined",
    "describe",
    "evolve",
    "fit_power_law",
    "get_measure",
    "goodness_of_fit",
    "markdown",
    "measure_names",
    "modules",
    "register_measure",
    "small_world",
    "table",
    "tail_evidence",
    "undefined",
    "verdict_table",
]
