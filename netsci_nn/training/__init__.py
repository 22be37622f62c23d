"""Training: the loop, its step functions and callbacks; optimisers, losses, metrics and checkpoints."""

from netsci_nn.training.checkpoint import load_checkpoint, model_tensors, read_edges, save_checkpoint
from netsci_nn.training.evaluate import evaluate
from netsci_nn.training.learning_rate import SCHEDULES, LearningRateSchedule
from netsci_nn.training.loop import Step, supervised, train
from netsci_nn.training.losses import LOSSES
from netsci_nn.training.metrics import METRICS, Metric
from netsci_nn.training.optimizers import OPTIMIZERS, make_optimizer
from netsci_nn.training.progress import ProgressBar, progress_display
from netsci_nn.training.recorders import Checkpoint, Evaluate, JsonlLog, RecordTopology, log_digest
from netsci_nn.training.rewire import Rewire
from netsci_nn.training.state import Callback, Event, LiveLayer, Progress, TrainingState

__all__ = [
    "LOSSES",
    "METRICS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Callback",
    "Checkpoint",
    "Evaluate",
    "Event",
    "JsonlLog",
    "LearningRateSchedule",
    "LiveLayer",
    "Metric",
    "Progress",
    "ProgressBar",
    "RecordTopology",
    "Rewire",
    "Step",
    "TrainingState",
    "evaluate",
    "load_checkpoint",
    "log_digest",
    "make_optimizer",
    "model_tensors",
    "progress_display",
    "read_edges",
    "save_checkpoint",
    "supervised",
    "train",
]
