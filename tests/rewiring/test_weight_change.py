"""Deletion by the size of the weight's change, and preferential regrowth after it."""

import numpy as np
import pytest
import torch

from netsci_nn import BipartiteTopology, ConfigError, SparseLinear, SparseMLP
from netsci_nn.data import load_dataset
from netsci_nn.rewiring import REWIRERS, EdgeDelta, EdgeView, PreferentialDeepR, WeightChange, apply_delta, edge_view
from netsci_nn.training import Event, Rewire, TrainingState, train

PREVIOUS = np.array([1.0, -0.001, 0.5, 2.0, -0.2], dtype=np.float32)
NOW = np.array([1.5, 0.009, 0.5, 1.0, -0.35], dtype=np.float32)  # changes 0.5, 0.01, 0, 1, 0.15; relative 0.5, 10, 0, 0.5, 0.75


def layer() -> SparseLinear:
    result = SparseLinear(BipartiteTopology.from_edges([(0, 0), (1, 0), (0, 1), (2, 1), (3, 2)], 4, 3))
    with torch.no_grad():
        result.weight.copy_(torch.from_numpy(NOW))
    return result


def view(is_last: bool = False, previous: np.ndarray = PREVIOUS) -> EdgeView:
    return edge_view(layer(), step=10, is_last=is_last, learning_rate=0.1, previous=previous, memory={})


@pytest.mark.parametrize(
    ("criterion", "fraction", "dropped"),
    [("abs_delta", 0.2, [3]), ("abs_delta", 0.4, [0, 3]), ("rel_delta", 0.2, [1]), ("rel_delta", 0.6, [0, 1, 4])],
)
def test_the_most_changed_go(criterion: str, fraction: float, dropped: list[int]) -> None:
    delta = WeightChange(criterion, fraction).propose(view(), rng=0)
    assert delta.dropped.tolist() == dropped
    assert len(delta.grown_src) == len(dropped)
    assert delta.grown_values.tolist() == [0.0] * len(dropped)
    assert delta.kept_values is None
    changed = layer()
    apply_delta(changed, delta)
    assert changed.n_edges == 5


def test_nothing_changes_after_the_last_epoch() -> None:
    for rule in (WeightChange("abs_delta"), PreferentialDeepR(deletion="abs_delta")):
        delta = rule.propose(view(is_last=True), rng=0)
        assert len(delta.dropped) == len(delta.grown_src) == 0


def test_ties_go_by_number() -> None:
    rule = WeightChange("abs_delta", 0.4)
    equal = layer()
    with torch.no_grad():
        equal.weight.copy_(torch.arange(5.0))
    same = edge_view(equal, previous=np.arange(1, 6, dtype=np.float32))
    assert rule.propose(same, rng=0).dropped.tolist() == [0, 1]


def test_the_registered_names_are_the_two_readings() -> None:
    assert REWIRERS["deep_r_s1"](fraction=0.2).criterion == "abs_delta"
    assert REWIRERS["deep_r_s1_relative"]().criterion == "rel_delta"
    with pytest.raises(ConfigError, match="criterion is 'size'"):
        WeightChange("size")
    with pytest.raises(ConfigError, match=r"previous has shape \(3,\); it must be that of the weights, \(5,\)"):
        view(previous=PREVIOUS[:3])


@pytest.mark.parametrize("name", ["deep_r_s1", "deep_r_s1_relative", "ba_deep_r"])
@pytest.mark.parametrize("every_steps", [None, 9])
def test_the_change_is_counted_from_the_last_rewiring(name: str, every_steps: int | None) -> None:
    """Edges that a rewiring has just grown start their change at 0; what is dropped is checked against a record of weights."""
    digits = load_dataset("digits")
    x, y = torch.from_numpy(digits.x_train[:300]), torch.from_numpy(digits.y_train[:300])
    model = SparseMLP([64, 20, 10], density=0.2, rng=0)
    rule = REWIRERS[name](**({"deletion": "abs_delta"} if name == "ba_deep_r" else {}))
    relative = name == "deep_r_s1_relative"
    checked = 0

    class Checked:
        needs = ("previous",)

        def __init__(self) -> None:
            self.kept: dict[int, np.ndarray] = {}

        def propose(self, edges: EdgeView, *, rng: np.random.Generator) -> EdgeDelta:
            nonlocal checked
            delta = rule.propose(edges, rng=rng)
            known = self.kept.get(edges.n_out)
            if known is not None and len(delta.dropped):
                change = np.abs(edges.weight - known)
                change = change / (np.abs(known) + 1e-8) if relative else change
                kept = np.delete(change, delta.dropped)
                assert change[delta.dropped].min() >= kept.max()
                checked += 1
            return delta

    checker = Checked()

    def record(event: Event, state: TrainingState) -> None:
        rewired = event is Event.START or (event is Event.EPOCH if every_steps is None else state.step % every_steps == 0)
        if rewired and (every_steps is None or event in (Event.START, Event.STEP)):
            for layer in model.layers:
                checker.kept[layer.n_out] = layer.weight.detach().numpy().copy()

    callbacks = [Rewire(checker, every_steps=every_steps), record]
    train(model, torch.optim.SGD(model.parameters(), lr=0.1), x, y, epochs=4, batch_size=10, rng=0, callbacks=callbacks)
    assert checked >= 6
