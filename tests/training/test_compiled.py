"""Compiled training steps against the same training by autograd, and rewiring between mini-batches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from netsci_nn import SparseLinear, SparseMLP, generators
from netsci_nn.data import load_dataset
from netsci_nn.errors import ConfigError, TopologyError
from netsci_nn.rewiring import EdgeDelta, EdgeView
from netsci_nn.sampling import distinct_cells
from netsci_nn.topology import BipartiteTopology
from netsci_nn.training import Event, Rewire, TrainingState, evaluate, train
from netsci_nn.training.compiled import trainer

N_ROWS, SIZES = 130, [37, 50, 21, 10]


@pytest.fixture(autouse=True)
def _threads() -> Any:
    """Two threads for every test here, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def data(dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal((N_ROWS, SIZES[0]))).to(dtype)
    return x, torch.from_numpy(rng.integers(SIZES[-1], size=N_ROWS))


def network(kind: str, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(1)
    if kind == "mlp":
        return SparseMLP(SIZES, density=[0.2, 0.3, 0.6], rng=0).to(dtype)
    if kind == "no bias":
        return SparseMLP(SIZES, density=0.3, bias=False, rng=0).to(dtype)
    if kind == "one layer":
        return nn.Sequential(SparseLinear(generators.erdos_renyi(37, 10, density=0.3, rng=0))).to(dtype)
    hub = BipartiteTopology.from_edges([(0, j) for j in range(50)], 37, 50)
    empty = BipartiteTopology(50, 10, [], [])
    layers = {
        "hub": [SparseLinear(hub), nn.ReLU(), SparseLinear(generators.erdos_renyi(50, 10, density=0.5, rng=0))],
        "no edge": [SparseLinear(generators.erdos_renyi(37, 50, density=0.5, rng=0)), nn.ReLU(), SparseLinear(empty)],
        "leaky": [
            SparseLinear(generators.erdos_renyi(37, 50, density=0.5, rng=0), bias=False),
            nn.LeakyReLU(0.1),
            SparseLinear(generators.erdos_renyi(50, 20, density=0.5, rng=1)),
            nn.Identity(),
            SparseLinear(generators.erdos_renyi(20, 10, density=1.0, rng=2)),
        ],
    }[kind]
    return nn.Sequential(*layers).to(dtype)


def trained(kind: str, dtype: torch.dtype, compiled: bool, epochs: int = 2, batch_size: int = 16, **sgd: Any) -> torch.Tensor:
    """All parameters and momenta after training, as one vector."""
    model = network(kind, dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **sgd)
    train(model, optimizer, *data(dtype), epochs=epochs, batch_size=batch_size, rng=3, compiled=compiled)
    momenta = [state["momentum_buffer"].flatten() for state in optimizer.state.values() if "momentum_buffer" in state]
    assert all(parameter.grad is None or not compiled for parameter in model.parameters())
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()] + momenta)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("kind", ["mlp", "no bias", "one layer", "hub", "no edge", "leaky"])
@pytest.mark.parametrize("sgd", [{}, {"momentum": 0.9}, {"momentum": 0.5, "weight_decay": 0.01}], ids=str)
def test_an_epoch_equals_autograd_in_double(kind: str, sgd: dict[str, float]) -> None:
    a, b = (trained(kind, torch.float64, compiled, **sgd) for compiled in (True, False))
    assert a.shape == b.shape
    assert relative(a, b) < 1e-10


@pytest.mark.parametrize("batch_size", [1, 7, 16, 33, 64, 100, 130, 200])
def test_every_batch_size(batch_size: int) -> None:
    a, b = (trained("mlp", torch.float64, compiled, batch_size=batch_size, momentum=0.9) for compiled in (True, False))
    assert relative(a, b) < 1e-10


@pytest.mark.parametrize("batch_size", [7, 64, 130])
def test_shared_between_threads(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "SHARED_WORK", 0)
    a, b = (trained("mlp", torch.float64, compiled, batch_size=batch_size, momentum=0.9) for compiled in (True, False))
    assert relative(a, b) < 1e-10


