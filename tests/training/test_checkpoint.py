"""Checkpoints: resumed training equals the uninterrupted one to the bit, and damaged files change nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn, optim

from netsci_nn import CheckpointError, ConfigError, SparseMLP
from netsci_nn.digest import KEY
from netsci_nn.rewiring import DeepR, SoftDeepR, SparseEvolution
from netsci_nn.training import Checkpoint, Event, LearningRateSchedule, Rewire, TrainingState, load_checkpoint, train

X, Y = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.02, weight_decay=1e-3),
}
optimizers = pytest.mark.parametrize("make_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


class Net(nn.Module):
    """A sparse network that also draws from torch's global generator while it trains."""

    def __init__(self, seed: int, density: float = 0.5) -> None:
        super().__init__()
        self.sparse = SparseMLP([6, 9, 3], density=density, rng=seed)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.sparse(self.dropout(x))


def run(
    path: Path, model: nn.Module, optimizer: optim.Optimizer, rng: np.random.Generator, epochs: int, **arguments: Any
) -> TrainingState:
    callbacks = [
        Rewire(SparseEvolution(0.3)),
        LearningRateSchedule("exponential", gamma=0.9),
        Checkpoint(path),
        *arguments.pop("callbacks", []),
    ]
    return train(model, optimizer, X, Y, epochs=epochs, batch_size=7, rng=rng, callbacks=callbacks, **arguments)


def stop_after(epoch: int) -> Callable[[Event, TrainingState], None]:
    def stop(event: Event, state: TrainingState) -> None:
        if event is Event.STEP and state.epoch == epoch:
            state.interrupted = True

    return stop


def snapshot(model: nn.Module, optimizer: optim.Optimizer) -> tuple[dict[str, Any], str]:
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return tensors, str(optimizer.state_dict())


def assert_equal_state(first: nn.Module, second: nn.Module) -> None:
    one, two = first.state_dict(), second.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@optimizers
