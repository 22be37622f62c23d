"""Registries: names once entered stay, unknown ones list the choices."""

import pytest

from netsci_nn import ConfigError
from netsci_nn.registry import Registry


def test_register_look_up_and_iterate() -> None:
    registry: Registry[int] = Registry("number")
    assert registry.register("one")(1) == 1
    registry.register("two")(2)
    assert (registry["one"], len(registry), list(registry), "two" in registry, "six" in registry) == (
        1,
        2,
        ["one", "two"],
        True,
        False,
    )
    with pytest.raises(ConfigError, match="number 'one' is already registered"):
        registry.register("one")(3)
    assert registry["one"] == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("onee", r"unknown number 'onee' \(did you mean 'one'\?\); allowed are: one, two"),
        ("zzz", "unknown number 'zzz'; allowed are: one, two"),
        (7, "unknown number 7; allowed are: one, two"),
        ([], r"unknown number \[\]; allowed are: one, two"),
    ],
)
def test_unknown_names(name: object, message: str) -> None:
    registry: Registry[int] = Registry("number")
    registry.register("two")(2)
    registry.register("one")(1)
    with pytest.raises(ConfigError, match=message):
        registry[name]
