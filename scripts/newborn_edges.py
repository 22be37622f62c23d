"""What the optimiser does with newborn edges: four policies, two rules, two datasets, two rates (`Rewiring(optimizer_state=)`).

MNIST is learned by 784 - 300 - 100 - 10 at densities 0.1, 0.1 and 0.25, the digits by 64 - 256 - 128 - 10 at density 0.1, both
with AdamW. SET replaces 0.3 of each sign after every epoch; RigL acts at every 100th step until three quarters of the training,
along half a cosine from 0.3. One line of JSON per finished run goes to docs/results/newborn_edges.jsonl; what is there is not
run again.

    NETSCI_NN_DATA=... python -m scripts.newborn_edges    # twenty minutes; prints the tables of docs/newborn-edges.md

Measured are the mean training loss of the last epoch, the accuracy on held-out images at the end, and the jump: the mean loss
of the ten steps after a rewiring divided by that of the ten steps before, as a geometric mean over all rewirings.
"""

import argparse
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.data import load_dataset
from netsci_nn.rewiring.newborn import POLICIES
from netsci_nn.training import evaluate
from scripts.initialisation import Run, complete, read_runs

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "newborn_edges.jsonl"
NETWORKS: dict[str, dict[str, Any]] = {
    "digits": {"sizes": [64, 256, 128, 10], "density": 0.1, "epochs": 40, "batch": 32},
    "mnist": {"sizes": [784, 300, 100, 10], "density": [0.1, 0.1, 0.25], "epochs": 6, "batch": 100},
}
RULES, RATES, SEEDS = ("set", "rigl"), (3e-3, 1e-2), range(6)
KEYS = "dataset", "rule", "rate", "policy", "seed"
WINDOW = 10  # steps before and after a rewiring
MEASURES = {"train_loss": "training loss", "accuracy": "accuracy, %", "jump": "jump of the loss"}


def all_settings() -> list[Run]:
    """Return the settings of every run."""
    return [
        dict(zip(KEYS, (dataset, rule, rate, policy, seed), strict=True))
        for seed, dataset, rule, rate, policy in product(SEEDS, NETWORKS, RULES, RATES, POLICIES)
    ]


@cache
def tensors(dataset: str) -> list[torch.Tensor]:
    """Return inputs and labels for training, and those held out."""
    data = load_dataset(dataset)
    return [torch.from_numpy(array) for array in (data.x_train, data.y_train, data.x_test, data.y_test)]


def run(settings: Run) -> Run:
    """Return the results of one run."""
    dataset, rule, rate, policy, seed = (settings[key] for key in KEYS)
    network, (x, y, x_test, y_test) = NETWORKS[dataset], tensors(dataset)
    torch.manual_seed(seed)
    model = ns.SparseMLP(network["sizes"], density=network["density"], rng=seed)
    optimizer = torch.optim.AdamW(ns.parameter_groups(model, weight_decay=0.01), lr=rate)
    per_epoch = -(-len(x) // network["batch"])
    until = 0.75 * network["epochs"] * per_epoch
    options: dict[str, Any] = {"rng": seed, "optimizer_state": policy}
    if rule == "set":
        rewiring = ns.Rewiring(model, optimizer, "set", every=per_epoch, fraction=0.3, **options)
    else:
        fraction = ns.schedules.cosine(0.3)
        rewiring = ns.Rewiring(model, optimizer, "rigl", every=100, until=until, fraction=fraction, **options)
    losses = []
    for _ in range(network["epochs"]):
        for rows in torch.randperm(len(x)).split(network["batch"]):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            rewiring.step()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    every = rewiring.every or 1
    last = min(until if rule == "rigl" else math.inf, len(losses) - WINDOW)
    jumps = [
        math.log(statistics.fmean(losses[step : step + WINDOW]) / statistics.fmean(losses[step - WINDOW : step]))
        for step in range(every, int(last) + 1, every)
    ]
    return {
        "train_loss": statistics.fmean(losses[-per_epoch:]),
        "accuracy": evaluate(model, x_test, y_test)["accuracy"],
        "jump": math.exp(statistics.fmean(jumps)),
        "rewired": rewiring.rewired,
    }


def table(runs: Iterable[Run]) -> str:
    """Return mean and standard deviation over the seeds as a Markdown table."""
    values: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for record in runs:
        values[tuple(record[key] for key in KEYS[:-1])].append(record["result"])

    def cell(key: tuple[Any, ...], measure: str) -> str:
        found = [(100 if measure == "accuracy" else 1) * result[measure] for result in values[key]]
        digits = {"train_loss": 4, "accuracy": 2, "jump": 2}[measure]
        return f"{statistics.fmean(found):.{digits}f} ± {statistics.stdev(found):.{digits}f}"

    lines = [f"| dataset | rule | rate | measure | {' | '.join(POLICIES)} |", f"|---|---|---|---|{'---|' * len(POLICIES)}"]
    for dataset, rule, rate in product(NETWORKS, RULES, RATES):
        for measure, name in MEASURES.items():
            cells = [cell((dataset, rule, rate, policy), measure) for policy in POLICIES]
            lines.append(f"| {dataset} | {rule} | {rate:g} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(runs: Iterable[Run]) -> str:
    """Return what each policy adds to the accuracy of "zero", in points, over all settings, as a Markdown table."""
    accuracy = {tuple(record[key] for key in KEYS): 100 * record["result"]["accuracy"] for record in runs}
    settings = list(product(NETWORKS, RULES, RATES))

    def added(policy: str, setting: tuple[Any, ...], seed: int) -> float:
        return accuracy[(*setting, policy, seed)] - accuracy[(*setting, "zero", seed)]

    lines = ["| policy | mean difference | standard error over seeds | settings above zero |", "|---|---|---|---|"]
    for policy in POLICIES[1:]:
        means = [statistics.fmean(added(policy, setting, seed) for setting in settings) for seed in SEEDS]
        error = statistics.stdev(means) / math.sqrt(len(means))
        above = sum(statistics.fmean(added(policy, setting, seed) for seed in SEEDS) > 0 for setting in settings)
        lines.append(f"| {policy} | {statistics.fmean(means):+.2f} | {error:.2f} | {above} of {len(settings)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the runs")
    out = parser.parse_args().out
    complete(out, all_settings(), lambda settings: NETWORKS[settings["dataset"]], run)
    print(table(read_runs(out)), differences(read_runs(out)), sep="\n\n")


if __name__ == "__main__":
    main()
