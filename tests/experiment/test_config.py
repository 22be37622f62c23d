"""Experiment files: defaults, overrides, and one sentence for every wrong key, type, range or name."""

from pathlib import Path
from typing import Any

import pytest

from netsci_nn import ConfigError
from netsci_nn.experiment.config import Experiment, load_experiment, parse_experiment, slug

ROOT = Path(__file__).resolve().parents[2]


def table(**changes: Any) -> dict[str, Any]:
    """A good experiment with `section__key=value` replaced; None removes the key."""
    result: dict[str, Any] = {
        "name": "toy",
        "dataset": "digits",
        "seeds": [0, 1],
        "model": {"layer_sizes": [64, 20, 10], "density": 0.1},
        "training": {"epochs": 2},
        "method": [{"name": "ER"}],
    }
    for path, value in changes.items():
        *sections, last = path.split("__")
        section = result
        for name in sections:
            section = section[name]
        if value is None:
            del section[last]
        else:
            section[last] = value
    return result


def test_defaults() -> None:
    experiment = parse_experiment(table(), "toy.toml")
    assert isinstance(experiment, Experiment)
    assert (experiment.model.activation, experiment.model.bias, experiment.model.backend) == ("relu", True, "auto")
    assert (experiment.training.epochs, experiment.training.batch_size, experiment.training.optimizer.name) == (2, 100, "sgd")
    method = experiment.methods[0]
    assert (method.generator.name, method.rewiring, method.is_dense) == ("erdos_renyi", None, False)


def test_names_and_tables_with_parameters() -> None:
    small_world = {"name": "small_world", "rewiring_probability": 0.2}
    method = {
        "name": "SW",
        "generator": [small_world, "erdos_renyi"],
        "rewiring": {"name": "set", "fraction": 0.4, "layers": [0]},
    }
    parsed = parse_experiment(table(method=[method]), "toy").methods[0]
    assert [g.name for g in parsed.generator] == ["small_world", "erdos_renyi"]
    assert parsed.generator[0].parameters == {"rewiring_probability": 0.2}
    assert (parsed.rewiring.parameters, parsed.rewiring.layers, parsed.rewiring.every_epochs) == ({"fraction": 0.4}, [0], None)


def test_every_experiment_file_of_the_repository_is_valid() -> None:
    files = [*sorted((ROOT / "scripts" / "experiments").glob("*.toml")), ROOT / "netsci_nn" / "cli" / "demo.toml"]
    assert len(files) >= 2
    assert all(load_experiment(path).methods for path in files)


