"""Optimisers by name: those of torch whose state is tensors per parameter, which rewiring can remap."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from netsci_nn.checks import LARGEST_SINGLE, check_real
from netsci_nn.errors import ConfigError, shown
from netsci_nn.registry import Registry

OPTIMIZERS: Registry[Callable[..., torch.optim.Optimizer]] = Registry("optimizer")

for _class in (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adadelta,
    torch.optim.Adagrad,
    torch.optim.Adamax,
    torch.optim.ASGD,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
):
    OPTIMIZERS.register(_class.__name__.lower())(_class)


def make_optimizer(
    name: str, parameters: Iterable[torch.nn.Parameter], learning_rate: float, **options: Any
) -> torch.optim.Optimizer:
    """Return an optimiser.

    Args:
        name: in `OPTIMIZERS`.
        parameters: what it trains.
        learning_rate: 0 to 1e38; a tensor, for those that take one.
        options: its further arguments, as torch calls them; one that it does not have is an error unless it is 0.

    Raises:
        ConfigError: for an unknown name, an option that it does not have, or a value that it refuses.
    """
    factory = OPTIMIZERS[name]
    known = inspect.signature(factory).parameters
    if "lr" in options:
        raise ConfigError(f"lr is {options['lr']!r}; the learning rate is given as learning_rate")
    for option, value in options.items():
        if option not in known and value:
            allowed = ", ".join(sorted(set(known) - {"params", "lr"}))
            raise ConfigError(f"optimizer {name!r} has no option {option!r} = {value!r}; allowed are: {allowed}")
        # torch takes what only looks like a number or a switch, and fails when it computes with it.
        usual = known[option].default if option in known else None
        if isinstance(usual, bool) and not isinstance(value, bool | np.bool_):
            raise ConfigError(f"optimizer {name!r}: {option} is {shown(value)}; it must be true or false")
        if isinstance(usual, float | int) and not isinstance(usual, bool) and not isinstance(value, torch.Tensor):
            number = check_real(
                f"optimizer {name!r}: {option}", value, lambda number: abs(number) <= LARGEST_SINGLE, "up to 1e38", ConfigError
            )
            options[option] = value if isinstance(value, int) else number
    if not isinstance(learning_rate, torch.Tensor):
        learning_rate = check_real(
            "learning_rate", learning_rate, lambda value: 0 <= value <= LARGEST_SINGLE, "from 0 to 1e38", ConfigError
        )
    try:
        return factory(parameters, lr=learning_rate, **{o: value for o, value in options.items() if o in known})
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise ConfigError(f"optimizer {name!r}: {error}") from error
