"""A progress bar for training, silent if the output is not a terminal."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from netsci_nn.training.metrics import METRICS
from netsci_nn.training.state import Event, TrainingState


def progress_display(console: Console) -> Progress:
    """Return a rich progress display to be used as a context; it shows nothing if `console` is not a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


class ProgressBar:
    """Show the mini-batches of one training as a bar with the latest value of a metric.

    Args:
        display: the display that the bar joins.
        description: what is trained.
    """

    needs_every_step = False

    def __init__(self, display: Progress, description: str) -> None:
        self.display = display
        self.description = description
        self.task: TaskID | None = None

    def __call__(self, event: Event, state: TrainingState) -> None:
        """Advance, or remove the bar at the end."""
        if event is Event.START:
            self.task = self.display.add_task(self.description, total=state.total_steps, completed=state.step)
        elif self.task is not None and event is Event.STEP:
            self.display.update(self.task, completed=state.step)
        elif self.task is not None and event is Event.EPOCH:
            known = [name for name in METRICS if f"test_{name}" in state.record]
            text = f"  {METRICS[known[0]].text(state.record[f'test_{known[0]}'])}" if known else ""
            self.display.update(self.task, description=f"{self.description}{text}")
        elif self.task is not None and event is Event.END:
            self.display.remove_task(self.task)
