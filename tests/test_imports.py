"""What importing a package loads, in fresh interpreters; who may import whom is checked by `make lint`."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import analysis
import netsci_nn
from netsci_nn import cli
from netsci_nn.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {"igraph", "networkx", "sklearn", "matplotlib"}
COMMAND_LINE = {"typer", "rich", "pydantic", "jinja2", "powerlaw", "platformdirs"}

pytestmark = pytest.mark.programs  # each looks from an interpreter of its own


def loaded_by(program: str) -> set[str]:
    program += "\nimport sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["topology", "registry", "sampling", "allocation", "generators"])
def test_generators_need_neither_torch_nor_igraph(module: str) -> None:
    loaded = loaded_by(f"import netsci_nn.{module}")
    assert "netsci_nn" in loaded
    assert not loaded & {"torch", "igraph", "analysis", *PICTURES}


def test_conversions_load_the_library_they_need_and_no_torch() -> None:
    program = "from netsci_nn.topology import BipartiteTopology as T\nT(1, 1, [0], [0]).to_igraph()"
    assert "igraph" in loaded_by(program)
    assert not loaded_by(program) & {"torch", "networkx"}


def test_kernels_load_no_graph_library() -> None:
    loaded = loaded_by("import netsci_nn.kernels.auto")
    assert "torch" in loaded
    assert not loaded & {"igraph", "networkx"}


def test_analysis_imports_neither_torch_nor_netsci_nn() -> None:
    loaded = loaded_by(
        "import analysis; import pkgutil, importlib\n"
        "for m in pkgutil.iter_modules(analysis.__path__): importlib.import_module(f'analysis.{m.name}')"
    )
    assert "analysis" in loaded
    assert not loaded & {"torch", "netsci_nn"}


def test_import_of_the_library_loads_nothing_else() -> None:
    loaded = loaded_by("import netsci_nn; dir(netsci_nn)")
    assert "netsci_nn" in loaded
    assert not loaded & {"torch", "numpy", "numba", "scipy", "analysis", "torch_sparse", *PICTURES, *COMMAND_LINE}


def test_layers_and_training_load_what_they_compute_with_alone() -> None:
    loaded = loaded_by(
        "import torch, netsci_nn as ns\n"
        "model = ns.SparseMLP([6, 5, 4], density=0.5, rng=0)\n"
        "loss = model(torch.randn(3, 6)).sum(); loss.backward()\n"
        "ns.rewiring.apply_delta(model.layers[0], ns.rewiring.SparseEvolution(0.5).propose(model.layers[0], rng=0), None)"
    )
    assert {"torch", "numba", "netsci_nn"} <= loaded
    assert not loaded & {"analysis", "torch_sparse", "typer", "rich", "pydantic", "jinja2", "powerlaw", *PICTURES}


def test_analysis_loads_no_graph_library_and_no_pictures() -> None:
    loaded = loaded_by(
        "import analysis, netsci_nn as ns\nanalysis.as_layered(ns.generators.erdos_renyi(6, 5, density=0.5, rng=0))"
    )
    assert "analysis" in loaded
    assert not loaded & {*PICTURES, "jinja2", "powerlaw", "torch"}


def run_command(*arguments: str) -> str:
    """A program that runs the command line, whatever its exit code."""
    return f"""
