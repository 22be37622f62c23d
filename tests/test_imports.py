"""Who imports whom: the layers of the design, and imports that do nothing heavy. Checked in fresh interpreters."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "netsci_nn"

# errors <- registry, topology <- bridge, io <- sampling, generators, kernels, data <- layers <- models, rewiring <- ...
LEVELS = [
    {"errors"},
    {"checks", "registry", "topology"},
    {"bridge", "io", "sampling"},
    {"allocation", "generators", "kernels", "data"},
    {"layers"},
    {"models", "pruning", "rewiring"},
    {"training", "experiment"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def loaded_by(program: str) -> set[str]:
    program += "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


# `netsci_nn/__init__.py` offers the layers and so imports torch; without it, the lower packages must stand alone.
WITHOUT_INIT = f"""
import sys, types
package = types.ModuleType("netsci_nn"); package.__path__ = [{str(PACKAGE)!r}]; sys.modules["netsci_nn"] = package
"""


@pytest.mark.parametrize("module", ["topology", "registry", "sampling", "allocation", "generators"])
def test_generators_need_neither_torch_nor_igraph(module: str) -> None:
    loaded = loaded_by(f"{WITHOUT_INIT}import netsci_nn.{module}")
    assert "netsci_nn" in loaded
    assert not loaded & {"torch", "igraph", "analysis"}


def test_bridge_and_io_import_torch_lazily() -> None:
    loaded = loaded_by(f"{WITHOUT_INIT}import netsci_nn.bridge, netsci_nn.io")
    assert "igraph" in loaded
    assert "torch" not in loaded


def test_analysis_imports_neither_torch_nor_netsci_nn() -> None:
    loaded = loaded_by(
        "import analysis; import pkgutil, importlib\n"
        "for m in pkgutil.iter_modules(analysis.__path__): importlib.import_module(f'analysis.{m.name}')"
    )
    assert "analysis" in loaded
    assert not loaded & {"torch", "netsci_nn"}


def test_import_of_the_library_is_light() -> None:
    loaded = loaded_by("import netsci_nn")
    assert "torch" in loaded
    # Not among them is matplotlib, which igraph itself imports where it is installed.
    assert not loaded & {"analysis", "sklearn", "powerlaw", "typer", "jinja2", "torch_sparse"}


def test_training_needs_no_analysis_and_no_pictures() -> None:
    loaded = loaded_by("import netsci_nn.experiment, netsci_nn.training, netsci_nn.data")
    assert not loaded & {"analysis", "sklearn", "powerlaw", "typer", "jinja2"}


def imports_of(path: Path, *, module_level: bool = False) -> set[str]:
    """The absolute names that a file imports, outside `if TYPE_CHECKING` blocks."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if module_level and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return names


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_imports_only_from_its_own_part_or_below(path: Path) -> None:
    own = part_of(path)
    assert own in LEVEL, f"{own} is not in the table above"
    parts = {name.split(".")[1] for name in imports_of(path, module_level=True) if name.startswith("netsci_nn.")} & LEVEL.keys()
    beside = {"training", "experiment"} | ({"bridge", "io"}) | {"checks", "registry", "topology"} | {"models", "rewiring"}
    for part in parts - {own}:
        assert LEVEL[part] < LEVEL[own] or (LEVEL[part] == LEVEL[own] and {part, own} <= beside | {"sampling"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_forbidden_imports(path: Path) -> None:
    own, names = part_of(path), imports_of(path)
    roots = {name.split(".")[0] for name in names}
    if own != "cli":
        assert "analysis" not in roots
        assert "typer" not in roots
    if own not in ("bridge",):
        assert "igraph" not in roots
    if own in ("generators", "sampling", "topology", "registry", "errors", "io", "data"):
        assert "torch" not in roots
    if own == "layers":
        assert not any(name.startswith(("netsci_nn.generators", "netsci_nn.rewiring")) for name in names)
    if own == "kernels":
        assert not any(name.startswith("torch.nn") for name in names)
    assert "pickle" not in roots
