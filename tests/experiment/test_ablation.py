"""The ablation of a run's wiring: what the three wirings keep, their comparison, and the command."""

import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from toy_experiments import DATA, interrupt_at, run, toy

from netsci_nn import BipartiteTopology, ConfigError, cli
from netsci_nn.experiment import RunResult, build_model, run_experiment
from netsci_nn.experiment.ablation import (
    ARMS,
    OWN,
    SAME_DEGREES,
    SAME_SIZE,
    plan_ablation,
    run_ablation,
    save_ablation,
    summarise,
)
from netsci_nn.models import sparse_layers
from netsci_nn.topology import load_topology


@pytest.fixture
def trained(tmp_path: Path) -> RunResult:
    return run(tmp_path / "run", toy(epochs=3))


def ablated(trained: RunResult, out: Path, **arguments: Any) -> list[RunResult]:
    return list(run_ablation(plan_ablation(trained.directory, out, **arguments), DATA))


def degrees(topology: BipartiteTopology) -> list[list[int]]:
    return [topology.out_degrees.tolist(), topology.in_degrees.tolist()]


def test_wirings_keep_what_they_promise_and_do_not_change_in_training(trained: RunResult, tmp_path: Path) -> None:
    results = ablated(trained, tmp_path / "out", seeds=3)
    assert [(result.method, result.seed) for result in results] == [(arm, seed) for seed in (1, 2, 3) for arm in ARMS]
    assert all(result.initial == result.final and len(result.accuracy_by_epoch) == 3 for result in results)
    arms = {arm: [result.final for result in results if result.method == arm] for arm in ARMS}
    assert all(layers == trained.final for layers in arms[OWN])
    for layers in arms[SAME_DEGREES]:
        assert [degrees(layer) for layer in layers] == [degrees(layer) for layer in trained.final]
    for layers in arms[SAME_SIZE]:
        assert [layer.n_edges for layer in layers] == [layer.n_edges for layer in trained.final]
    assert len({layers[0] for layers in arms[SAME_DEGREES]} | {trained.final[0]}) == 4  # a fresh shuffle a seed
    assert len({layers[0] for layers in arms[SAME_SIZE]}) == 3


def test_the_wiring_is_stored_once_and_no_generator_has_anything_to_say(
    trained: RunResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "netsci_nn.generators"):
        ablated(trained, tmp_path / "out", seeds=1, epochs=0)
    assert caplog.messages == []
    files = [tmp_path / "out" / "wiring" / f"layer-{layer}.safetensors" for layer in (0, 1)]
    assert sorted((tmp_path / "out" / "wiring").iterdir()) == files
    assert tuple(map(load_topology, files)) == trained.final


def test_an_ablation_of_version_0_1_0_is_not_continued(trained: RunResult, tmp_path: Path) -> None:
    wiring = tmp_path / "out" / "wiring"
    wiring.mkdir(parents=True)
    (wiring / "layer-0.graphml").touch()
    with pytest.raises(ConfigError, match=r"holds an ablation of version 0\.1\.0; results go to a new folder"):
        plan_ablation(trained.directory, tmp_path / "out")


def test_settings_are_the_runs_and_weights_are_paired_by_seed(trained: RunResult, tmp_path: Path) -> None:
    plan = plan_ablation(trained.directory, tmp_path / "out", seeds=2, epochs=0)
    assert plan.experiment.training == toy(epochs=0).training
    assert plan.experiment.model == toy().model
    list(run_ablation(plan, DATA))
    standard = []
    for method in plan.experiment.methods:
        layer = sparse_layers(build_model(plan.experiment, method, DATA, 1))[0]
        scale = np.sqrt(2 / layer.topology.in_degrees[layer.topology.dst])
        standard.append(layer.weight.detach().numpy() / scale)
    np.testing.assert_allclose(standard[0], standard[1], rtol=1e-5)
    np.testing.assert_allclose(standard[0], standard[2], rtol=1e-5)


def test_goes_on_where_it_was_interrupted(trained: RunResult, tmp_path: Path) -> None:
    plan = plan_ablation(trained.directory, tmp_path / "out", seeds=1)
    part = list(run_ablation(plan, DATA, lambda method, _: interrupt_at(8 if method == SAME_DEGREES else 10**9)))
    assert [result.interrupted for result in part] == [False, True]
    assert summarise(part) is None
    first = (tmp_path / "out" / "own-wiring" / "seed-1" / "result.json").stat().st_mtime_ns
    whole = list(run_ablation(plan_ablation(trained.directory, tmp_path / "out", seeds=2), DATA))
    assert [result.interrupted for result in whole] == [False] * 6
    assert (tmp_path / "out" / "own-wiring" / "seed-1" / "result.json").stat().st_mtime_ns == first
    ablation = summarise(whole)
    assert ablation is not None
    assert ablation.seeds == (1, 2)


