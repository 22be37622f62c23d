"""A small GPT on Tiny Shakespeare: dense, dense of as many parameters, and 10 % of all linear layers, static or under RigL.

Characters, the first 90 % for training. Four blocks, 256 wide, context 128, batch 32, AdamW (decay 0.1, betas 0.9 and 0.95)
with 100 steps of warm-up and half a cosine to a tenth, gradients clipped to norm 1. Every row tries two learning rates on 500
steps and takes the better one for 4,000; all rows see the same batches. RigL acts at every 100th step until 3,000, along half a
cosine from 0.3. One line of JSON per finished run goes to docs/results/gpt.jsonl; what is there is not run again.

    NETSCI_NN_DATA=... python -m scripts.gpt    # four hours on two cores; prints the table of docs/gpt.md
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netsci_nn as ns
from netsci_nn.models import GPT
from scripts.initialisation import Run, complete, read_runs

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "gpt.jsonl"
TEXT = Path("tinyshakespeare") / "input.txt"
ROWS = "dense", "dense, narrow", "static", "rigl"
RATES = 1e-3, 3e-3
STEPS, TRIED_STEPS, WARM_UP, EVALUATED = 4000, 500, 100, 500
WIDTH, LAYERS, HEADS, CONTEXT, BATCH, DENSITY = 256, 4, 4, 128, 32, 0.1
EVERY, UNTIL, FRACTION = 100, 0.75, 0.3
KEYS = "row", "rate", "steps"
TIMED_ROUNDS = 100


@cache
def text() -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the characters for training, those held out, both as numbers, and how many different ones there are."""
    path = Path(os.environ.get("NETSCI_NN_DATA", "")) / TEXT
    if not path.is_file():
        raise SystemExit(f"there is no file {str(path)!r}; NETSCI_NN_DATA must name a folder that holds {TEXT}")
    characters = path.read_text(encoding="utf-8")
    vocabulary = sorted(set(characters))
    numbers = torch.tensor([vocabulary.index(character) for character in characters])
    n_train = int(0.9 * len(numbers))
    return numbers[:n_train], numbers[n_train:], len(vocabulary)


