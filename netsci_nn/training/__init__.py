"""Training: a short loop, and callbacks for everything that varies."""

from netsci_nn.training.callbacks import Checkpoint, Evaluate, JsonlLog, LearningRateDecay, RecordTopology, Rewire
from netsci_nn.training.checkpoint import load_checkpoint, save_checkpoint
from netsci_nn.training.evaluate import evaluate
from netsci_nn.training.loop import Callback, Event, Progress, TrainingState, train
from netsci_nn.training.progress import ProgressBar, progress_display

__all__ = [
    "Callback",
    "Checkpoint",
    "Evaluate",
    "Event",
    "JsonlLog",
    "LearningRateDecay",
    "Progress",
    "ProgressBar",
    "RecordTopology",
    "Rewire",
    "TrainingState",
    "evaluate",
    "load_checkpoint",
    "progress_display",
    "save_checkpoint",
    "train",
]