def test_methods_are_called_method_in_files_and_may_be_called_methods() -> None:
    """A dumped experiment is a file again, with the key that run directories of every version have."""
    former = parse_experiment(table(), "toy")
    assert [method.name for method in former.methods] == ["ER"]
    assert parse_experiment(table(method=None, methods=[{"name": "ER"}]), "toy") == former
    for mode in ("json", "python"):
        dumped = former.model_dump(mode=mode)
        assert "methods" not in dumped
        assert parse_experiment(dumped, "dumped") == former
    with pytest.raises(ConfigError, match="unknown key 'methods' = "):
        parse_experiment(table(methods=[{"name": "other"}]), "toy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, r"unknown key 'sedes' = \[1\]; allowed are: name, dataset, seeds, model, training, method"),
        ({"training__epoch": 3}, "unknown key 'training.epoch' = 3; allowed are: epochs, batch_size"),
        ({"model__sizes": 3}, "unknown key 'model.sizes' = 3; allowed are: layer_sizes, density"),
        (
            {"method": [{"name": "a", "rewirring": "set"}]},
            "unknown key 'method.0.rewirring' = 'set'; allowed are: name, generator",
        ),
        ({"dataset": None}, "key 'dataset' is missing; it is required"),
        ({"model__layer_sizes": None}, "key 'model.layer_sizes' is missing"),
        ({"method": []}, r"method is \[\]; .*at least 1"),
        ({"training__epochs": "many"}, "training.epochs is 'many'; it must be a valid integer"),
        ({"training__epochs": 2.5}, r"training.epochs is 2\.5; it must be a valid integer"),
        ({"training__epochs": -1}, "training.epochs is -1; it must be greater than or equal to 0"),
        ({"training__epochs": True}, "training.epochs is True"),
        ({"training__batch_size": 0}, "training.batch_size is 0; it must be greater than or equal to 1"),
        ({"training__learning_rate": 0}, "training.learning_rate is 0; it must be greater than 0"),
        ({"training__learning_rate": float("nan")}, "training.learning_rate is nan; it must be a finite number"),
        ({"training__momentum": 1}, "training.momentum is 1; it must be less than 1"),
        (
            {"training__optimizer": "sgdd"},
            "training.optimizer: unknown optimizer 'sgdd' \\(did you mean 'sgd'\\?\\); allowed are: .*adamw",
        ),
        ({"training": 3}, "training is 3; it must be a valid"),
        ({"model__density": 0}, "model.density.* is 0; it must be greater than 0"),
        ({"model__density": 1.5}, r"model.density.* is 1\.5; it must be less than or equal to 1"),
        ({"model__density": True}, "model.density.* is True"),
        ({"model__density": [0.1]}, "density has 1 entries; it must be one value or one for each of the 2 layers"),
        ({"model__density": [0.1, 2]}, r"model.density.*1.* is 2; it must be less than or equal to 1"),
        ({"model__layer_sizes": [64]}, r"model.layer_sizes is \[64\]; .*at least 2"),
        ({"model__layer_sizes": [64, 0]}, "model.layer_sizes.1 is 0; it must be greater than or equal to 1"),
        ({"model__layer_sizes": "64"}, "model.layer_sizes is '64'; it must be a valid list"),
        ({"model__activation": "rleu"}, r"unknown activation 'rleu' \(did you mean 'relu'\?\); allowed are: gelu"),
        ({"model__backend": "nope"}, "unknown backend 'nope'"),
        ({"dataset": "minst"}, r"unknown dataset 'minst' \(did you mean 'mnist'\?\); allowed are: digits, mnist"),
        ({"method": [{"name": "a", "generator": "er"}]}, "unknown generator 'er'; allowed are: barabasi_albert, brf"),
        (
            {"method": [{"name": "a", "generator": ["erdos_renyi"]}]},
            "generator has 1 entries; it must be one value or one for each",
        ),
        ({"method": [{"name": "a", "generator": ["dense", "dense"]}]}, "generator 'dense' stands for all layers"),
        (
            {"method": [{"name": "a", "rewiring": "sett"}]},
            r"unknown rewiring rule 'sett' \(did you mean 'set'\?\); allowed are: ba_deep_r, ",
        ),
        ({"method": [{"name": "a", "generator": "dense", "rewiring": "set"}]}, "cannot be combined with generator 'dense'"),
        ({"method": [{"name": "a"}, {"name": "a"}]}, r"method names are \['a', 'a'\]; they must differ"),
        ({"method": [{"name": "a b"}, {"name": "A-b"}]}, r"method names \(as folder names\) are .*; they must differ"),
        ({"seeds": [1, 1]}, r"seeds are \[1, 1\]; they must differ"),
        ({"seeds": []}, r"seeds is \[\]; .*at least 1"),
        ({"seeds": [-1]}, "seeds.0 is -1; it must be greater than or equal to 0"),
        ({"seeds": 3}, "seeds is 3; it must be a valid list"),
        ({"name": "../up"}, "name is '../up'; "),
        ({"name": ""}, "name is ''; "),
    ],
)
def test_every_mistake_is_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^toy\.toml: .*{message}") as caught:
        parse_experiment(table(**changes), "toy.toml")
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def write(path: Path) -> Path:
    path.write_text('name = "toy"\ndataset = "digits"\n[model]\nlayer_sizes = [64, 10]\n[[method]]\nname = "ER"\n')
    return path


def test_overrides_replace_and_add_keys(tmp_path: Path) -> None:
    overrides = ["training.epochs=5", "model.density=[0.5]", "seeds=[3]", "name=other name", "training.optimizer=adam"]
    experiment = load_experiment(write(tmp_path / "a.toml"), overrides)
    assert (experiment.training.epochs, experiment.model.density, experiment.seeds) == (5, [0.5], [3])
    assert (experiment.name, experiment.training.optimizer.name) == ("other name", "adam")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", r"override is 'training\.epochs'; it must be KEY=VALUE"),
        ("=5", "override is '=5'; it must be KEY=VALUE"),
        ("training..epochs=5", "it must be KEY=VALUE"),
        ("training.epoch=5", "unknown key 'training.epoch' = 5; allowed are"),
        ("training.epochs=-5", "training.epochs is -5; it must be greater"),
        ("name.first=5", "'name' is not a table"),
        ("method.0.name=x", "'method' is not a table"),
    ],
)
def test_bad_overrides(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_experiment(write(tmp_path / "a.toml"), [override])


@pytest.mark.parametrize("content", [None, b"name = ", b"\xff\xfe", b"name = 'a'\nname = 'b'"], ids=str)
def test_files_that_cannot_be_read(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"experiment file '.*broken\.toml' cannot be read: ."):
        load_experiment(path)


def test_slug() -> None:
    assert [slug(name) for name in ("ER + SET", "SC_Input+BA_Deep R", "..", "a/b")] == [
        "er-set",
        "sc_input-ba_deep-r",
        "method",
        "a-b",
    ]