def size(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def build(row: str) -> GPT:
    """Return the network of a row."""
    vocabulary_size = text()[2]
    model = GPT(vocabulary_size, CONTEXT, width=WIDTH, n_layers=LAYERS, n_heads=HEADS, rng=0)
    if row == "dense":
        return model
    ns.sparsify(model, density=DENSITY, rng=0)
    if row != "dense, narrow":
        return model
    narrow = [GPT(vocabulary_size, CONTEXT, width=w, n_layers=LAYERS, n_heads=HEADS, rng=0) for w in range(48, 129, HEADS)]
    return min(narrow, key=lambda candidate: abs(size(candidate) - size(model)))


class Trainer:
    """The training of one row, a step at a time."""

    def __init__(self, row: str, rate: float, steps: int) -> None:
        self.model, self.generator = build(row), torch.Generator().manual_seed(0)
        groups = ns.parameter_groups(self.model, weight_decay=0.1)
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95))

        def share(step: int) -> float:
            progress = (step - WARM_UP) / max(steps - WARM_UP, 1)
            return (step + 1) / WARM_UP if step < WARM_UP else 0.1 + 0.45 * (1 + math.cos(math.pi * progress))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, share)
        options: dict[str, Any] = {"every": EVERY, "until": UNTIL * steps, "fraction": ns.schedules.cosine(FRACTION)}
        self.rewiring = ns.Rewiring(self.model, self.optimizer, "rigl", **options, rng=0) if row == "rigl" else None

    def step(self) -> float:
        """Make a step on 32 stretches of the text; return the loss, in nats per character."""
        train = text()[0]
        starts = torch.randint(len(train) - CONTEXT, (BATCH, 1), generator=self.generator)
        tokens = train[starts + torch.arange(CONTEXT + 1)]
        loss = nn.functional.cross_entropy(self.model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if self.rewiring is not None:
            self.rewiring.step()
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return loss.item()

    @torch.no_grad()
    def validate(self) -> float:
        """Return the mean loss on the text held out, cut into stretches of 128 characters."""
        held_out = text()[1]
        n = (len(held_out) - 1) // CONTEXT
        inputs, targets = held_out[: n * CONTEXT].view(n, CONTEXT), held_out[1 : n * CONTEXT + 1].view(n, CONTEXT)
        self.model.eval()
        losses = [
            nn.functional.cross_entropy(self.model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
            for x, y in zip(inputs.split(BATCH), targets.split(BATCH), strict=True)
        ]
        self.model.train()
        return sum(losses) / (n * CONTEXT)


def run(settings: Run) -> Run:
    """Return the results of one run: validation losses on the way, and that at the end."""
    if settings["row"] == "seconds":
        return seconds_per_step()
    trainer, losses, curve = Trainer(*(settings[key] for key in KEYS)), [], []
    for step in range(1, settings["steps"] + 1):
        losses.append(trainer.step())
        if step % EVALUATED == 0:
            curve.append(round(trainer.validate(), 4))
            print(settings, step, f"training {statistics.fmean(losses[-100:]):.4f}, validation {curve[-1]:.4f}", flush=True)
    return {
        "validation": curve,
        "train_loss": statistics.fmean(losses[-100:]),
        "parameters": size(trainer.model),
        "width": trainer.model.norm.normalized_shape[0],
        "rewired": trainer.rewiring.rewired if trainer.rewiring else 0,
    }


def seconds_per_step() -> Run:
    """Return the seconds of a step of every row, measured in turns: the median, and for RigL its share of a rewiring more."""
    trainers = {row: Trainer(row, RATES[0], STEPS) for row in ROWS}
    taken: dict[str, list[float]] = {row: [] for row in ROWS}
    for _ in range(TIMED_ROUNDS):
        for row, trainer in trainers.items():
            begin = time.perf_counter()
            trainer.step()
            taken[row].append(time.perf_counter() - begin)
    medians = {row: statistics.median(values) for row, values in taken.items()}
    medians["rigl"] += (taken["rigl"][EVERY - 1] - medians["rigl"]) / EVERY
    return medians


def best_rate(runs: Iterable[Run], row: str) -> float:
    """Return the learning rate that was better after 500 steps."""
    tried = {record["rate"]: record["result"]["validation"][-1] for record in runs if _is(record, row, TRIED_STEPS)}
    return min(tried, key=lambda rate: tried[rate])


def _is(record: Run, row: str, steps: int) -> bool:
    return (record["row"], record["steps"]) == (row, steps)


def table(runs: list[Run]) -> str:
    """Return the finished runs as a Markdown table."""
    lines = [
        "| network | parameters | rate | validation after 500 | after 4,000 | best | gap to dense | seconds per step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    finished = {row: next((record for record in runs if _is(record, row, STEPS)), None) for row in ROWS}
    dense = finished["dense"]
    seconds: Run = next((record["result"] for record in runs if record["row"] == "seconds"), {})
    for row, record in finished.items():
        tried = "; ".join(
            f"{before['result']['validation'][-1]:.3f} ({before['rate']:g})" for before in runs if _is(before, row, TRIED_STEPS)
        )
        cells = [row, "", "", tried, "", "", "", f"{seconds[row]:.3f}" if row in seconds else ""]
        if record is not None:
            curve = record["result"]["validation"]
            cells[1], cells[2] = f"{record['result']['parameters']:,}", f"{record['rate']:g}"
            cells[4], cells[5] = f"{curve[-1]:.3f}", f"{min(curve):.3f}"
            cells[6] = f"{curve[-1] - dense['result']['validation'][-1]:+.3f}" if dense else ""
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the runs")
    parser.add_argument("--rows", nargs="*", choices=(*ROWS, "seconds"), default=(*ROWS, "seconds"), help="only these")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    options = parser.parse_args()
    constants = {"width": WIDTH, "layers": LAYERS, "context": CONTEXT, "batch": BATCH, "density": DENSITY, "seed": 0}

    def run_all(settings: Iterable[Run]) -> None:
        complete(options.out, settings, lambda _: {**constants, "threads": options.threads}, run, options.threads)

    for row in options.rows:
        if row == "seconds":
            run_all([{"row": "seconds", "rate": RATES[0], "steps": TIMED_ROUNDS}])
        else:
            run_all([{"row": row, "rate": rate, "steps": TRIED_STEPS} for rate in RATES])
            run_all([{"row": row, "rate": best_rate(read_runs(options.out), row), "steps": STEPS}])
    print(table(read_runs(options.out)))


if __name__ == "__main__":
    main()
