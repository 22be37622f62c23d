"""Networks, optimisers, schedules, losses and rewiring rules from an experiment file; and their weights and multiply-adds."""

import re
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from netsci_nn.checks import one_per_layer
from netsci_nn.data import Dataset, input_statistic
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.experiment.config import STORED, Experiment, GeneratorConfig, MethodConfig
from netsci_nn.experiment.stored import stored
from netsci_nn.generators import GENERATORS, Generator, check_parameters, takes
from netsci_nn.models import SparseMLP, cost, dense_mlp, linear_layers, sparsify
from netsci_nn.models.named import MODELS
from netsci_nn.rewiring import REWIRERS
from netsci_nn.sampling import Rng
from netsci_nn.training import LOSSES, LearningRateSchedule, Rewire, make_optimizer
from netsci_nn.training.losses import Loss


def build_model(experiment: Experiment, method: MethodConfig, dataset: Dataset, seed: int) -> nn.Module:
    """Return the untrained network of a method; the same seed gives the same network.

    Raises:
        DataError: if the layer sizes do not fit the dataset.
        ConfigError, TopologyError: if a generator's parameters are not allowed, or the method prunes, so that its network is
            made from a trained one.
    """
    sizes = experiment.model.layer_sizes
    if sizes[0] != dataset.n_features or sizes[-1] < dataset.n_classes:
        raise DataError(
            f"model.layer_sizes is {sizes}; dataset {dataset.name!r} needs {dataset.n_features} inputs "
            f"and at least {dataset.n_classes} outputs"
        )
    if method.pruning is not None:
        raise ConfigError(f"method {method.name!r} prunes; its network is made from a trained one, see run_method")
    settings = experiment.model
    rng = np.random.default_rng([seed, 0])
    device = device_of(experiment)
    if not settings.is_mlp:
        return _build_named(experiment, method, dataset, rng).to(device)
    if method.is_dense:
        return dense_mlp(sizes, activation=settings.activation, bias=settings.bias, rng=rng).to(device)
    choices = method.generator if isinstance(method.generator, list) else [method.generator] * (len(sizes) - 1)
    return SparseMLP(
        sizes,
        density=density_of(experiment, method),
        generator=[_build_generator(choice, dataset) for choice in choices],
        activation=settings.activation,
        bias=settings.bias,
        backend=settings.backend,
        rng=rng,
    ).to(device)


def _build_named(experiment: Experiment, method: MethodConfig, dataset: Dataset, rng: np.random.Generator) -> nn.Module:
    """Return a model of `MODELS`, whose layers of 8 sources or more are sparse unless the method is dense."""
    model = dense_model(experiment, rng)
    if method.is_dense:
        return model
    names = list(sparse_sizes(experiment))
    densities = one_per_layer("density", density_of(experiment, method), len(names))
    choices = one_per_layer("generator", method.generator, len(names))
    layers: dict[str, dict[str, Any]] = {}
    for name, density, choice in zip(names, densities, choices, strict=True):
        generator = _build_generator(choice, dataset)
        has_density = {"density": density} if takes(generator, "n_edges") else {}
        layers[f"^{re.escape(name)}$"] = {"generator": generator, **has_density}
    sparsify(model, layers=layers, backend=experiment.model.backend, rng=rng)
    return model


def dense_model(experiment: Experiment, rng: Rng = 0) -> nn.Module:
    """Return the dense network of section [model]; the same seed gives the same one."""
    settings = experiment.model
    if settings.is_mlp:
        return dense_mlp(settings.layer_sizes, activation=settings.activation, bias=settings.bias, rng=rng)
    return MODELS[settings.name](*settings.layer_sizes, **settings.parameters, rng=rng)


def sparse_sizes(experiment: Experiment) -> dict[str, tuple[int, int]]:
    """Return sources and targets of the layers that methods make sparse, by name, in the order of the network's modules."""
    if experiment.model.is_mlp:
        return {f"layers.{number}": pair for number, pair in enumerate(pairwise(experiment.model.layer_sizes))}
    return {entry.name: (entry.n_in, entry.n_out) for entry in sparsify(dense_model(experiment), density=1.0, rng=0).sparse}


