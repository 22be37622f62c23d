"""Ablation of a run's wiring: retrain its final topology, shuffles with the same degrees, and random graphs of the same size.

The three are ordinary methods of one experiment, so their runs are logged, checkpointed, resumed and shared between processes
like any others. For one seed only the wiring differs: the order of the mini-batches is the same, and so are the standard normal
draws of the initial weights, which each layer scales by its own in-degrees.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from netsci_nn.checks import check_count
from netsci_nn.data import Dataset
from netsci_nn.errors import ConfigError
from netsci_nn.experiment.build import sparse_sizes
from netsci_nn.experiment.config import STORED, Experiment, load_experiment, parse_experiment
from netsci_nn.experiment.lock import locked
from netsci_nn.experiment.paired import CONFIDENCE, PairedDifference, paired_difference, spread
from netsci_nn.experiment.result import RunResult
from netsci_nn.experiment.run_directory import RunDirectory
from netsci_nn.experiment.schedule import CallbackFactory, run_experiment
from netsci_nn.files import leftovers, make_directory, to_json, write_text
from netsci_nn.topology import BipartiteTopology, load_topology, save_topology
from netsci_nn.training import METRICS

OWN, SAME_DEGREES, SAME_SIZE = ARMS = "own wiring", "same degrees", "same size"
CONTRASTS = (
    ("structure beyond degrees", OWN, SAME_DEGREES),
    ("degrees", SAME_DEGREES, SAME_SIZE),
)
FILE = "ablation.json"
WIRING = "wiring"


class Plan(NamedTuple):
    """The retrainings of an ablation and where they are written."""

    experiment: Experiment
    topologies: tuple[BipartiteTopology, ...]  # the run's final ones
    directory: Path


@dataclass(frozen=True)
class Ablation:
    """A metric of the three wirings and its paired differences.

    Attributes:
        seeds: of the retrainings, in ascending order.
        metric: the first metric of the experiment, a name in `netsci_nn.training.METRICS`.
        scores: by method the metric on the test rows (an accuracy is 0 to 1), one value per seed.
        differences: the effects of structure beyond the degrees, and of the degrees.
    """

    seeds: tuple[int, ...]
    metric: str
    scores: dict[str, tuple[float, ...]]
    differences: tuple[PairedDifference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        arms = {
            name: {"scores": list(values), "mean": fmean(values), "sd": spread(values)} for name, values in self.scores.items()
        }
        differences = [{**asdict(difference), "says": difference.sentence} for difference in self.differences]
        return {
            "seeds": list(self.seeds),
            "metric": self.metric,
            "methods": arms,
            "confidence": CONFIDENCE,
            "differences": differences,
        }


def plan_ablation(run: Path, directory: Path, *, seeds: int = 5, epochs: int | None = None) -> Plan:
    """Read a run and plan its retrainings; nothing is written.

    The topology does not change in a retraining. The settings of training are the run's own, without its rewiring and pruning.
    The seeds are 0, 1, ... without the run's own.

    Args:
        run: run directory of a sparse network.
        directory: for the retrainings; new, empty, or begun by an ablation of the same run.
        seeds: how many, at least 1.
        epochs: of every retraining, by default those of the run.

    Raises:
        ConfigError: if an argument is not allowed, `run` is no run of a sparse network, or `directory` holds other things.
        CheckpointError: if a file is damaged.
    """
    check_count("seeds", seeds, 1, error=ConfigError)
    ablated = RunDirectory(run)
    if not ablated.is_begun:
        raise ConfigError(f"run {str(run)!r} has no config.toml; it must be a run directory")
    known = load_experiment(ablated.config)
    if known.methods[0].is_dense:
        raise ConfigError(f"run {str(run)!r} trained the dense method {known.methods[0].name!r}; there is no wiring to ablate")
    topologies = tuple(layer.topology for layer in ablated.final_layers())
    _check_topologies(run, topologies, known)
    table = known.model_dump(mode="json", exclude_none=True)
    others = [seed for seed in range(seeds + 1) if seed != known.seeds[0]][:seeds]
    table |= {"method": _methods(topologies, directory), "seeds": others}
    if epochs is not None:
        table["training"]["epochs"] = epochs
    plan = Plan(parse_experiment(table, f"ablation of {str(run)!r}"), topologies, directory)
    _check_directory(plan)
    return plan


def run_ablation(
    plan: Plan, dataset: Dataset, further: CallbackFactory | None = None, *, workers: int = 1
) -> Generator[RunResult, None, None]:
    """Retrain every wiring with every seed and yield each result when it is ready; complete retrainings are only read.

    Args:
        plan: from `plan_ablation`.
        dataset: the run's.
        further: makes a further callback from a method's name and a seed; used with one worker only.
        workers: number of processes that share the retrainings, at least 1.

    Raises:
        ConfigError, DataError: if something does not fit, or `plan.directory` was begun with other settings.
    """
    check_count("workers", workers, 1, error=ConfigError)
    make_directory(plan.directory / WIRING)
    with locked(plan.directory / WIRING):
        _write_wiring(plan)
    yield from run_experiment(plan.experiment, dataset, plan.directory, further, workers=workers, resume=True)


def summarise(results: Iterable[RunResult]) -> Ablation | None:
    """Compare the wirings over the seeds for which all three are complete; None if there is no such seed."""
    complete = [result for result in results if not result.interrupted]
    table = {(result.method, result.seed): result.score for result in complete}
    seeds = sorted({seed for _, seed in table if all((arm, seed) in table for arm in ARMS)})
    if not seeds:
        return None
    metric = complete[0].metric
    scores = {arm: tuple(table[arm, seed] for seed in seeds) for arm in ARMS}
    is_better_high = METRICS[metric].is_better_high
    differences = [
        paired_difference(name, first, scores[first], second, scores[second], is_better_high=is_better_high)
        for name, first, second in CONTRASTS
    ]
    return Ablation(tuple(seeds), metric, scores, tuple(differences))


def save_ablation(ablation: Ablation, plan: Plan, run: Path) -> Path:
    """Write `ablation.json` into the plan's directory and return its path."""
    training = plan.experiment.training.model_dump(mode="json")
    edges = [topology.n_edges for topology in plan.topologies]
    header = {"run": str(run), "dataset": plan.experiment.dataset, "training": training, "edges": edges}
    path = plan.directory / FILE
    write_text(path, to_json({**header, **ablation.to_dict()}))
    return path


