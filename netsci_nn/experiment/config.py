"""The experiment file: its sections and keys, what is allowed in them, and one sentence for what is not."""

import re
import tomllib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from netsci_nn.data import DATASETS
from netsci_nn.errors import ConfigError, shown
from netsci_nn.generators import GENERATORS
from netsci_nn.kernels import BACKENDS
from netsci_nn.layers import ACTIVATIONS
from netsci_nn.models.named import MODELS
from netsci_nn.pruning import PRUNERS
from netsci_nn.registry import Registry, check_parameters
from netsci_nn.rewiring import REWIRERS
from netsci_nn.rewiring.newborn import DEFAULT
from netsci_nn.training import LOSSES, METRICS, OPTIMIZERS, SCHEDULES

MLP = "mlp"  # in place of a model: a multilayer perceptron
DENSE = "dense"  # in place of a generator: ordinary nn.Linear layers
STORED = "stored"  # in place of a generator: the topology in the file `path`, with which `ablate` retrains a run's wiring

Density = Annotated[float, Field(strict=True, gt=0, le=1)]
Neurons = Annotated[int, Field(strict=True, ge=1)]


def _require(registry: Registry[Any], name: str) -> None:
    registry[name]


def _check_length(name: str, value: Any, n_layers: int) -> None:
    if isinstance(value, list) and len(value) != n_layers:
        raise ValueError(f"{name} has {len(value)} entries; it must be one value or one for each of the {n_layers} layers")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Named(BaseModel):
    """A name from a registry with its parameters; a file may give the name alone."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys other than `name` and the section's own."""
        return dict(self.model_extra or {})


def _name_to_table(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class GeneratorConfig(_Named):
    """A graph model and its parameters, or `dense`, or `stored`."""

    @model_validator(mode="after")
    def _known(self) -> "GeneratorConfig":
        if self.name == STORED:
            if "path" not in self.parameters:
                raise ValueError(f"generator {STORED!r} has no path; it must name the file of a topology")
        elif self.name != DENSE:
            _require(GENERATORS, self.name)
        return self


class RewiringConfig(_Named):
    """A rewiring rule, its parameters, and where, when and until when it acts (see `netsci_nn.training.Rewire`)."""

    layers: list[Annotated[int, Field(strict=True, ge=0)]] | None = None
    every_epochs: Annotated[int, Field(strict=True, ge=1)] | None = None
    every_steps: Annotated[int, Field(strict=True, ge=1)] | None = None
    until_epoch: Annotated[int, Field(strict=True, ge=1)] | None = None
    optimizer_state: str = DEFAULT

    @model_validator(mode="after")
    def _known(self) -> "RewiringConfig":
        _require(REWIRERS, self.name)
        if self.every_epochs is not None and self.every_steps is not None:
            raise ValueError(
                f"every_epochs is {self.every_epochs} and every_steps is {self.every_steps}; only one of them may be given"
            )
        return self


class OptimizerConfig(_Named):
    """An optimiser and its further arguments, by the names that torch gives them."""

    @model_validator(mode="after")
    def _known(self) -> "OptimizerConfig":
        _require(OPTIMIZERS, self.name)
        return self


class ScheduleConfig(_Named):
    """A learning-rate schedule and its parameters."""

    @model_validator(mode="after")
    def _known(self) -> "ScheduleConfig":
        _require(SCHEDULES, self.name)
        return self


class LossConfig(_Named):
    """A loss and its parameters."""

    @model_validator(mode="after")
    def _known(self) -> "LossConfig":
        _require(LOSSES, self.name)
        return self


class PruningConfig(_Section):
    """How the topology is made by training a dense network and pruning it."""

    criterion: str = "magnitude"
    dense: str | None = None  # the method whose network is pruned; None: train one for this method alone
    rounds: Annotated[int, Field(strict=True, ge=1, le=100)] = 1  # of pruning and training; densities are a geometric sequence
    weights: Literal["trained", "initial", "fresh"] = "trained"  # from which training starts after pruning
    partners: Literal["kept", "random"] = "kept"  # random: only the degrees of the pruned network are kept
    round: Annotated[int, Field(strict=True, ge=1)] | None = None  # in a run directory only: the round whose training it holds

    @model_validator(mode="after")
    def _known(self) -> "PruningConfig":
        _require(PRUNERS, self.criterion)
        if self.partners == "random" and self.weights != "fresh":
            raise ValueError(f"pruning.weights is {self.weights!r}; with random partners it must be 'fresh'")
        return self


OneGenerator = Annotated[GeneratorConfig, BeforeValidator(_name_to_table)]
OneRewiring = Annotated[RewiringConfig, BeforeValidator(_name_to_table)]


class ModelConfig(_Named):
    """Section [model]: a multilayer perceptron, or a model of `netsci_nn.models.named.MODELS` and its parameters.

    `layer_sizes` of such a model are its inputs and its outputs.
    """

    name: str = MLP
    layer_sizes: Annotated[list[Neurons], Field(min_length=2)]
    density: Density | list[Density] = 0.1
    activation: str = "relu"
    bias: bool = True
    backend: str = "auto"

    @model_validator(mode="after")
    def _known(self) -> "ModelConfig":
        _require(ACTIVATIONS, self.activation)
        if self.backend != "auto":
            _require(BACKENDS, self.backend)
        if self.is_mlp:
            if self.parameters:
                key, value = next(iter(self.parameters.items()))
                allowed = ", ".join(sorted(type(self).model_fields, key=lambda name: name == "name"))
                raise ValueError(f"unknown key 'model.{key}' = {shown(value)}; allowed are: {allowed}")
            _check_length("density", self.density, len(self.layer_sizes) - 1)
            return self
        check_parameters(f"model {self.name!r}", MODELS[self.name], self.parameters)
        if len(self.layer_sizes) != 2:
            raise ValueError(f"layer_sizes is {self.layer_sizes}; of model {self.name!r} it must be its inputs and its outputs")
        if (self.activation, self.bias) != ("relu", True):
            raise ValueError(f"activation and bias are for model {MLP!r}; model {self.name!r} has its own")
        return self

    @property
    def is_mlp(self) -> bool:
        """Whether it is a multilayer perceptron."""
        return self.name == MLP


class TrainingConfig(_Section):
    """Section [training].

    `metrics` are measured on the test rows; tables show the first one. `learning_rate_decay` is short for the schedule
    `{ name = "exponential", gamma = ... }`.
    """

    epochs: Annotated[int, Field(strict=True, ge=0)] = 20
    batch_size: Annotated[int, Field(strict=True, ge=1)] = 100
    optimizer: Annotated[OptimizerConfig, BeforeValidator(_name_to_table)] = OptimizerConfig(name="sgd")
    learning_rate: Annotated[float, Field(strict=True, gt=0)] = 0.1
    learning_rate_decay: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    momentum: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(strict=True, ge=0)] = 0.0
    schedule: Annotated[ScheduleConfig, BeforeValidator(_name_to_table)] | None = None
    loss: Annotated[LossConfig, BeforeValidator(_name_to_table)] = LossConfig(name="cross_entropy")
    metrics: Annotated[list[str], Field(min_length=1)] = ["accuracy"]
    device: str = "cpu"
    threads: Annotated[int, Field(strict=True, ge=1)] | None = None

    @model_validator(mode="after")
    def _known(self) -> "TrainingConfig":
        for metric in self.metrics:
            _require(METRICS, metric)
        if not re.fullmatch(r"cpu|cuda(:\d+)?|mps|auto", self.device):
            raise ValueError(f"device is {self.device!r}; it must be cpu, cuda, cuda:NUMBER, mps or auto")
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics are {self.metrics}; every metric may be named once")
        if self.schedule is not None and self.learning_rate_decay != 1:
            raise ValueError(
                f"learning_rate_decay = {self.learning_rate_decay} and schedule = {self.schedule.name!r} are both given; "
                "use one"
            )
        return self