@pytest.mark.parametrize(("batch_size", "work"), [(64, 0), (130, 0), (130, 10**9), (100, 10**9)])
def test_the_same_bits_on_any_number_of_threads(batch_size: int, work: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared because they are much work, or because no thread takes as many rows at once; and not shared."""
    monkeypatch.setattr(trainer, "SHARED_WORK", work)
    found = []
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        found.append(trained("mlp", torch.float32, True, batch_size=batch_size, momentum=0.9))
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_the_engine_is_the_same_on_any_number_of_threads() -> None:
    model = network("mlp", torch.float32)
    x, optimizer = torch.rand(2000, SIZES[0]), torch.optim.SGD(model.parameters(), lr=0.1)
    for threads in (1, 2, 16):
        torch.set_num_threads(threads)
        assert trainer.reason_against(model, optimizer, x, 1024) is None
        assert "more than 1024 rows" in str(trainer.reason_against(model, optimizer, x, 1025))


def test_one_step_in_single_precision_from_any_state() -> None:
    """Ten states, each reached by some training; one further step of both kinds from there."""
    x, y = data(torch.float32)
    for seed in range(10):
        steps = []
        for compiled in (True, False):
            model = network("mlp", torch.float32)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            train(model, optimizer, x, y, epochs=seed, batch_size=20, rng=seed, compiled=False)
            before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
            train(model, optimizer, x[:20], y[:20], epochs=1, batch_size=20, rng=seed, compiled=compiled)
            steps.append((torch.cat([p.detach().flatten() for p in model.parameters()]), before))
        (a, before), (b, _) = steps
        assert relative(a, b) < 1e-5
        assert relative(a - before, b - before) < 1e-3  # the step itself, of which rounding of the weights takes a share


def test_same_seed_same_bits() -> None:
    assert torch.equal(trained("mlp", torch.float32, True), trained("mlp", torch.float32, True))


@pytest.mark.parametrize("work", [0, 10**9], ids=["in parts", "whole"])
def test_the_loss_does_not_depend_on_the_clock(work: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many mini-batches one call of compiled code trains depends on how long the last call took."""
    monkeypatch.setattr(trainer, "SHARED_WORK", work)
    losses = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(trainer, "SECONDS_PER_CALL", seconds)
        model = network("mlp", torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorded: list[float] = []

        def keep(event: Event, state: TrainingState, recorded: list[float] = recorded) -> None:
            if event is Event.EPOCH:
                recorded.append(state.record["train_loss"])

        keep.needs_every_step = False  # type: ignore[attr-defined]
        train(model, optimizer, *data(torch.float32), epochs=5, batch_size=4, rng=3, compiled=True, callbacks=[keep])
        losses.append(recorded)
    assert losses[0] == losses[1]


def test_not_a_number_stays_one() -> None:
    x, y = data(torch.float32)
    x[5, 3] = float("nan")
    model = network("mlp", torch.float32)
    losses: list[float] = []

    def note(event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH:
            losses.append(state.record["train_loss"])

    note.needs_every_step = False  # type: ignore[attr-defined]
    train(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        x,
        y,
        epochs=1,
        batch_size=130,
        rng=0,
        callbacks=[note],
        compiled=True,
    )
    assert np.isnan(losses[0])
    assert not torch.isfinite(model.layers[0].weight).all()


def frozen(model: nn.Module) -> nn.Module:
    next(model.parameters()).requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m, x: (m, torch.optim.Adam(m.parameters()), x), "the optimizer is Adam"),
        (lambda m, x: (m, torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True), x), "Nesterov"),
        (lambda m, x: (m, torch.optim.SGD(m.layers[0].parameters(), lr=0.1), x), "does not hold exactly"),
        (lambda m, x: (m.double(), torch.optim.SGD(m.parameters(), lr=0.1), x.double()), None),
        (lambda m, x: (nn.Sequential(m, nn.Dropout()), torch.optim.SGD(m.parameters(), lr=0.1), x), "holds a SparseMLP"),
        (lambda m, x: (frozen(m), torch.optim.SGD(m.parameters(), lr=0.1), x), "frozen"),
    ],
)
def test_what_does_not_fit_is_refused_or_trained_step_by_step(change: Any, reason: str | None) -> None:
    model, optimizer, x = change(network("mlp", torch.float32), data(torch.float32)[0])
    y = data(torch.float32)[1]
    train(model, optimizer, x, y, epochs=1, batch_size=50, rng=0)
    if reason is not None:
        with pytest.raises(ConfigError, match=reason):
            train(model, optimizer, x, y, epochs=1, batch_size=50, rng=0, compiled=True)


