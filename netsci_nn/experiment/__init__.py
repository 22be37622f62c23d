"""An experiment: every method with every seed, each run in a directory of its own."""

from netsci_nn.experiment.ablation import plan_ablation, run_ablation
from netsci_nn.experiment.build import build_model, build_optimizer, count_dense_weights, count_weights
from netsci_nn.experiment.directory import describe_environment
from netsci_nn.experiment.recorded import recorded_births, recorded_topologies
from netsci_nn.experiment.result import RunResult, load_result
from netsci_nn.experiment.run import run_method
from netsci_nn.experiment.schedule import run_experiment

__all__ = [
    "RunResult",
    "build_model",
    "build_optimizer",
    "count_dense_weights",
    "count_weights",
    "describe_environment",
    "load_result",
    "plan_ablation",
    "recorded_births",
    "recorded_topologies",
    "run_ablation",
    "run_experiment",
    "run_method",
]