def test_what_a_killed_write_has_left_is_removed(trained: RunResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ablated(trained, out, seeds=1, epochs=1)
    left = [out / ".ablation.a_3k9x0q.json", out / "wiring" / ".layer-0.a_3k9x0q.safetensors"]
    for path in left:
        path.touch()
    ablated(trained, out, seeds=1, epochs=1)
    assert not any(path.exists() for path in left)


@pytest.mark.programs
def test_workers_come_to_the_same(trained: RunResult, tmp_path: Path) -> None:
    plan = plan_ablation(trained.directory, tmp_path / "spread", seeds=1, epochs=1)
    spread = {result.method: result.final for result in run_ablation(plan, DATA, workers=2)}
    assert spread == {result.method: result.final for result in ablated(trained, tmp_path / "here", seeds=1, epochs=1)}


def result(method: str, seed: int, accuracy: float) -> RunResult:
    return RunResult(method, seed, Path(), {"accuracy": accuracy}, {"accuracy": ()}, 1, 1, 1.0, 0.0, 0, False, (), ())


def test_worked_example(trained: RunResult, tmp_path: Path) -> None:
    table = {OWN: (0.9, 0.8, 0.85), SAME_DEGREES: (0.88, 0.79, 0.82), SAME_SIZE: (0.9, 0.75, 0.82)}
    ablation = summarise(result(arm, seed, value) for arm, values in table.items() for seed, value in enumerate(values))
    assert ablation is not None
    assert ablation.scores == table
    beyond, plain = ablation.differences
    assert beyond.mean == pytest.approx(0.02)
    assert beyond.sd == pytest.approx(0.01)
    reach = stats.t.ppf(0.975, 2) * 0.01 / math.sqrt(3)  # 4.3027 * 0.0057735 = 0.024841
    assert (beyond.low, beyond.high) == pytest.approx((0.02 - reach, 0.02 + reach))
    assert "no effect is shown" in beyond.sentence
    assert plain.mean == pytest.approx(0.02 / 3)
    (tmp_path / "out").mkdir()
    path = save_ablation(ablation, plan_ablation(trained.directory, tmp_path / "out"), trained.directory)
    written = json.loads(path.read_text())
    assert written["methods"][OWN] == {"scores": [0.9, 0.8, 0.85], "mean": pytest.approx(0.85), "sd": pytest.approx(0.05)}
    assert written["differences"][0]["mean"] == beyond.mean


def test_what_cannot_be_ablated(trained: RunResult, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for seeds in (0, -1, True, 1.5):
        with pytest.raises(ConfigError, match=f"seeds is {seeds!r}; it must be an integer >= 1"):
            plan_ablation(trained.directory, out, seeds=seeds)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="it must be a run directory"):
        plan_ablation(tmp_path / "nowhere", out)
    with pytest.raises(ConfigError, match="epochs is -1"):
        plan_ablation(trained.directory, out, epochs=-1)
    dense = next(iter(run_experiment(toy([{"name": "dense", "generator": "dense"}], epochs=0), DATA, tmp_path / "more")))
    with pytest.raises(ConfigError, match="trained the dense method 'dense'; there is no wiring to ablate"):
        plan_ablation(dense.directory, out)
    with pytest.raises(ConfigError, match="workers is 0"):
        next(run_ablation(plan_ablation(trained.directory, out), DATA, workers=0))
    assert not out.exists()
    with pytest.raises(ConfigError, match="exists and holds no ablation"):
        plan_ablation(trained.directory, tmp_path / "more")
    (trained.directory / "topology" / "final.safetensors").unlink()
    with pytest.raises(ConfigError, match="has no recorded topology"):
        plan_ablation(trained.directory, out)


def test_nothing_of_another_ablation_is_overwritten(trained: RunResult, tmp_path: Path) -> None:
    ablated(trained, tmp_path / "out", seeds=1, epochs=0)
    with pytest.raises(ConfigError, match="belongs to another experiment"):
        ablated(trained, tmp_path / "out", seeds=1, epochs=1)
    other = run(tmp_path / "other", toy(epochs=3), seed=5)
    with pytest.raises(ConfigError, match="holds the ablation of another topology"):
        plan_ablation(other.directory, tmp_path / "out")


DIGITS = """
name = "tiny"
dataset = "digits"
[model]
layer_sizes = [64, 12, 10]
density = 0.3
[training]
epochs = 1
[[method]]
name = "ER"
[[method]]
name = "dense"
generator = "dense"
"""


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["netsci-nn", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    (tmp_path / "tiny.toml").write_text(DIGITS)
    for method in ("ER", "dense"):
        assert call("train", "tiny.toml", "--method", method, "--out", method)[0] == 0
    code, out, err = call("ablate", "ER", "--seeds", 2)
    assert (code, err) == (0, "")
    assert all(arm in out for arm in ARMS)
    assert "structure beyond degrees:" in out
    written = json.loads((tmp_path / "ER" / "ablation" / "ablation.json").read_text())
    assert written["seeds"] == [1, 2]
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    for arguments, message in (
        (["ablate", "nowhere"], "it must be a run directory"),
        (["ablate", "dense"], "there is no wiring to ablate"),
        (["ablate", "ER", "--seeds", 0], "--seeds is 0; it must be an integer >= 1"),
        (["ablate", "ER", "--epochs", -1], "epochs is -1"),
        (["ablate", "ER", "--epochs", 2], "belongs to another experiment"),
        (["ablate", "ER", "--workers", 0, "--out", "new"], "--workers is 0"),
        (["ablate", "ER", "--out", "used"], "--out 'used' exists and holds no ablation"),
    ):
        code, out, err = call(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert message in err
    config = tmp_path / "ER" / "config.toml"
    config.write_text(config.read_text().replace('"digits"', '"mnist"'))
    code, _, err = call("ablate", "ER", "--data-dir", "nowhere", "--out", "new")
    assert (code, err.count("\n")) == (2, 1)
    assert "--data-dir 'nowhere'" in err
    assert not (tmp_path / "new").exists()