import sys
from netsci_nn import cli
from netsci_nn.cli.app import app
sys.argv = ["netsci-nn", *{arguments!r}]
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
"""


def test_generate_loads_no_torch_and_no_pictures(tmp_path: Path) -> None:
    out = tmp_path / "t.npz"
    loaded = loaded_by(run_command("generate", "erdos_renyi", "10", "10", "--density", ".5", "--out", str(out)))
    assert netsci_nn.BipartiteTopology.load(out).n_edges == 50
    assert {"numba", "typer"} <= loaded
    assert not loaded & {"torch", "analysis", "jinja2", "powerlaw", *PICTURES}


def test_generate_draws_with_what_pictures_need(tmp_path: Path) -> None:
    arguments = ("--density", ".5", "--out", str(tmp_path / "t.npz"), "--plot", str(tmp_path / "t.png"))
    loaded = loaded_by(run_command("generate", "erdos_renyi", "10", "10", *arguments))
    assert (tmp_path / "t.png").stat().st_size > 0
    assert {"analysis", "matplotlib"} <= loaded
    assert "torch" not in loaded


def test_the_help_has_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["--help"])
    text = capsys.readouterr().out
    for name in cli.NAMES:
        help_of = getattr(importlib.import_module(f"netsci_nn.cli.{name}"), name).__doc__
        assert re.search(rf"\b{name}\s+{' '.join(help_of.split()[:3])}", text), name


def test_the_first_use_of_a_name_is_safe_in_threads() -> None:
    program = """
from concurrent.futures import ThreadPoolExecutor
import netsci_nn
names = netsci_nn.__all__ * 4
with ThreadPoolExecutor(8) as threads:
    found = list(threads.map(lambda name: getattr(netsci_nn, name), names))
assert all(value is getattr(netsci_nn, name) for name, value in zip(names, found))
"""
    assert "torch" in loaded_by(program)


def test_public_names_are_the_same_to_type_checkers_and_to_python() -> None:
    tree = ast.parse(Path(netsci_nn.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    checked = {(entry.name, node.module) for node in block.body for entry in node.names}
    homes = {(name, f"netsci_nn.{home}") for name, home in netsci_nn.HOMES.items()}
    rooms = {(name, "netsci_nn") for name in netsci_nn.__all__ if name not in netsci_nn.HOMES}
    assert checked == homes | rooms
    assert {name for name, _ in checked} == set(netsci_nn.__all__)
    assert set(netsci_nn.__all__) <= set(dir(netsci_nn))


def test_names_come_from_their_homes_and_rooms_are_modules() -> None:
    program = """
import importlib, types, netsci_nn
for name in netsci_nn.__all__:
    home = netsci_nn.HOMES.get(name)
    value = getattr(netsci_nn, name)
    if home is None:
        assert value is importlib.import_module(f"netsci_nn.{name}"), name
    else:
        assert value is getattr(importlib.import_module(f"netsci_nn.{home}"), name), name
    assert vars(netsci_nn)[name] is value, name  # found without a call from now on
assert isinstance(netsci_nn.training, types.ModuleType)
from netsci_nn import *
assert SparseLinear is netsci_nn.SparseLinear
"""
    assert "torch" in loaded_by(program)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'netsci_nn' has no attribute 'SparseLiner'"):
        _ = netsci_nn.SparseLiner
    with pytest.raises(ImportError, match="cannot import name 'nothing' from 'netsci_nn'"):
        from netsci_nn import nothing  # noqa: F401
    assert not hasattr(netsci_nn, "_private")


ROOMS = [room.name for room in pkgutil.iter_modules(netsci_nn.__path__) if room.name != "__main__"]


def test_every_room_can_be_the_first_to_be_imported() -> None:
    """Each in a fork of a process that has imported what takes long."""
    program = f"""
import importlib, os, numba, scipy.sparse, torch
for room in {ROOMS}:
    if os.fork() == 0:
        importlib.import_module("netsci_nn." + room)
        os._exit(0)
    assert os.wait()[1] == 0, room
"""
    assert "netsci_nn" not in loaded_by(program)


def test_training_needs_no_analysis_and_no_pictures() -> None:
    loaded = loaded_by("import netsci_nn.experiment, netsci_nn.training, netsci_nn.data")
    assert not loaded & {"analysis", "sklearn", "powerlaw", "typer", "jinja2"}


@pytest.mark.parametrize("package", [netsci_nn, analysis])
def test_every_public_name_exists(package: ModuleType) -> None:
    names = [package.__name__, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.") if m.ispkg)]
    for name in names:
        module = importlib.import_module(name)
        assert [public for public in getattr(module, "__all__", []) if not hasattr(module, public)] == [], name