def density_of(experiment: Experiment, method: MethodConfig) -> float | list[float]:
    """Return the density of a method: its own, or that of section [model]."""
    return experiment.model.density if method.density is None else method.density


def build_optimizer(experiment: Experiment, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser that section [training] describes."""
    training = experiment.training
    options = {"momentum": training.momentum, "weight_decay": training.weight_decay} | training.optimizer.parameters
    return make_optimizer(training.optimizer.name, model.parameters(), training.learning_rate, **options)


def build_schedule(experiment: Experiment) -> LearningRateSchedule | None:
    """Return the callback of the learning-rate schedule that section [training] describes, or None if there is none."""
    training = experiment.training
    if training.schedule is not None:
        return LearningRateSchedule(training.schedule.name, **training.schedule.parameters)
    if training.learning_rate_decay != 1:
        return LearningRateSchedule("exponential", gamma=training.learning_rate_decay)
    return None


def build_loss(experiment: Experiment) -> Loss:
    """Return the loss that section [training] names; a ConfigError says which parameters it takes."""
    choice = experiment.training.loss
    check_parameters(f"loss {choice.name!r}", LOSSES[choice.name], choice.parameters)
    return LOSSES[choice.name](**choice.parameters)


def device_of(experiment: Experiment) -> torch.device:
    """Return the device that section [training] names.

    Raises:
        ConfigError: if this machine does not have it.
    """
    name = experiment.training.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[device.type]
    if (device.index or 0) >= available:
        raise ConfigError(f"training.device is {name!r}; this machine has {available} devices of the kind {device.type!r}")
    return device


def build_rewirings(method: MethodConfig) -> list[Rewire]:
    """Return a callback for every rule of a method.

    Raises:
        ConfigError: if a rule's parameters are not allowed.
    """
    callbacks = []
    for rule in method.rewirings:
        factory = REWIRERS[rule.name]
        check_parameters(f"rewiring {rule.name!r}", factory, rule.parameters)
        times = rule.every_epochs, rule.every_steps
        made = factory(**rule.parameters)
        callbacks.append(Rewire(made, rule.layers, *times, until_epoch=rule.until_epoch, optimizer_state=rule.optimizer_state))
    return callbacks


def _build_generator(choice: GeneratorConfig, dataset: Dataset) -> Generator:
    """Bind a generator's parameters; what it needs to know of the data and is not given comes from the training inputs."""
    generator, parameters = stored if choice.name == STORED else GENERATORS[choice.name], choice.parameters
    statistic = parameters.pop("statistic", "mean") if choice.name == "input_weighted" else ""
    check_parameters(f"generator {choice.name!r}", generator, parameters)
    if choice.name == "input_weighted" and "weights" not in parameters:
        parameters["weights"] = input_statistic(statistic, dataset.x_train, dataset.y_train)
    if choice.name == "csti":
        parameters.setdefault("inputs", dataset.x_train)
    return partial(generator, **parameters)


def count_weights(model: nn.Module) -> int:
    """Return the number of weights of all sparse layers, linear layers and convolutions; biases are not counted."""
    return sum(layer.weight.numel() for layer in linear_layers(model, convolutions=True).values())


def count_dense_weights(experiment: Experiment) -> int:
    """Return the number of weights of the dense network."""
    if experiment.model.is_mlp:
        return sum(n_in * n_out for n_in, n_out in pairwise(experiment.model.layer_sizes))
    return count_weights(dense_model(experiment))


def training_multiply_adds(model: nn.Module, n_rows: int, n_features: int) -> int:
    """Return the multiply-adds of the gradient steps of one epoch.

    Per row there are those of the forward pass (see `netsci_nn.models.cost`), as many for the gradient of the weights and,
    except in the first layer, for the gradient of what it reads. Biases, activations, the update and rewiring are not counted.
    """
    of_pass = cost(model, torch.zeros(1, n_features)).layers
    counts = [layer.n_macs for layer in of_pass if layer.role in ("convolution", "linear")]
    return n_rows * (3 * sum(counts) - counts[0])
