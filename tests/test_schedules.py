"""Schedules: their ends, their course, what they refuse, and rules that follow them."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import netsci_nn as ns
from netsci_nn import ConfigError, rewiring, schedules
from netsci_nn.schedules import SCHEDULES, Schedule, as_fraction
from netsci_nn.training import Event, Rewire, TrainingState, train

shares = st.floats(0, 1)
FROM_TO = ["linear", "cosine", "inverse_power", "cubic", "sigmoid"]


@pytest.mark.parametrize("name", FROM_TO)
@given(start=shares, end=shares, a=st.floats(-1, 2), b=st.floats(-1, 2))
def test_they_go_from_start_to_end_and_never_back(name: str, start: float, end: float, a: float, b: float) -> None:
    schedule = SCHEDULES[name](start, end)
    assert (schedule(0), schedule(1)) == (start, end)
    assert (schedule(-1), schedule(2)) == (start, end)
    first, second = schedule(min(a, b)), schedule(max(a, b))
    rounding = 1e-15
    assert min(start, end) - rounding <= first <= max(start, end) + rounding
    assert first <= second + rounding if start <= end else first >= second - rounding


# By the formulas of the sources, written again.
@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (schedules.constant(0.3), lambda t: 0.3),
        (schedules.linear(0.3, 0.1), lambda t: 0.3 - 0.2 * t),
        (schedules.cosine(0.3), lambda t: 0.15 * (1 + math.cos(math.pi * t))),
        (schedules.cosine(0.5, 0.005), lambda t: 0.005 + (0.5 - 0.005) / 2 * (1 + math.cos(math.pi * t))),
        (schedules.inverse_power(0.3, power=2), lambda t: 0.3 * (1 - t) ** 2),
        (schedules.cubic(1, 0.1), lambda t: 0.1 + 0.9 * (1 - t) ** 3),
        (schedules.steps([0.3, 0.2, 0.1], [0.5, 0.75]), lambda t: 0.3 if t < 0.5 else 0.2 if t < 0.75 else 0.1),
    ],
    ids=range(7),
)
def test_their_course(schedule: Schedule, formula: Any) -> None:
    for t in np.linspace(0, 1, 41):
        assert schedule(t) == pytest.approx(formula(t), abs=1e-15)


def test_the_sigmoid_is_a_stretched_logistic_function() -> None:
    schedule = schedules.sigmoid(0.5, 0.01)

    def logistic(t: float) -> float:
        return 1 / (1 + math.exp(-6 * (2 * t - 1)))

    for t in np.linspace(0, 1, 41):
        risen = (logistic(t) - logistic(0)) / (logistic(1) - logistic(0))
        assert schedule(t) == pytest.approx(0.5 + (0.01 - 0.5) * risen, abs=1e-14)


def test_they_are_values() -> None:
    schedule = schedules.steps([0.3, 0.1], [0.5])
    assert schedule == pickle.loads(pickle.dumps(schedule)) == copy.deepcopy(schedule)
    assert hash(schedule) == hash(schedules.steps((0.3, 0.1), (0.5,)))
    assert schedules.cosine(0.3) != schedules.cosine(0.2)
    assert repr(schedules.cosine(0.3)) == "cosine(start=0.3, end=0.0)"
    assert (schedule.largest, schedules.linear(0.1, 0.4).largest, schedules.constant(0.2).largest) == (0.3, 0.4, 0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.cosine(1.5), r"start is 1\.5; it must be a number from 0 to 1"),
        (lambda: schedules.linear(0.5, float("nan")), "end is nan; it must be a number from 0 to 1"),
        (lambda: schedules.inverse_power(0.5, power=0), r"power is 0; it must be a number above 0"),
        (lambda: schedules.sigmoid(0.5, 0.1, slope=-1), r"slope is -1; it must be a number above 0"),
        (
            lambda: schedules.steps([0.1], [0.5]),
            r"values is \[0\.1\] and until \[0\.5\]; they must be n numbers and n - 1 shares",
        ),
        (lambda: schedules.steps([0.1, 2], [0.5]), r"values\[1\] is 2; it must be a number from 0 to 1"),
        (
            lambda: schedules.steps([0.1, 0.2, 0.3], [0.5, 0.5]),
            r"until\[1\] is 0\.5; it must be a number above 0\.5 and below 1",
        ),
        (lambda: schedules.cosine(0.3)(float("inf")), "progress is inf; it must be a number that is finite"),
        (lambda: as_fraction("fraction", 1.0), r"fraction is 1\.0; it must be a number in \(0, 1\), or a schedule"),
        (
            lambda: as_fraction("fraction", schedules.linear(0.5, 1)),
            r"fraction is linear\(start=0\.5, end=1\.0\), which reaches 1",
        ),
        (lambda: as_fraction("fraction", {"name": "cosin"}), r"unknown schedule 'cosin' \(did you mean 'cosine'\?\)"),
        (lambda: as_fraction("fraction", {"start": 0.3}), "unknown schedule None; allowed are: constant, cosine, cubic"),
        (lambda: as_fraction("fraction", {"name": "cosine", "from": 1}), "unknown key 'from' = 1; allowed are: start, end"),
        (lambda: as_fraction("fraction", {"name": "cosine"}), "fraction: schedule cosine.. missing .* 'start'"),
    ],
    ids=range(14),
)
def test_what_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


class Dropped:
    """Counts what every rewiring drops."""

    needs_every_step = False

    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, event: Event, state: TrainingState) -> None:
        if event is Event.EPOCH:
            self.counts.append(state.record["rewired_edges"])


@pytest.mark.parametrize("rule", ["set", "deep_r_s1", "ba_deep_r"])
@pytest.mark.parametrize("compiled", [True, False])
def test_rules_drop_the_fraction_of_the_moment(rule: str, compiled: bool) -> None:
    def dropped(fraction: Any) -> list[int]:
        model = ns.SparseMLP([20, 30, 4], density=0.5, rng=0)
        by_change = {"deletion": "abs_delta"} if rule == "ba_deep_r" else {}
        rewire = Rewire(rewiring.REWIRERS[rule](fraction=fraction, **by_change), layers=[0])
        x, y, counts = torch.rand(40, 20, generator=torch.manual_seed(0)), torch.arange(40) % 4, Dropped()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        train(model, optimizer, x, y, epochs=5, batch_size=10, rng=0, callbacks=[rewire, counts], compiled=compiled)
        return counts.counts

    assert dropped(0.2) == dropped(schedules.constant(0.2)) == dropped({"name": "constant", "start": 0.2})
    # the first rewiring is after a fifth of the training; after the last epoch nothing is changed, as the schedule is 0 there
    falling = dropped(schedules.steps([0.2, 0.1, 0.0], until=[0.3, 0.7]))
    assert falling[0] == dropped(0.2)[0]
    assert falling[0] > falling[1] > falling[2] - 1 > 0
    assert falling[3:] == [0, 0]


def test_a_rule_that_follows_a_schedule_must_know_the_time() -> None:
    layer = ns.SparseMLP([20, 10], density=0.25, rng=0).layers[0]
    rule = rewiring.SparseEvolution(schedules.cosine(0.3))
    with pytest.raises(ConfigError, match="step is missing in the view of the edges; rewiring rule 'set' needs"):
        rule.propose(rewiring.edge_view(layer), rng=0)
    view = rewiring.edge_view(layer, step=5, total_steps=10)
    halfway = rewiring.SparseEvolution(0.15).propose(rewiring.edge_view(layer), rng=0)
    assert rule.propose(view, rng=0).dropped.tolist() == halfway.dropped.tolist()
