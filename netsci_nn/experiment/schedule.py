"""All runs of an experiment, one after the other or in several processes; interrupted ones are resumed."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import torch

from netsci_nn.checks import check_count
from netsci_nn.data import Dataset
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.experiment.config import Experiment, MethodConfig
from netsci_nn.experiment.result import RunResult
from netsci_nn.experiment.run import check_method, run_checked
from netsci_nn.experiment.run_directory import RunDirectory
from netsci_nn.experiment.shared_dataset import SharedDataset
from netsci_nn.interruption import TERMINATED, Terminated, starting_deaf_processes, terminate
from netsci_nn.training import Callback

CallbackFactory = Callable[[str, int], Callback]


class Task(NamedTuple):
    """A run that is to be done."""

    method: MethodConfig
    seed: int
    directory: Path
    dense_run: Path | None  # which must be complete before


def run_experiment(
    experiment: Experiment,
    dataset: Dataset,
    directory: Path,
    further: CallbackFactory | None = None,
    *,
    workers: int = 1,
    resume: bool = False,
) -> Generator[RunResult, None, None]:
    """Run every method with every seed and yield each result when it is ready.

    After Ctrl-C the last result is marked as interrupted, or a KeyboardInterrupt comes: always so with several processes, and
    where no run was in training. Either way the runs can be resumed.

    Every method is checked once, before the first run. A dense network that several methods prune is trained once per seed,
    before them.

    Args:
        experiment: the methods, the seeds, and the model and recipe that all methods share.
        dataset: with as many features as the network has inputs.
        directory: where run directories are made: `METHOD/seed-0` and so on.
        further: makes a further callback from a method's name and a seed, such as a progress bar; used with one worker only.
        workers: number of processes that share the runs, at least 1.
        resume: read the results of complete runs in `directory` and resume incomplete ones, instead of refusing them.

    Yields:
        A result per run. With one worker they come seed by seed in the order of the methods, those that prune last.

    Raises:
        ConfigError, DataError, TopologyError: if the experiment does not fit, before anything is written; if a run directory is
            not empty, or with `resume` was begun with other settings; if a worker process dies.
        CheckpointError: if a checkpoint or a result to resume from is damaged.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from netsci_nn.data import load_dataset
        >>> from netsci_nn.experiment import parse_experiment, run_experiment
        >>> table = {"name": "example", "dataset": "digits", "model": {"layer_sizes": [64, 10], "density": 0.2}}
        >>> table |= {"training": {"epochs": 1}, "method": [{"name": "ER"}, {"name": "FC", "generator": "dense"}]}
        >>> with TemporaryDirectory() as folder:
        ...     results = list(run_experiment(parse_experiment(table, "example"), load_dataset("digits"), Path(folder)))
        >>> [(result.method, result.seed, result.n_edges) for result in results]
        [('ER', 0, 128), ('FC', 0, 640)]
    """
    check_count("workers", workers, 1, error=ConfigError)
    for method in experiment.methods:
        check_method(experiment, method, dataset)
    tasks = _tasks(experiment, directory)
    for task in tasks:
        run = RunDirectory(task.directory)
        if resume and run.is_begun:
            run.check_same_run(experiment, task.method, task.seed)
    if workers == 1:
        yield from _run_here(experiment, dataset, tasks, further, resume)
    else:
        yield from _run_in_workers(experiment, dataset, tasks, workers, resume)


def _tasks(experiment: Experiment, directory: Path) -> list[Task]:
    """Return all runs, seed by seed, in the order of the methods; methods that prune come after all others."""
    tasks = []
    for seed in experiment.seeds:
        for method in sorted(experiment.methods, key=lambda method: method.pruning is not None):
            dense = None if method.pruning is None else method.pruning.dense
            dense_run = None if dense is None else RunDirectory.of(directory, dense, seed).path
            tasks.append(Task(method, seed, RunDirectory.of(directory, method.name, seed).path, dense_run))
    return tasks


def _run_here(
    experiment: Experiment, dataset: Dataset, tasks: list[Task], further: CallbackFactory | None, resume: bool
) -> Generator[RunResult, None, None]:
    for task in tasks:
        callbacks = [] if further is None else [further(task.method.name, task.seed)]
        result = _run(experiment, dataset, task, callbacks, resume)
        yield result
        if result.interrupted:
            return


def _run(experiment: Experiment, dataset: Dataset, task: Task, callbacks: list[Callback], resume: bool) -> RunResult:
    """Do a run, or what is left of it; a complete run is only read."""
    method, seed, directory, dense_run = task
    run = RunDirectory(directory)
    known = run.load_result() if resume else None
    if known is not None:
        if (known.method, known.seed, known.interrupted) != (method.name, seed, False):
            raise CheckpointError(
                f"file {str(run.result)!r} is of method {known.method!r}, seed {known.seed}, "
                f"{'interrupted' if known.interrupted else 'complete'}; it must be of {method.name!r}, seed {seed}, complete"
            )
        return known
    return run_checked(experiment, method, seed, dataset, directory, callbacks, resume=resume, dense_run=dense_run)


def _run_in_workers(
    experiment: Experiment, dataset: Dataset, tasks: list[Task], workers: int, resume: bool
) -> Generator[RunResult, None, None]:
    """Share the runs between spawned processes; a forked process could not use compiled code on threads.

    They do not hear Ctrl-C, since they are told to terminate when the runs end early, for whatever reason. If this process is
    killed, they end by themselves.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads of one process must not take the core of another
    others = set(multiprocessing.active_children())
    shared = SharedDataset(dataset)
    arguments: Any = (experiment, shared, workers)  # in which a SharedDataset arrives as a Dataset
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, arguments)

    def submit(ready: list[Task]) -> set[Future[RunResult]]:
        with starting_deaf_processes():
            return {pool.submit(_run_in_worker, task, resume) for task in ready}

    running: set[Future[RunResult]] = set()
    waiting = [task for task in tasks if task.dense_run is not None]
    try:
        running = submit([task for task in tasks if task.dense_run is None])
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                yield result
                running |= submit([task for task in waiting if task.dense_run == result.directory])
                waiting = [task for task in waiting if task.dense_run != result.directory]
        pool.shutdown()
    except BrokenProcessPool as error:
        raise ConfigError(
            f"workers is {workers}, and one of these processes has died, perhaps for lack of memory; what is complete is kept: "
            "resume, perhaps with fewer workers"
        ) from error
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        shared.close()


_worker: dict[str, tuple[Experiment, Dataset]] = {}


def _start_worker(experiment: Experiment, dataset: Dataset, workers: int) -> None:
    """Set the number of threads of a process, for runs that are begun without one, and keep the job for the tasks to come."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
    _worker["job"] = experiment, dataset


def _end_with_parent() -> None:
    """End this process when its parent is dead, for which it would wait for ever, or hold a run that is to be resumed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_in_worker(task: Task, resume: bool) -> RunResult:
    """Do a run; if the process is told to terminate, it leaves no file half written."""
    experiment, dataset = _worker["job"]
    signal.signal(signal.SIGTERM, terminate)
    try:
        return _run(experiment, dataset, task, [], resume)
    except Terminated:
        os._exit(TERMINATED)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
