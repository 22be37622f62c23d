"""Things that are chosen by name: one `Registry` per kind (generators, backends, rewirers, datasets, ...)."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from netsci_nn.errors import ConfigError, shown

T = TypeVar("T")

# What the program gives to a factory, and no user as a parameter of a choice.
RESERVED = ("n_in", "n_out", "n_edges", "density", "rng")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping from name to factory; `register` is the only way to add one.

    Args:
        kind: what the names stand for, for error messages (for example `"generator"`).
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that enters its argument under `name`.

        Raises:
            ConfigError: when `name` is taken.
        """

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ConfigError(f"{self.kind} {name!r} is already registered")
            self._entries[name] = entry
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        """Return the entry called `name`; an unknown name raises a `ConfigError` that lists the choices."""
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            close = get_close_matches(name, self._entries, n=1) if isinstance(name, str) else []
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ConfigError(
                f"unknown {self.kind} {shown(name)}{hint}; allowed are: {', '.join(sorted(self._entries))}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def takes(factory: Callable[..., Any], name: str) -> bool:
    """Return whether a factory has a parameter of that name."""
    if not isinstance(name, str):
        return False
    parameters = inspect.signature(factory).parameters
    return name in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def check_parameters(what: str, factory: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
    """Raise a ConfigError that lists the choices unless `factory` has every one of these parameters, other than `RESERVED`."""
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"{what}: parameters is a {type(parameters).__name__}; it must be a mapping from names to values")
    allowed = [name for name in inspect.signature(factory).parameters if name not in RESERVED]
    for name, value in parameters.items():
        if name not in allowed:
            raise ConfigError(
                f"{what}: unknown key {shown(name)} = {shown(value)}; allowed are: {', '.join(allowed) or 'none'}"
            )
