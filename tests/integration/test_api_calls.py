"""Every public function is called at random, legally and illegally; `tests/support/api_calls.py` runs longer."""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import api_calls
import hostile
import numpy as np
import pytest
from api_calls import AREAS, CHANGED, OK, REFUSED, UNTYPED, WRONG, Call, attempt, makers

import analysis
from netsci_nn.errors import ConfigError

PUBLIC = [
    "netsci_nn",
    *(
        f"netsci_nn.{name}"
        for name in ("allocation", "data", "generators", "intake", "kernels", "layers", "models", "pruning", "rewiring")
    ),
    "netsci_nn.models.blocks",
    *(f"netsci_nn.{name}" for name in ("sampling", "schedules", "topology", "training")),
    "analysis",
]
FILES = "reads or writes files: damaged files and kills are campaigns of their own"
RESULT = "what functions return, checked with them"
PROTOCOL = "a type, not called"
UNCALLED = {
    "load_topology load_weighted load_network load_wiring save_topology save_network save_wiring check_format": FILES,
    "take_in load_pretrained load_dataset export_onnx": FILES,
    "load_checkpoint save_checkpoint read_edges model_tensors Checkpoint JsonlLog RecordTopology log_digest": FILES,
    "Cost Mixing WeightedTopology WiredLayer Wiring MergedEdges SparsifySummary Intake Metric Quantity Modules": RESULT,
    "ChainRemoval SmallWorld Verdict SeedComparison TopologyReport Measure TrainingState Progress Event": RESULT,
    "Schedule": "made by the functions of `schedules`, and called with their results",
    "ArrayLike CheckpointError ConfigError DataError TopologyError AnalysisError Rewirer LiveLayer Drop Growth": PROTOCOL,
    "Layer Network": "plain values without checks; `analysis` checks what they hold",
    "Backend EdgeIndex": "made by `BACKENDS` and `edge_index`",
    "measure_crossover": "measures for seconds and writes to the user's cache",
    "traced_product": "an operator of compilers, behind `SparseLinear.forward`",
    "progress_display ProgressBar": "draw on a terminal",
    "Evaluate supervised": "called in `train`",
    "Concatenate Highway Residual": "made of modules by the functions of `blocks`, and called with them",
    "ModuleLayer": "made by `Rewiring` and `train`",
    "broido_clauset": "called with every result of `tail_evidence`",
    "register_measure": "changes the registry of the process",
}


def functions(module: ModuleType) -> dict[str, Any]:
    """Return the public functions and classes of a module by name."""
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    known = {name: getattr(module, name) for name in names}
    return {name: value for name, value in known.items() if inspect.isfunction(value) or inspect.isclass(value)}


def test_every_public_function_is_called() -> None:
    called = {maker.function for area in AREAS for maker in makers(area).values()}
    excused = {name for names in UNCALLED for name in names.split()}
    public = {name: value for module in PUBLIC for name, value in functions(importlib.import_module(module)).items()}
    assert {name for name, value in public.items() if value not in called} == excused


def test_every_measure_of_any_graph_is_called() -> None:
    called = {maker.function for maker in makers("analysis").values()}
    for package in (analysis.measures, analysis.nulls):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, value in functions(importlib.import_module(info.name)).items():
                is_measure = name in {analysis.get_measure(known).layer.__name__ for known in analysis.measure_names()}
                assert value in called or not hasattr(value, "__wrapped__") or is_measure, name


@pytest.mark.parametrize("area", AREAS)
def test_random_calls_are_right_or_refused(area: str) -> None:
    ends = [attempt(area, 0, number) for number in range(100)]
    assert [end for end in ends if end.is_failure] == []
    kinds = [end.kind for end in ends]
    assert kinds.count(OK) > 30
    assert kinds.count(REFUSED) > 10


@pytest.mark.programs
def test_calls_are_made_in_processes_of_their_own() -> None:
    kinds = [end.kind for end in api_calls.run("graphs", seed=0, n=3)]
    assert kinds == [attempt("graphs", 0, number).kind for number in range(3)]


def _call(monkeypatch: pytest.MonkeyPatch, function: Any, check: Any = lambda result, values: None) -> list[str]:
    """Return what became of 40 calls of a function."""
    make = lambda draw: Call({"values": np.arange(3)}, check)  # noqa: E731
    monkeypatch.setattr(api_calls, "makers", lambda area: {"own": api_calls.Maker(function, make, 1.0)})
    return [attempt("own", 0, number).kind for number in range(40)]


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def untyped(values: Any) -> None:
        values.no_such_thing()

    def refusing(values: Any) -> None:
        raise ConfigError("values is not allowed")

    def changing(values: Any) -> None:
        if isinstance(values, np.ndarray) and values.flags.writeable and values.dtype.kind == "i" and values.size:
            values[...] = 7

    def failing(result: Any, values: Any) -> None:
        raise AssertionError("wrong")

    assert set(_call(monkeypatch, untyped)) == {UNTYPED}
    assert set(_call(monkeypatch, refusing)) == {WRONG, REFUSED}  # a legal call may not be refused
    assert CHANGED in _call(monkeypatch, changing)
    assert set(_call(monkeypatch, lambda values: None, failing)) == {WRONG}
    assert set(_call(monkeypatch, lambda values: None)) == {OK}


def test_strangers_and_disguises_can_be_made() -> None:
    for make in hostile.STRANGERS.values():
        make()
    values = np.array([3, 1, 2])
    for name, make in hostile.disguises(values).items():
        assert [int(value) for value in make()] == [3, 1, 2], name