def _write_wiring(plan: Plan) -> None:
    for temporary in leftovers(plan.directory / WIRING, "layer-*.safetensors") + leftovers(plan.directory, FILE):
        temporary.unlink()
    for layer, topology in enumerate(plan.topologies):
        path = _wiring(plan.directory, layer)
        if not path.is_file():
            save_topology(topology, path)


def _methods(topologies: Sequence[BipartiteTopology], directory: Path) -> list[dict[str, Any]]:
    """Return the three wirings as methods of an experiment file."""
    own, degrees = [], []
    for layer, topology in enumerate(topologies):
        own.append({"name": STORED, "path": str(_wiring(directory, layer).resolve())})
        ends = {"out_degrees": topology.out_degrees.tolist(), "in_degrees": topology.in_degrees.tolist()}
        degrees.append({"name": "configuration_model", **ends})
    size = [topology.density for topology in topologies]
    return [
        {"name": OWN, "generator": own, "density": size},
        {"name": SAME_DEGREES, "generator": degrees, "density": size},
        {"name": SAME_SIZE, "generator": "erdos_renyi", "density": size},
    ]


def _wiring(directory: Path, layer: int) -> Path:
    return directory / WIRING / f"layer-{layer}.safetensors"


def _check_topologies(run: Path, topologies: Sequence[BipartiteTopology], experiment: Experiment) -> None:
    shapes, stated = [(topology.n_in, topology.n_out) for topology in topologies], list(sparse_sizes(experiment).values())
    if shapes != stated:
        raise ConfigError(f"run {str(run)!r} has sparse layers of the shapes {shapes}; its config.toml says {stated}")
    for layer, topology in enumerate(topologies):
        if topology.n_edges == 0:
            raise ConfigError(f"run {str(run)!r} has no edge left in layer {layer}; there is nothing to retrain")


def _check_directory(plan: Plan) -> None:
    """Raise a ConfigError unless the directory is new, empty, or holds an ablation of the same topologies."""
    directory = plan.directory
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not (directory / WIRING).is_dir():
        raise ConfigError(f"directory {str(directory)!r} exists and holds no ablation; results go to a new folder")
    if any((directory / WIRING).glob("*.graphml")):
        raise ConfigError(f"directory {str(directory)!r} holds an ablation of version 0.1.0; results go to a new folder")
    for layer, topology in enumerate(plan.topologies):
        path = _wiring(directory, layer)
        if path.is_file() and load_topology(path) != topology:
            raise ConfigError(
                f"directory {str(directory)!r} holds the ablation of another topology; results go to a new folder"
            )
