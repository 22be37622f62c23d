"""Weights that are computed, by torch's parametrizations or its hooks, instead of being a parameter of their layer."""

from typing import Any, Self

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from netsci_nn.errors import ConfigError

REFUSED = {
    "weight_norm": "use netsci_nn.weight_norm(layer), whose norms are those of the targets",
    "spectral_norm": "use netsci_nn.spectral_norm(layer), whose norm is that of the matrix",
    "orthogonal": "netsci_nn.weight_norm(layer) and netsci_nn.spectral_norm(layer) are what a sparse layer has of this kind",
}


def refusal(name: str) -> ConfigError:
    """Return the error for a function of torch that would take the edges of a sparse layer for the lines of a matrix."""
    return ConfigError(
        f"torch's {name} takes the first dimension of a weight for its targets, but in a sparse layer it numbers the edges; "
        f"{REFUSED[name]}"
    )


def reason_against_change(layer: nn.Module) -> str | None:
    """Return why the weight of a layer cannot be written to, and what makes it a parameter again; None if it is one."""
    if "weight" in layer._parameters:
        return None
    if is_parametrized(layer, "weight"):
        return (
            "the layer's weight is parametrized, and computed anew whenever it is read; call "
            "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') first"
        )
    if "weight_orig" in layer._parameters:
        return (
            "the layer's weight is computed by a hook, from weight_orig if torch.nn.utils.prune has set it; call "
            "torch.nn.utils.prune.remove(layer, 'weight') first"
        )
    return "the layer's weight is no parameter of its own: it is computed from others, or a part of a flat parameter of FSDP"


def counts_every_edge(layer: nn.Module) -> bool:
    """Whether the weight is normalised by all edges, so that none may be inactive."""
    chains: Any = layer.parametrizations if is_parametrized(layer, "weight") else {"weight": []}
    return any(getattr(parametrization, "counts_every_edge", False) for parametrization in chains["weight"])


def put_back(layer: nn.Module, weight: nn.Parameter | None) -> None:
    """Make `weight` the first parameter of a layer again, as it was before torch took it away."""
    others = dict(layer._parameters)
    layer._parameters.clear()
    layer.__dict__.pop("_deleted_weight", None)
    layer._parameters.update({"weight": weight, **others})


class Parametrizations(nn.ModuleDict):
    """What stands in the place of the `ModuleDict` that torch gives to a parametrized sparse layer.

    It refuses parametrizations of `weight` that are not meant for edges, and leaves the layer as it was then.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.__dict__["layer"] = layer  # past nn.Module, for which it would be a part of its own part

    def __setitem__(self, name: str, chain: nn.Module) -> None:
        """Enter the parametrizations of one tensor, as the last step of `register_parametrization`."""
        own = self.layer.__dict__.pop("_deleted_weight", None)
        if name == "weight" and isinstance(chain, ParametrizationList):
            try:
                _check_of_edges(chain[0])
            except ConfigError:
                self._undo(own)
                raise
            chain.__class__ = _WeightParametrizations
        super().__setitem__(name, chain)

    def _undo(self, weight: nn.Parameter) -> None:
        """Make `weight` the parameter that it was, and the layer's class the one before."""
        layer: Any = self.layer
        delattr(type(layer), "weight")  # torch has made a class for this layer alone
        if len(self) == 0:
            del layer.parametrizations
            layer.__class__ = type(layer).__bases__[0]
        put_back(layer, weight)


class _WeightParametrizations(ParametrizationList):
    """The parametrizations of the weights of edges, to which no other ones can be appended."""

    def append(self, module: nn.Module) -> Self:
        """See `nn.ModuleList`."""
        _check_of_edges(module)
        return super().append(module)


def _check_of_edges(parametrization: nn.Module) -> None:
    """Raise a ConfigError if a parametrization is one of torch's own, which need a matrix."""
    kind = type(parametrization)
    name = {"_WeightNorm": "weight_norm", "_SpectralNorm": "spectral_norm", "_Orthogonal": "orthogonal"}.get(kind.__name__)
    if name is not None and kind.__module__ == "torch.nn.utils.parametrizations":
        raise refusal(name)
