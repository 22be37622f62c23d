"""Graphs of networks drawn by hand, as sets of edges between named neurons, and taint, which tells what reaches what."""

import igraph
import numpy as np
import torch
from torch import nn


def groups_of(graph: igraph.Graph) -> list[int]:
    return np.bincount(graph.vs["layer"]).tolist()


def drawn(graph: igraph.Graph, names: dict[str, list[str]]) -> set[tuple[str, str]]:
    """The edges by names of neurons, given per group as "a0 a1 a2"."""
    flat = [name for group in names.values() for name in group]
    assert len(flat) == graph.vcount()
    return {(flat[min(edge.tuple)], flat[max(edge.tuple)]) for edge in graph.es}


def neurons(**sizes: int) -> dict[str, list[str]]:
    return {group: [f"{group}{k}" for k in range(size)] for group, size in sizes.items()}


def full(a: list[str], b: list[str]) -> set[tuple[str, str]]:
    return {(source, target) for source in a for target in b}


def alike(a: list[str], b: list[str]) -> set[tuple[str, str]]:
    return set(zip(a, b, strict=True))


def reached(graph: igraph.Graph, outputs: np.ndarray) -> np.ndarray:
    """Which inputs are joined to which outputs by a path from lower to higher groups, bool [n_inputs, n_outputs]."""
    edges = [(min(edge.tuple), max(edge.tuple)) for edge in graph.es]
    flow = igraph.Graph(n=graph.vcount(), edges=edges, directed=True)
    n_inputs = sum(group == 0 for group in graph.vs["layer"])
    distances = np.array(flow.distances(range(n_inputs)))
    return np.isfinite(distances)[:, outputs]


def tainted(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    """Which input channels reach which outputs, by a NaN in all places of one channel."""
    model.eval()
    rows = []
    for channel in range(x.shape[1]):
        changed = x.clone()
        changed[:, channel] = torch.nan
        with torch.no_grad():
            rows.append(model(changed).isnan()[..., None].flatten(2).any(2).any(0).numpy())
    return np.array(rows)