class MethodConfig(_Section):
    """Section [[method]]: the topology of every layer, from a graph model or from pruning, and the rules that rewire it."""

    name: Annotated[str, Field(min_length=1)]
    generator: OneGenerator | list[OneGenerator] = GeneratorConfig(name="erdos_renyi")
    density: Density | list[Density] | None = None  # by default that of [model]
    pruning: PruningConfig | None = None
    rewiring: OneRewiring | list[OneRewiring] | None = None

    def of_round(self, number: int | None) -> "MethodConfig":
        """Return the method as the run directory of a round has it; None: as that of the last round or an experiment has it."""
        if self.pruning is None:
            return self
        return self.model_copy(update={"pruning": self.pruning.model_copy(update={"round": number})})

    @property
    def is_dense(self) -> bool:
        """Whether the method trains ordinary dense layers."""
        return isinstance(self.generator, GeneratorConfig) and self.generator.name == DENSE

    @model_validator(mode="after")
    def _consistent(self) -> "MethodConfig":
        if isinstance(self.generator, list) and any(generator.name == DENSE for generator in self.generator):
            raise ValueError(f"generator {DENSE!r} stands for all layers; it cannot be one of a list")
        if self.is_dense and self.rewiring is not None:
            raise ValueError(f"rewiring needs sparse layers; it cannot be combined with generator {DENSE!r}")
        if self.pruning is not None and "generator" in self.model_fields_set:
            raise ValueError("generator and pruning are both given; a method's topology comes from one of them")
        rules = self.rewirings
        chosen = [layer for rule in rules for layer in rule.layers or ()]
        if len(set(chosen)) < len(chosen) or (len(rules) > 1 and any(rule.layers is None for rule in rules)):
            raise ValueError("several rewiring rules act on one layer; give every rule other layers")
        return self

    @property
    def rewirings(self) -> list[RewiringConfig]:
        """The rules as a list, which may be empty."""
        if self.rewiring is None:
            return []
        return self.rewiring if isinstance(self.rewiring, list) else [self.rewiring]


