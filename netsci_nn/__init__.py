"""Neural networks whose sparse layers are bipartite graphs: graph models generate them, training rewires them.

`import netsci_nn` alone loads nothing else: a public name, or a folder of the package, is imported when it is first used.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; `HOMES` says the same to Python
    from netsci_nn import allocation, generators, pruning, rewiring, schedules
    from netsci_nn.errors import CheckpointError, ConfigError, DataError, TopologyError
    from netsci_nn.export import export_onnx
    from netsci_nn.intake import load_pretrained
    from netsci_nn.layers import SparseConv1d, SparseConv2d, SparseLinear, spectral_norm, weight_norm
    from netsci_nn.models import (
        SparseMLP,
        SparsifySummary,
        dense_mlp,
        from_masks,
        network_graph,
        parameter_groups,
        sparsify,
        to_dense,
    )
    from netsci_nn.rewiring import Rewiring
    from netsci_nn.topology import BipartiteTopology

__all__ = [
    "BipartiteTopology",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Rewiring",
    "SparseConv1d",
    "SparseConv2d",
    "SparseLinear",
    "SparseMLP",
    "SparsifySummary",
    "TopologyError",
    "allocation",
    "dense_mlp",
    "export_onnx",
    "from_masks",
    "generators",
    "load_pretrained",
    "network_graph",
    "parameter_groups",
    "pruning",
    "rewiring",
    "schedules",
    "sparsify",
    "spectral_norm",
    "to_dense",
    "weight_norm",
]

HOMES = {
    "BipartiteTopology": "topology",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "Rewiring": "rewiring",
    "SparseConv1d": "layers",
    "SparseConv2d": "layers",
    "SparseLinear": "layers",
    "SparseMLP": "models",
    "SparsifySummary": "models",
    "TopologyError": "errors",
    "dense_mlp": "models",
    "export_onnx": "export",
    "from_masks": "models",
    "load_pretrained": "intake",
    "network_graph": "models",
    "parameter_groups": "models",
    "sparsify": "models",
    "spectral_norm": "layers",
    "to_dense": "models",
    "weight_norm": "layers",
}


if not TYPE_CHECKING:  # which would take every name for a public one

    def __getattr__(name: str) -> Any:
        """Import what is called `name` when it is first used; afterwards it is a plain attribute."""
        if name in HOMES:
            value = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
            globals()[name] = value
            return value
        if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
            return import_module(f"{__name__}.{name}")  # which makes it an attribute
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
