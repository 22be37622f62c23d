"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import netsci_nn

MODULES = [module.name for module in pkgutil.walk_packages(netsci_nn.__path__, "netsci_nn.") if "__main__" not in module.name]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    assert sum(len(test.examples) for test in finder.find(importlib.import_module("netsci_nn.allocation"))) >= 8
