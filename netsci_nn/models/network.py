"""The graph of a whole network: all layers, joined at the neurons they share."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from netsci_nn import bridge
from netsci_nn.errors import TopologyError
from netsci_nn.layers import SparseLinear

if TYPE_CHECKING:
    import igraph


def sparse_layers(model: nn.Module) -> list[SparseLinear]:
    """Return the sparse layers of `model` in the order of their registration, which is the order of computation in a stack."""
    return [module for module in model.modules() if isinstance(module, SparseLinear)]


def network_graph(model: nn.Module) -> igraph.Graph:
    """Return all linear layers of a stack in one undirected igraph graph.

    Vertices carry `layer` (0 for the input neurons, then 1, 2, ...), edges carry `layer` (edges of layer l join vertex
    layers l and l + 1) and `weight`. Edges come layer by layer: edge k of layer l has the id k plus the number of edges
    before it. A dense `nn.Linear` counts as a complete bipartite graph.

    Args:
        model: a module whose linear layers follow each other in the order in which they are registered, each taking the
            output of the one before (`SparseMLP`, `nn.Sequential`).

    Raises:
        TopologyError: when there is no linear layer or two layers that follow each other do not fit.
    """
    layers = [_edges(module) for module in model.modules() if isinstance(module, (SparseLinear, nn.Linear))]
    if not layers:
        raise TopologyError(f"model is a {type(model).__name__} without linear layers; it must have at least one")
    topologies = [layer.topology for layer in layers]
    for position, (first, second) in enumerate(pairwise(topologies)):
        if first.n_out != second.n_in:
            raise TopologyError(
                f"layer {position} has n_out = {first.n_out} and layer {position + 1} has n_in = {second.n_in}; "
                "layers that follow each other must share a group of neurons"
            )
    sizes = [topologies[0].n_in, *(topology.n_out for topology in topologies)]
    return bridge.stack_to_igraph(topologies, np.concatenate([layer.weights for layer in layers]), sizes)


def _edges(module: nn.Module) -> bridge.WeightedTopology:
    if isinstance(module, SparseLinear):
        return bridge.WeightedTopology(module.topology, module.values.detach().cpu().numpy())
    assert isinstance(module, nn.Linear)
    full = bridge.from_mask(np.ones((module.out_features, module.in_features), dtype=np.bool_))
    return bridge.WeightedTopology(full, module.weight.detach().cpu().numpy().reshape(-1))
