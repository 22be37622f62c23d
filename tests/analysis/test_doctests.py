"""The examples in the docstrings of `analysis` run, and every module of it can be imported."""

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import analysis
from analysis.measures import registry

MODULES = ["analysis", *(module.name for module in pkgutil.walk_packages(analysis.__path__, "analysis."))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    """Also those of decorated functions, which doctest takes for functions of the decorator's module."""
    finder, globs = doctest.DocTestFinder(exclude_empty=True), vars(module)
    decorated = [item for item in globs.values() if hasattr(item, "__wrapped__") and item.__module__ == module.__name__]
    inner = [test for item in decorated for test in finder.find(inspect.unwrap(item), item.__name__, module, globs)]
    return [test for test in [*finder.find(module), *inner] if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MEASURES", dict(registry._MEASURES))  # what an example registers is gone afterwards
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in examples_of(importlib.import_module(name)):
        failed, _ = runner.run(test)
        assert failed == 0, capsys.readouterr().out


def test_what_users_call_most_has_an_example() -> None:
    found = {test.name.rpartition(".")[2] for name in MODULES for test in examples_of(importlib.import_module(name))}
    assert {
        "as_layered", "as_bipartite", "BipartiteGraph", "describe", "compare", "evolve", "markdown", "fit_power_law",
        "to_powerlaw",
        "goodness_of_fit", "tail_evidence", "small_world", "modules", "barber_modularity", "robins_alexander_clustering",
        "average_path_length", "fixed_degrees", "erdos_renyi", "gini", "nodf", "coreness",
        "register_measure", "get_measure",
    } <= found  # fmt: skip
