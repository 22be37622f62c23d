"""How the layers of a model are joined: a forward pass is recorded, read neuron by neuron, and becomes one graph."""

from netsci_nn.models.wiring.graph import network_graph, wiring_of

__all__ = ["network_graph", "wiring_of"]
