"""Experiments: the experiment file, its runs and their directories, and the ablation of a run's wiring."""

from netsci_nn.experiment.ablation import plan_ablation, run_ablation
from netsci_nn.experiment.build import build_model, build_optimizer, count_dense_weights, count_weights
from netsci_nn.experiment.config import Experiment, MethodConfig, load_experiment, parse_experiment
from netsci_nn.experiment.environment import describe_environment
from netsci_nn.experiment.result import RunResult
from netsci_nn.experiment.run import run_method
from netsci_nn.experiment.run_directory import RunDirectory
from netsci_nn.experiment.schedule import run_experiment

__all__ = [
    "Experiment",
    "MethodConfig",
    "RunDirectory",
    "RunResult",
    "build_model",
    "build_optimizer",
    "count_dense_weights",
    "count_weights",
    "describe_environment",
    "load_experiment",
    "parse_experiment",
    "plan_ablation",
    "run_ablation",
    "run_experiment",
    "run_method",
]