def test_resumed_training_equals_the_uninterrupted_one_to_the_bit(
    make_optimizer: Callable[[Any], optim.Optimizer], tmp_path: Path
) -> None:
    path, whole = tmp_path / "last.safetensors", Net(0)
    torch.manual_seed(3)
    whole_optimizer = make_optimizer(whole.parameters())
    run(tmp_path / "whole.safetensors", whole, whole_optimizer, np.random.default_rng(5), 6)

    torch.manual_seed(3)
    part = Net(0)
    run(path, part, make_optimizer(part.parameters()), np.random.default_rng(5), 6, callbacks=[stop_after(3)])
    torch.manual_seed(99)
    resumed, rng = Net(8, density=0.8), np.random.default_rng(77)
    optimizer = make_optimizer(resumed.parameters())
    completed = load_checkpoint(path, resumed, optimizer, rng)
    assert completed == (3, 18)
    state = run(path, resumed, optimizer, rng, 6, completed=completed)
    assert (state.epoch, state.step) == (6, 36)
    assert_equal_state(resumed, whole)
    assert [layer.topology for layer in resumed.sparse.layers] == [layer.topology for layer in whole.sparse.layers]
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        for name, value in whole_optimizer.state[a].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(optimizer.state[b][name]))
    assert optimizer.param_groups[0]["lr"] == whole_optimizer.param_groups[0]["lr"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path, model = tmp_path / "last.safetensors", Net(0)
    torch.manual_seed(0)
    run(path, model, optim.Adam(model.parameters(), lr=0.02), np.random.default_rng(0), 2)
    return path


def assert_refused(path: Path, message: str, model: nn.Module | None = None, optimizer: optim.Optimizer | None = None) -> None:
    """The error names the file, and model, optimiser and both random generators are as before."""
    model = Net(1) if model is None else model
    optimizer = optim.Adam(model.parameters(), lr=0.02) if optimizer is None else optimizer
    rng, before, torch_rng = np.random.default_rng(4), snapshot(model, optimizer), torch.get_rng_state()
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, model, optimizer, rng)
    tensors, state = snapshot(model, optimizer)
    assert all(torch.equal(tensors[name], before[0][name]) for name in before[0])
    assert state == before[1]
    assert rng.bit_generator.state == np.random.default_rng(4).bit_generator.state
    assert torch.equal(torch.get_rng_state(), torch_rng)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_truncated_checkpoint(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert_refused(saved, r"file '.*last\.safetensors' cannot be read: .")


def test_missing_checkpoint(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere.safetensors", r"file '.*nowhere\.safetensors' cannot be read: .")


def rewrite(path: Path, tensors: dict[str, Any] | None = None, progress: Any = None, is_sealed: bool = True) -> None:
    """Change a checkpoint; without its digest, as in version 0.1.0, it must be found out by what is wrong with it."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        if not is_sealed:
            del metadata[KEY]
        content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    for name, change in (tensors or {}).items():
        altered = change(content.pop(name))
        content |= {} if altered is None else {name: altered}
    if isinstance(progress, str):
        metadata["progress"] = progress
    else:
        known = json.loads(metadata["progress"])
        metadata["progress"] = json.dumps({**known, **(progress(known) if callable(progress) else progress or {})})
    save_file(content, path, metadata=metadata)


def test_rewriting_itself_does_no_harm(saved: Path) -> None:
    rewrite(saved)
    model = Net(1)
    assert load_checkpoint(saved, model, optim.Adam(model.parameters(), lr=0.02), np.random.default_rng(0)) == (2, 12)


def with_last(value: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: torch.cat([tensor[:-1], torch.tensor([value], dtype=tensor.dtype)])


def shorter(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:-1]


def without(tensor: torch.Tensor) -> None:
    return None


RNG = np.random.default_rng(0).bit_generator.state


# The second layer is altered, so that a loader that checks as it goes has changed the first one.
ALTERED = {
    "source out of range": {"tensors": {"model.sparse.layers.1.src": with_last(9)}},
    "target out of order": {"tensors": {"model.sparse.layers.1.dst": with_last(-1)}},
    "values of another length": {"tensors": {"model.sparse.layers.1.weight": shorter}},
    "births of another length": {"tensors": {"model.sparse.layers.1.birth": shorter}},
    "moment of another length": {"tensors": {"optimizer.2.exp_avg": shorter}},
    "moment missing": {"tensors": {"optimizer.2.exp_avg": without}},
    "weights missing": {"tensors": {"model.sparse.layers.1.weight": without}},
    "random state damaged": {"tensors": {"torch_rng": shorter}},
    "progress no JSON": {"progress": "{"},
    "progress empty": {"progress": "{}"},
    "progress no table": {"progress": "[1]"},
    "progress with another generator": {"progress": {"rng": {"bit_generator": "nonsense"}}},
    "progress with negative epoch": {"progress": {"epoch": -1}},
    "groups missing": {"progress": {"param_groups": []}},
    "number of a parameter is none": {"progress": {"optimizer_scalars": {"q": {"step": 1}}}},
    "scalars no table": {"progress": {"optimizer_scalars": [1]}},
    "learning rate no number": {"progress": lambda known: {"param_groups": [known["param_groups"][0] | {"lr": "fast"}]}},
    "too few betas": {"progress": lambda known: {"param_groups": [known["param_groups"][0] | {"betas": [0.9]}]}},
    "scalars of no parameter": {"progress": {"optimizer_scalars": {"77": {"step": 1}}}},
    "progress with an endless number": {"progress": {"rng": {**RNG, "state": {"state": 10**40, "inc": 1}}}},
}


@pytest.mark.parametrize("change", ALTERED.values(), ids=ALTERED.keys())
def test_altered_checkpoint_is_named_and_nothing_is_half_loaded(saved: Path, change: dict[str, Any]) -> None:
    rewrite(saved, **change, is_sealed=False)
    assert_refused(saved, r"file '.*last\.safetensors' (?!.*another digest).")


@pytest.mark.parametrize("change", ALTERED.values(), ids=ALTERED.keys())
def test_whatever_is_altered_has_another_digest(saved: Path, change: dict[str, Any]) -> None:
    rewrite(saved, **change)
    assert_refused(saved, r"file '.*last\.safetensors' cannot be read: its content has changed since it was written")


def test_no_flipped_bit_passes(saved: Path) -> None:
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    model = Net(1)
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for end in (header, len(content)):  # most of the file are numbers, which nothing but the digest protects
        for bit in rng.choice(8 * end, 150, replace=False):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            saved.write_bytes(flipped)
            with pytest.raises(CheckpointError, match=r"file '.*last\.safetensors' "):
                load_checkpoint(saved, model, optimizer, np.random.default_rng(0))


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "last.safetensors", Net(0)
    optimizer, rng = optim.SGD(model.parameters(), lr=0.1), np.random.default_rng(0)

    def load(configuration: str | None) -> tuple[int, int]:
        return load_checkpoint(path, model, optimizer, rng, configuration=configuration)

    for configuration in ("seed 0", None):
        callbacks = [Checkpoint(path, configuration)]
        train(model, optimizer, X, Y, epochs=1, batch_size=7, rng=rng, callbacks=callbacks)
        assert load(configuration) == load(None) == (1, 6)
        with pytest.raises(CheckpointError, match="belongs to another training: to other settings or another seed"):
            load("seed 1")


def test_a_network_with_other_numbers_of_sources_is_refused(tmp_path: Path) -> None:
    path, rng = tmp_path / "last.safetensors", np.random.default_rng(0)
    for sizes, others in (([10, 4], [1000, 4]), ([10, 8, 4], [12, 8, 4])):
        model, other = SparseMLP(sizes, density=0.5, rng=0), SparseMLP(others, density=0.5, rng=0)
        x = torch.rand(40, 10)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        train(model, optimizer, x, Y, epochs=1, batch_size=7, rng=rng, callbacks=[Checkpoint(path)])
        assert_refused(path, r"sizes' = \[10, \d\]; the model has \[1", other, optim.SGD(other.parameters(), lr=0.1))
        with pytest.raises(RuntimeError, match=r"the state dict joins \[10, \d\] neurons, the layer \[1"):
            other.load_state_dict(model.state_dict())


def test_a_checkpoint_before_a_rewiring_is_refused(tmp_path: Path) -> None:
    model = Net(0)
    optimizer, rule = optim.SGD(model.parameters(), lr=0.1), SparseEvolution(0.3)
    callbacks = [Rewire(rule), Checkpoint(tmp_path / "last.safetensors"), Rewire(rule)]
    with pytest.raises(ConfigError, match="callbacks has Checkpoint before Rewire; it must come after it"):
        train(model, optimizer, X, Y, epochs=1, batch_size=7, rng=0, callbacks=callbacks)
    assert list(tmp_path.iterdir()) == []


RULES: dict[str, Callable[[], list[Rewire]]] = {
    "SET twice": lambda: [Rewire(SparseEvolution(0.3), every_steps=4), Rewire(SparseEvolution(0.2))],
    "soft Deep R twice": lambda: [Rewire(SoftDeepR(l1=1e-3), [0]), Rewire(SoftDeepR(l1=1e-2))],
    "soft Deep R and SET": lambda: [Rewire(SoftDeepR(l1=1e-3)), Rewire(SparseEvolution(0.3))],
    "one rule twice": lambda: [Rewire(DeepR(l1=1e-3))] * 2,
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("compiled", [None, False], ids=["either engine", "torch"])
def test_two_rules_on_one_layer_resume_to_the_same_bits(
    rules: Callable[[], list[Rewire]], compiled: bool | None, tmp_path: Path
) -> None:
    path = tmp_path / "last.safetensors"

    def start() -> tuple[SparseMLP, optim.Optimizer]:
        model = SparseMLP([6, 9, 3], density=0.5, rng=0)
        return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def go(model: SparseMLP, optimizer: optim.Optimizer, rng: Any, *more: Any, **arguments: Any) -> None:
        callbacks = [*rules(), *more]
        train(model, optimizer, X, Y, epochs=6, batch_size=7, rng=rng, callbacks=callbacks, compiled=compiled, **arguments)

    def stop(event: Event, state: TrainingState) -> None:
        state.interrupted = event is Event.EPOCH and state.epoch == 3

    stop.needs_every_step = False  # type: ignore[attr-defined]
    whole, optimizer = start()
    go(whole, optimizer, np.random.default_rng(5))
    part, optimizer = start()
    go(part, optimizer, np.random.default_rng(5), Checkpoint(path), stop)
    resumed, optimizer = start()
    rng = np.random.default_rng(77)
    completed = load_checkpoint(path, resumed, optimizer, rng)
    assert completed[0] == 3
    go(resumed, optimizer, rng, completed=completed)
    assert_equal_state(resumed, whole)


def test_some_other_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    assert_refused(path, r"file '.*other\.safetensors' is not a checkpoint of this program")


def test_another_model_or_optimiser(saved: Path) -> None:
    assert_refused(saved, "'dropout.bias' is only in the model", nn.ModuleDict({"dropout": nn.Linear(2, 2)}))
    assert_refused(
        saved, "does not belong to this model: '.*' is only in the file", nn.ModuleDict(), optim.Adam(Net(1).parameters())
    )
    wider = Net(1)
    wider.sparse = SparseMLP([6, 10, 3], density=0.5, rng=0)
    assert_refused(saved, r"holds 'model\.sparse\.layers\.0\.bias' of shape|holds 'sparse\.layers\.0\.bias' of shape", wider)
    model = Net(1)
    assert_refused(saved, "holds the state of Adam; the optimizer is SGD", model, optim.SGD(model.parameters(), lr=0.1))
    groups = [{"params": model.sparse.layers[0].parameters()}, {"params": model.sparse.layers[1].parameters()}]
    assert_refused(saved, r"file '.*last\.safetensors' .", model, optim.Adam(groups, lr=0.1))