class Experiment(_Section):
    """An experiment file: a dataset, a model, a recipe of training, and the methods to compare.

    In a file every method is a table `[[method]]`; `methods` is read too.
    """

    model_config = ConfigDict(populate_by_name=True)

    name: Annotated[str, Field(pattern=r"^[\w][\w.+ -]*$")]
    dataset: str
    seeds: Annotated[list[Annotated[int, Field(strict=True, ge=0)]], Field(min_length=1)] = [0]
    model: ModelConfig
    training: TrainingConfig = TrainingConfig()
    methods: Annotated[list[MethodConfig], Field(min_length=1, alias="method")]

    @model_serializer(mode="wrap")
    def _as_in_a_file(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"method" if key == "methods" else key: value for key, value in dump(self).items()}

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        _require(DATASETS, self.dataset)
        names = [method.name for method in self.methods]
        slugs = [slug(name) for name in names]
        for values, what in ((names, "method names"), (slugs, "method names (as folder names)"), (self.seeds, "seeds")):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} are {values}; they must differ")
        for method in self.methods:
            if self.model.is_mlp:
                _check_length("generator", method.generator, len(self.model.layer_sizes) - 1)
                _check_length("density", method.density, len(self.model.layer_sizes) - 1)
            elif method.pruning is not None:
                raise ValueError(
                    f"method {method.name!r} prunes; only networks of model {MLP!r} are pruned in experiment files"
                )
            self.dense_method(method)
        return self

    def dense_method(self, method: MethodConfig) -> MethodConfig | None:
        """Return the method that trains the dense network which `method` prunes; None if it does not prune.

        Raises:
            ValueError: if that method does not exist or is not dense.
        """
        if method.pruning is None:
            return None
        if method.pruning.dense is None:
            return MethodConfig(name=DENSE, generator=GeneratorConfig(name=DENSE))
        for other in self.methods:
            if other.name == method.pruning.dense and other.is_dense:
                return other
        dense = ", ".join(repr(other.name) for other in self.methods if other.is_dense) or "none in this file"
        raise ValueError(f"pruning.dense of method {method.name!r} is {method.pruning.dense!r}; dense methods are: {dense}")


def load_experiment(path: str | PathLike[str], overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file; keys that are left out have their defaults.

    Args:
        path: a TOML file.
        overrides: `section.key=value` each, with a TOML value or a bare word; they replace values of the file.

    Raises:
        ConfigError: if the file cannot be read, or a key or value is not allowed; it names the key, its value and what is
            allowed.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> text = 'name = "a"\\ndataset = "digits"\\nmodel.layer_sizes = [64, 10]\\n[[method]]\\nname = "ER"'
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.toml"
        ...     _ = path.write_text(text)
        ...     experiment = load_experiment(path, ["training.epochs=5"])
        >>> experiment.training.epochs, experiment.model.density, experiment.methods[0].generator.name
        (5, 0.1, 'erdos_renyi')
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"experiment file {str(path)!r} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise ConfigError(f"experiment file {str(path)!r} cannot be read: {str(error).partition(';')[0]}") from error
    except RecursionError as error:
        raise ConfigError(f"experiment file {str(path)!r} cannot be read: its values are nested too deeply") from error
    for override in overrides:
        _override(table, override)
    return parse_experiment(table, str(path))


def parse_experiment(table: dict[str, Any], origin: str) -> Experiment:
    """Return the experiment that a parsed file describes; a ConfigError begins with `origin` and names the key."""
    try:
        return Experiment.model_validate(table)
    except ValidationError as error:
        try:
            raise ConfigError(f"{origin}: {_sentence(error)}") from None
        except RecursionError:  # the wrong value cannot be shown
            raise ConfigError(f"{origin}: its values are nested too deeply") from None


def slug(name: str) -> str:
    """Return `name` as a folder name: lower case, other characters than letters, digits, _ and . become a hyphen."""
    return re.sub(r"[^\w.]+", "-", name.lower()).strip("-.") or "method"


def _override(table: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    *sections, last = key.strip().split(".")
    if not separator or not all([*sections, last]):
        raise ConfigError(f"override is {override!r}; it must be KEY=VALUE, for example training.epochs=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"override of {key.strip()!r} has a number of too many digits or too deep nesting") from error
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"override {override!r} does not name a key; {section!r} is not a table")
    table[last] = value


def _sentence(error: ValidationError) -> str:
    """Return one sentence on the first wrong key; if it has several types, on the type that fits the value best."""
    errors = error.errors()
    top = errors[0]["loc"][:2]
    first = max((item for item in errors if item["loc"][:2] == top), key=lambda item: len(item["loc"]))
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("function-", "list[", "constrained-")))
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r} = {first['input']!r}; {_allowed_keys(first['loc'])}"
    if first["type"] == "missing":
        return f"key {key!r} is missing; it is required"
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{key} is {first['input']!r}; {message.replace('input should be', 'it must be')}"


def _allowed_keys(location: tuple[int | str, ...]) -> str:
    sections: dict[str, type[BaseModel]] = {"model": ModelConfig, "training": TrainingConfig, "method": MethodConfig}
    section = sections.get(str(location[0]), Experiment) if len(location) > 1 else Experiment
    if "pruning" in location[:-1]:
        section = PruningConfig
    return f"allowed are: {', '.join(field.alias or name for name, field in section.model_fields.items())}"
