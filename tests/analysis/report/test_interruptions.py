"""`describe` and Ctrl-C: whenever it comes, what has been measured stays."""

import json
from typing import Any

import pytest
from bipartite_examples import random_graph

from analysis import describe

TWO_LAYERS = [random_graph(40, 30, 240, seed=1), random_graph(30, 20, 150, seed=2)]


def test_interruption_gives_the_partial_report() -> None:
    def stop(done: int, total: int) -> None:
        assert total == 40
        if done == 7:
            raise KeyboardInterrupt

    partial = describe(TWO_LAYERS, nulls=20, rng=5, measures=["clustering"], progress=stop)
    assert partial.interrupted
    assert (partial.replicates, partial.replicates_requested) == (3, 20)
    clustering = partial["network"]["robins_alexander_clustering"].nulls
    assert [clustering[null].replicates for null in ("erdos_renyi", "fixed_degrees")] == [4, 3]
    assert partial.to_dict()["interrupted"] is True
    assert "Interrupted: 3 of 20 replicates" in partial.to_markdown()
    assert "Interrupted: 3 of 20" in str(partial.to_table().caption)
    full = describe(TWO_LAYERS, nulls=3, rng=5, measures=["clustering"])
    assert not full.interrupted
    assert clustering["fixed_degrees"].mean == full["network"]["robins_alexander_clustering"].nulls["fixed_degrees"].mean


def test_interruption_before_the_first_replicate(monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.report import replicates

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(replicates, "randomise_layers", stop)
    partial = describe(TWO_LAYERS[0], nulls=5, rng=0)
    assert partial.interrupted
    comparison = partial["layer 0"]["robins_alexander_clustering"].nulls["erdos_renyi"]
    assert (comparison.status, comparison.reason) == ("not computed", "interrupted before the first replicate")
    assert partial["layer 0"]["small_world_sigma"].observed.reason == "it needs replicates of the null models"
    assert "0 of 5" in partial.to_markdown()


@pytest.mark.parametrize("which", ["graph", "control"])
def test_interruption_while_graph_or_control_is_measured(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    from analysis.report import observe as observation

    calls = {"graph": 3, "control": 10}[which]  # of 9 calls for the graph: 3 measures in 3 sections
    measured = observation.measure_section

    def stop(*arguments: Any) -> Any:
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr(observation, "measure_section", stop)
    measures = ["degree", "mixing", "clustering"]
    partial = describe(TWO_LAYERS, nulls=5, control=TWO_LAYERS, rng=0, measures=measures)
    assert partial.interrupted
    assert partial.replicates == 0
    density = partial["layer 0"]["density"]
    assert density.value == pytest.approx(0.2)
    assert (density.control is None) == (which == "graph")
    assert (partial["layer 1"].get("butterflies") is None) == (which == "graph")
    assert "Interrupted: 0 of 5 replicates" in partial.to_markdown()
    assert json.dumps(partial.to_dict(), allow_nan=False)
    assert partial.verdicts["layer 1"]["small-world"].conclusion == "not defined"
    calls = 0
    with pytest.raises(KeyboardInterrupt):
        describe(TWO_LAYERS, nulls=5, rng=0, measures=measures)


def test_interruption_after_the_last_replicate_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.report import describe as description

    expected, is_first = describe(TWO_LAYERS[0], nulls=5, rng=0, measures=["degree"]), True
    assembled = description._with_q_values

    def stop(*arguments: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            raise KeyboardInterrupt
        return assembled(*arguments)

    monkeypatch.setattr(description, "_with_q_values", stop)
    assert describe(TWO_LAYERS[0], nulls=5, rng=0, measures=["degree"]) == expected
    assert not is_first
