"""The examples in docstrings run and print what they say, and what the first pages show has one."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import analysis
import netsci_nn
from netsci_nn import dense_mlp, sparsify
from netsci_nn.intake import take_in
from netsci_nn.pruning import prune, restrict
from netsci_nn.topology import from_scipy
from netsci_nn.training import Evaluate, LearningRateSchedule, load_checkpoint

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md"]
MODULES = [module.name for module in pkgutil.walk_packages(netsci_nn.__path__, "netsci_nn.") if "__main__" not in module.name]
OURS = netsci_nn.__name__, analysis.__name__


EXTRAS = {"lightning_callback": "lightning", "trainer_callback": "transformers"}  # modules that need one


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    extra = EXTRAS.get(name.rpartition(".")[2])
    if extra is not None:
        pytest.importorskip(extra)  # tests/ecosystem runs what they are for
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    assert sum(len(test.examples) for test in finder.find(importlib.import_module("netsci_nn.allocation"))) >= 8


def resolved(module: str, attributes: list[str]) -> Any:
    """What is left of a dotted name when the attributes of classes and functions are taken off."""
    found: Any = importlib.import_module(module)
    for attribute in attributes:
        if not isinstance(found, ModuleType):
            break
        found = getattr(found, attribute)
    return found


def shown_in(code: str) -> Iterator[tuple[str, Any]]:
    """The functions and classes of ours that a page's code imports or reaches through a module, by the names it uses."""
    modules: dict[str, str] = {}
    nodes = list(ast.walk(ast.parse(code)))
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name.split(".")[0] in OURS}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            for alias in node.names:
                yield alias.name, resolved(node.module or "", [alias.name])
    for node in nodes:
        if isinstance(node, ast.Attribute):
            first, *attributes = ast.unparse(node).split(".")
            if first in modules and all(map(str.isidentifier, attributes)):
                yield ".".join([first, *attributes]), resolved(modules[first], attributes)


def shown_on(page: Path) -> dict[str, Any]:
    """By name what a page's Python blocks show."""
    blocks = re.findall(r"```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {name: thing for name, thing in shown_in("\n".join(blocks)) if inspect.isroutine(thing) or inspect.isclass(thing)}


SHOWN = {name: thing for page in PAGES for name, thing in shown_on(page).items()}


def test_the_pages_are_read() -> None:
    assert {"load_dataset", "ns.SparseMLP", "ns.rewiring.SparseEvolution", "Rewire", "train", "evaluate"} <= SHOWN.keys()
    assert {"ns.network_graph", "ns.generators.small_world", "analysis.describe"} <= SHOWN.keys()


FURTHER = {
    thing.__name__: thing
    for thing in (
        sparsify, dense_mlp, prune, restrict, take_in, from_scipy, Evaluate, LearningRateSchedule, load_checkpoint,
        analysis.register_measure,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", [*SHOWN, *FURTHER])
def test_what_the_pages_show_has_an_example(name: str) -> None:
    thing = {**SHOWN, **FURTHER}[name]
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    assert examples, f"{name} has no example in its docstring"
