"""Network science of sparse layers: measures of bipartite graphs, beside the null models that give them a meaning.

    report = analysis.describe(graph, nulls=200, rng=0)
    report.to_markdown()

Matrices have the shape [n_out, n_in]: targets are rows, as in a PyTorch weight. Importing this package only defines and
registers.
"""

# The order of these imports is the order of the measures in a report.
from . import (  # noqa: F401, I001
    degree,
    clustering,
    community,
    core,
    indices,
    mixing,
    nestedness,
    opsahl,
    paths,
    persistence,
    powerlaw,
    reachability,
    spectral,
    strength,
    tails,
    weighted_clustering,
)
from .bootstrap import goodness_of_fit
from .community import Modules, modules
from .comparison import SeedComparison, compare
from .description import describe
from .errors import AnalysisError
from .evolution import evolve
from .graphs import BipartiteGraph, LayeredGraph
from .intake import as_layered
from .quantity import Quantity, defined, undefined
from .registry import Measure, get_measure, measure_names, register_measure
from .report import TopologyReport
from .smallworld import SmallWorld, small_world
from .tails import broido_clauset, tail_evidence
from .verdicts import Verdict

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
    "get_measure",
    "goodness_of_fit",
    "measure_names",
    "modules",
    "register_measure",
    "small_world",
    "tail_evidence",
    "undefined",
]
