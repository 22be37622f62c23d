"""How `sparsify(init=)` decides whether deep networks start: "keep" and "fan_in" on networks of 3, 10 and 30 layers.

A dense network (64 - 256 - ... - 256 - 10, ReLU) for the digits is made sparse and trained. It starts from torch's
initialisation of `nn.Linear`, from He's, or from He's and training. One line of JSON per finished run goes to
docs/results/initialisation.jsonl; runs that are there are not run again.

    python -m scripts.initialisation    # about ten minutes on one core; prints the table of docs/networks.md in the end
"""

import argparse
import copy
import json
import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.data import load_dataset
from netsci_nn.training import evaluate, train

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "initialisation.jsonl"
STARTS = "torch", "he", "trained"
LAYERS = 3, 10, 30
DENSITIES = 0.05, 0.1
INITS = "keep", "fan_in"
SEEDS = range(5)
EPOCHS, BATCH, LEARNING_RATE = 5, 32, 1e-3
KEYS = "start", "layers", "density", "init", "seed"

Run = dict[str, Any]


def all_settings() -> list[Run]:
    """Return the settings of every run; a dense network has density 1 and no `init`."""
    return [
        dict(zip(KEYS, (start, layers, *arm, seed), strict=True))
        for seed, layers, start, arm in product(SEEDS, LAYERS, STARTS, [(1.0, None), *product(DENSITIES, INITS)])
    ]


def digits() -> list[torch.Tensor]:
    """Return inputs and labels for training, and those held out."""
    data = load_dataset("digits")
    return [torch.from_numpy(array) for array in (data.x_train, data.y_train, data.x_test, data.y_test)]


@cache
def dense_network(start: str, layers: int, seed: int) -> nn.Sequential:
    """Return the dense network that a run starts from."""
    sizes = [64, *[256] * (layers - 1), 10]
    if start == "he":
        return ns.dense_mlp(sizes, rng=seed)
    if start == "trained":
        model = copy.deepcopy(dense_network("he", layers, seed))
        fit(model, seed)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = [module for n_in, n_out in pairwise(sizes) for module in (nn.Linear(n_in, n_out), nn.ReLU())]
    return nn.Sequential(*modules[:-1])


def fit(model: nn.Module, seed: int) -> None:
    """Train a network."""
    x, y, _, _ = digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    train(model, optimizer, x, y, epochs=EPOCHS, batch_size=BATCH, rng=seed)


def deviation(model: nn.Module) -> float:
    """Return the standard deviation of the logits over the inputs, as a mean over the ten."""
    with torch.no_grad():
        return float(model(digits()[0]).std(dim=0).mean())


def run(settings: Run) -> Run:
    """Return the results of one run."""
    x, y, x_test, y_test = digits()
    start, layers, density, init, seed = (settings[key] for key in KEYS)
    model = copy.deepcopy(dense_network(start, layers, seed))
    before = deviation(model)
    if init is not None:
        ns.sparsify(model, density=density, init=init, rng=seed)
    result = {"deviation": deviation(model) / before, "start_accuracy": evaluate(model, x_test, y_test)["accuracy"]}
    fit(model, seed)
    result["train_accuracy"] = evaluate(model, x, y)["accuracy"]
    result["accuracy"] = evaluate(model, x_test, y_test)["accuracy"]
    return result


def machine() -> Run:
    """Return what the numbers were made on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"cpus": os.cpu_count(), "cpu": model, "torch": torch.__version__}


def read_runs(path: Path = RESULTS) -> list[Run]:
    """Return the runs that are finished."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def complete(
    out: Path, settings: Iterable[Run], constants: Callable[[Run], Run], run: Callable[[Run], Run], threads: int = 1
) -> None:
    """Run what is missing in a file, on so many threads, and append a line for each finished run."""
    torch.set_num_threads(threads)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    done = [{**record, "result": None} for record in read_runs(out)]
    out.parent.mkdir(parents=True, exist_ok=True)
    for own in settings:
        if not any(own.items() <= record.items() for record in done):
            record = {**own, **constants(own), "commit": commit, **machine(), "result": run(own)}
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def table(runs: Iterable[Run]) -> str:
    """Return the means over the seeds as a Markdown table: deviation relative to dense, and accuracy on held-out digits."""
    values: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for record in runs:
        values[tuple(record[key] for key in KEYS[:-1])].append(record["result"])

    def mean(start: str, layers: int, density: float, init: str | None, what: str) -> float:
        found = values[start, layers, density, init]
        return sum(result[what] for result in found) / len(found)

    lines = [
        "| start | layers | density | deviation: keep | fan_in | accuracy: keep | fan_in | dense |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for start, layers, density in product(STARTS, LAYERS, DENSITIES):
        deviations = [f"{mean(start, layers, density, init, 'deviation'):.2g}" for init in INITS]
        accuracies = [f"{100 * mean(start, layers, density, init, 'accuracy'):.1f}" for init in INITS]
        dense = f"{100 * mean(start, layers, 1.0, None, 'accuracy'):.1f}"
        lines.append(f"| {' | '.join([start, str(layers), str(density), *deviations, *accuracies, dense])} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the runs")
    out = parser.parse_args().out
    constants = {"epochs": EPOCHS, "batch": BATCH, "lr": LEARNING_RATE}
    complete(out, all_settings(), lambda settings: constants, run)
    print(table(read_runs(out)))


if __name__ == "__main__":
    main()
