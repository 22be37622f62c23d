"""What importing a package loads, in fresh interpreters; who may import whom is checked by `make lint`."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import analysis
import netsci_nn

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "netsci_nn"


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


def test_conversions_load_the_library_they_need_and_no_torch() -> None:
    program = f"{WITHOUT_INIT}from netsci_nn.topology import BipartiteTopology as T\nT(1, 1, [0], [0]).to_igraph()"
    assert "igraph" in loaded_by(program)
    assert not loaded_by(program) & {"torch", "networkx"}


def test_kernels_load_no_graph_library() -> None:
    loaded = loaded_by(f"{WITHOUT_INIT}import netsci_nn.kernels.auto")
    assert "torch" in loaded
    assert not loaded & {"igraph", "networkx"}


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


@pytest.mark.parametrize("package", [netsci_nn, analysis])
def test_every_public_name_exists(package: ModuleType) -> None:
    names = [package.__name__, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.") if m.ispkg)]
    for name in names:
        module = importlib.import_module(name)
        assert [public for public in getattr(module, "__all__", []) if not hasattr(module, public)] == [], name
