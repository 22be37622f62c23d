"""Draw the picture of every graph model and measure what its card in docs/models.md states.

    python scripts/model_cards.py            # writes docs/figures/model-*.png and the table in docs/models.md

Every model has 200 x 200 neurons and, if it takes a budget, 2000 edges; the table holds means over 10 seeds.
"""

import argparse
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import analysis
from analysis.render.markdown import markdown_table
from analysis.render.pictures.degrees import topology_card
from netsci_nn import BipartiteTopology
from netsci_nn import generators as g
from netsci_nn.files import atomic_write, write_text
from netsci_nn.generators import call, takes

SIZE, N_EDGES, N_SEEDS = 200, 2000, 10
BEGIN, END = "<!-- measured -->\n", "\n<!-- /measured -->"


def cases() -> dict[str, Callable[..., BipartiteTopology]]:
    """Return the models with the parameters that their cards show; file names are the keys."""
    random = np.random.default_rng(0)
    bump = np.exp(-(((np.arange(SIZE) - 100) / 40.0) ** 2))  # a statistic with a maximum in the middle
    degrees = np.repeat([2, 4, 14, 20], SIZE // 4)
    inputs = random.normal(size=(500, SIZE)).cumsum(axis=1) * 0.2 + random.normal(size=(500, SIZE))  # neighbours correlate
    ring = g.small_world(20, 20, n_edges=60, rewiring_probability=0.0, rng=0).to_igraph()
    return {
        "erdos_renyi": g.erdos_renyi,
        "erdos_renyi-gnp": partial(g.erdos_renyi, variant="gnp"),
        "erdos_renyi-with_replacement": partial(g.erdos_renyi, variant="with_replacement"),
        "barabasi_albert": g.barabasi_albert,
        "barabasi_albert-source": partial(g.barabasi_albert, sides="source"),
        "barabasi_albert-urn": partial(g.barabasi_albert, mode="urn"),
        "input_weighted": partial(g.input_weighted, weights=bump),
        "input_weighted-sequential": partial(g.input_weighted, weights=bump, sampler="sequential"),
        "small_world": g.small_world,
        "small_world-swap": partial(g.small_world, rewiring="swap"),
        "configuration_model": partial(g.configuration_model, out_degrees=degrees, in_degrees=degrees),
        "truncated_power_law": g.truncated_power_law,
        "constant_fan_in": g.constant_fan_in,
        "constant_fan_out": g.constant_fan_out,
        "regular": g.regular,
        "stochastic_block": g.stochastic_block,
        "grouped": partial(g.grouped, n_groups=20),
        "depthwise": g.depthwise,
        "shuffle": partial(g.shuffle, n_groups=10),
        "from_graph": partial(g.from_graph, ring),
        "relational": partial(g.relational, n_nodes=40, degree=4, rewiring_probability=0.1),
        "bsw": g.bsw,
        "brf": g.brf,
        "bsf": g.bsf,
        "csti": partial(g.csti, inputs=inputs),
    }


def measure(model: Callable[..., BipartiteTopology]) -> dict[str, float]:
    """Return means over the seeds: edges, degree spread of either side, clustering and that of random layers."""
    rows = []
    for seed in range(N_SEEDS):
        topology = generate(model, seed)
        report = analysis.describe(topology, measures=["clustering"], nulls=5, rng=seed)
        quantity = next(q for q in report.sections[0].quantities if q.name == "robins_alexander_clustering")
        values = [
            topology.n_edges,
            *(degrees.std() / degrees.mean() for degrees in (topology.out_degrees, topology.in_degrees)),
            quantity.value,
            quantity.nulls["erdos_renyi"].mean,
        ]
        rows.append([np.nan if value is None else float(value) for value in values])
    names = ("edges", "source degree CV", "target degree CV", "clustering", "random, same size")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def generate(model: Callable[..., BipartiteTopology], seed: int) -> BipartiteTopology:
    """Draw a model at the cards' size."""
    budget: dict[str, Any] = {"n_edges": N_EDGES} if takes(model, "n_edges") else {}
    if getattr(model, "func", None) is g.from_graph:
        return model(SIZE, SIZE)
    return call(model, SIZE, SIZE, rng=seed, **budget)


def main() -> None:
    """Draw and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=Path(__file__).resolve().parent.parent / "docs")
    folder: Path = parser.parse_args().docs
    console, rows = Console(stderr=True), []
    for name, model in cases().items():
        with atomic_write(folder / "figures" / f"model-{name}.png") as temporary:
            topology_card(generate(model, 0), title=name).savefig(temporary, dpi=80)
        found = measure(model)
        rows.append(
            [name, f"{found.pop('edges'):.0f}", *("-" if np.isnan(value) else f"{value:.3f}" for value in found.values())]
        )
        console.print(" ".join(rows[-1]), highlight=False)
    header = ["model", "edges", "source degree CV", "target degree CV", "clustering", "random, same size"]
    page = (folder / "models.md").read_text(encoding="utf-8")
    table = BEGIN + markdown_table(header, rows) + END
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    write_text(folder / "models.md", pattern.sub(lambda _: table, page))


if __name__ == "__main__":
    main()