def test_a_callback_that_needs_every_step_sees_every_step() -> None:
    seen: list[int] = []
    model = network("mlp", torch.float32)
    callback = lambda event, state: seen.append(state.step) if event is Event.STEP else None  # noqa: E731
    train(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        *data(torch.float32),
        epochs=2,
        batch_size=50,
        rng=0,
        callbacks=[callback],
    )
    assert seen == [1, 2, 3, 4, 5, 6]


class Turnover:
    """Replace the `count` smallest weights by random new edges."""

    def __init__(self, count: int = 3, surplus: int = 0) -> None:
        self.count, self.surplus = count, surplus

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        assert edges.learning_rate == 0.1
        dropped = np.sort(np.argsort(np.abs(edges.weight), kind="stable")[: self.count])
        keys = np.delete(edges.keys(), dropped)
        n_cells = edges.n_in * edges.n_out
        grown = rng.permutation(distinct_cells(n_cells, self.count + self.surplus, rng, occupied=keys))
        return EdgeDelta(dropped, grown % edges.n_in, grown // edges.n_in, 0.01 * rng.standard_normal(len(grown)))


@pytest.mark.parametrize("every_steps", [1, 3])
@pytest.mark.parametrize("surplus", [0, 2, -1])
def test_rewiring_between_mini_batches_equals_the_step_by_step_one(every_steps: int, surplus: int) -> None:
    results = []
    for compiled in (True, False):
        model = network("mlp", torch.float64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        rewire = Rewire(Turnover(surplus=surplus), layers=[0, 1], every_steps=every_steps)
        parameters = list(model.parameters())
        train(model, optimizer, *data(torch.float64), epochs=3, batch_size=20, rng=5, callbacks=[rewire], compiled=compiled)
        assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
        results.append((model, optimizer))
    (a, a_sgd), (b, b_sgd) = results
    for first, second in zip(a.layers, b.layers, strict=True):
        assert first.topology == second.topology
        assert torch.equal(first.birth, second.birth)
        assert relative(first.weight.detach(), second.weight.detach()) < 1e-10
        momenta = [sgd.state[layer.weight]["momentum_buffer"] for sgd, layer in ((a_sgd, first), (b_sgd, second))]
        assert relative(*momenta) < 1e-10
    assert a.layers[0].topology != network("mlp", torch.float64).layers[0].topology
    assert a.layers[2].topology == network("mlp", torch.float64).layers[2].topology


class Repetition:
    """Grow an edge that is there already."""

    def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
        return EdgeDelta(np.array([0]), edges.src[1:2], edges.dst[1:2], np.zeros(1))


def test_a_delta_that_does_not_fit_is_refused_between_mini_batches() -> None:
    model = network("mlp", torch.float32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    callbacks = [Rewire(Repetition(), every_steps=1)]
    with pytest.raises(TopologyError, match="delta grows an edge that exists already"):
        train(model, optimizer, *data(torch.float32), epochs=1, batch_size=50, rng=0, callbacks=callbacks)


@pytest.mark.parametrize("every_steps", [0, -1, 1.5])
def test_bad_interval(every_steps: Any) -> None:
    with pytest.raises(ConfigError, match="every_steps is"):
        Rewire(Turnover(), every_steps=every_steps)


def test_accuracies_over_five_seeds_agree_in_single_precision() -> None:
    """Rounding moves the weights apart, not what they have learned.

    The differences of five paired runs have mean zero for equal trainings; beyond a t of 4.6 lies 1 %
    of draws of the seeds; and every run must have learned.
    """
    digits = load_dataset("digits")
    x, y, x_test, y_test = map(torch.from_numpy, (digits.x_train, digits.y_train, digits.x_test, digits.y_test))
    accuracies = np.empty((5, 2))
    for seed in range(5):
        for column, compiled in enumerate((True, False)):
            model = SparseMLP([64, 100, 50, 10], density=0.2, rng=seed)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
            train(model, optimizer, x, y, epochs=6, batch_size=10, rng=seed, compiled=compiled)
            accuracies[seed, column] = evaluate(model, x_test, y_test)["accuracy"]
    difference = accuracies[:, 0] - accuracies[:, 1]
    spread = max(difference.std(ddof=1), 1 / len(y_test)) / np.sqrt(5)
    assert abs(difference.mean()) / spread < 4.6
    assert accuracies.min() > 0.8
