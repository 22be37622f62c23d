"""Checks of what a driver is given: the rule, the layers, the averaged copies."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from netsci_nn.checks import as_list, as_whole_number
from netsci_nn.errors import ConfigError, TopologyError, shown
from netsci_nn.layers import SparseLayer
from netsci_nn.models import sparse_layers
from netsci_nn.registry import check_parameters
from netsci_nn.rewiring.apply import unwrapped
from netsci_nn.rewiring.rule import NEEDS, REWIRERS, Rewirer
from netsci_nn.rewiring.view import check_whole


def as_rule(rule: Any, fraction: Any = None) -> Rewirer:
    """Return a rule, made from its name and fraction if it is one, or raise a ConfigError."""
    if isinstance(rule, str):
        factory, parameters = REWIRERS[rule], {} if fraction is None else {"fraction": fraction}
        check_parameters(f"rewiring rule {rule!r}", factory, parameters)
        return factory(**parameters)
    if not callable(getattr(rule, "propose", None)) or isinstance(rule, type):
        raise ConfigError(f"rule is a {type(rule).__name__}; it must be the name of a rewiring rule, or a rule with propose")
    if fraction is not None:
        raise ConfigError(f"fraction and a {type(rule).__name__} are both given; give the rule its fraction when it is made")
    return rule


def needs(rule: Rewirer) -> tuple[str, ...]:
    """Return what a rule declares that it needs."""
    return tuple(getattr(rule, "needs", ()))


def needs_a_step(rule: Rewirer) -> bool:
    """Return whether a rule needs something of the step at which it acts."""
    return not {"gradient", "dense_gradient"}.isdisjoint(needs(rule))


def name_of(rule: Rewirer) -> str:
    """Return the name of a rule: its own, the registered one, or that of its class."""
    own = getattr(rule, "name", None)
    return own if isinstance(own, str) else next((n for n in REWIRERS if REWIRERS[n] is type(rule)), type(rule).__name__)


def check_rule(rule: Rewirer, layers: Sequence[SparseLayer], optimizer: torch.optim.Optimizer, every_steps: int | None) -> None:
    """Raise a ConfigError if the rule cannot work on these layers or with this optimiser."""
    for layer in layers:
        layer._check_own_weight("the edges cannot change")
        check_whole(layer)
    unknown = sorted(set(needs(rule)) - NEEDS.keys())
    if unknown:
        raise ConfigError(f"the rewiring rule needs {unknown[0]!r}; training can provide: {', '.join(NEEDS)}")
    inner = unwrapped(optimizer)
    if isinstance(inner, torch.optim.LBFGS):
        raise ConfigError(
            "optimizer is LBFGS, whose state cannot be remapped; it must be one that keeps a tensor per parameter "
            "(SGD, Adam, RMSprop, Rprop, ...)"
        )
    check = getattr(rule, "check", None)
    if check is not None:
        check(inner, every_steps)


def check_followers(model: nn.Module, followers: Sequence[nn.Module]) -> None:
    """Raise an error unless every follower has the model's sparse layers, with the same edges."""
    layers = sparse_layers(model)
    for number, follower in enumerate(followers):
        twins = sparse_layers(follower)
        if len(twins) != len(layers) or set(twins) & set(layers):
            problem = f"has {len(twins)} sparse layers and the model {len(layers)}"
            if set(twins) & set(layers):
                problem = "holds a layer of the model itself"
            raise ConfigError(f"followers[{number}] {problem}; it must be an averaged copy of the model")
    check_edges_of_followers(dict(enumerate(layers)), followers)


def check_edges_of_followers(layers: Mapping[int, SparseLayer], followers: Sequence[nn.Module]) -> None:
    """Raise a TopologyError unless the layers of every follower have the edges of these."""
    for place, follower in enumerate(followers):
        twins = sparse_layers(follower)
        unequal = [number for number, layer in layers.items() if twins[number]._topology != layer._topology]
        if unequal:
            raise TopologyError(
                f"followers[{place}] has other edges than the model in sparse layer {unequal[0]}; "
                "make the averaged copy of the model as it is when training starts, and let it follow every rewiring"
            )


def numbers_of(model: nn.Module, layers: Sequence[int] | None) -> list[int]:
    """Return the positions of the chosen layers among the model's sparse layers."""
    every = sparse_layers(model)
    return [every.index(layer) for layer in chosen_layers(model, layers)]


def chosen_layers(model: nn.Module, positions: Sequence[int] | None) -> list[SparseLayer]:
    """Return the layers of `model` that are rewired; a ConfigError if one does not exist."""
    layers = sparse_layers(model)
    if not layers:
        raise ConfigError(f"the model, a {type(model).__name__}, has no sparse layer that could be rewired")
    if positions is None:
        return layers
    chosen = as_list(positions)
    if not chosen or any(as_whole_number(position) is None for position in chosen):
        raise ConfigError(f"layers is {shown(positions)}; it must be a list of positions among the model's sparse layers")
    numbers = [int(position) for position in chosen]
    unknown = [position for position in numbers if not 0 <= position < len(layers)]
    if unknown:
        raise ConfigError(f"layers names layer {unknown[0]}; the model has the sparse layers 0 to {len(layers) - 1}")
    if len(set(numbers)) < len(numbers):
        raise ConfigError(f"layers is {numbers}; every layer may be named once")
    return [layers[position] for position in numbers]
