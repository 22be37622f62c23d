"""Train on several processes while edges change: every rank has rows of its own, and all have the same network.

torchrun --standalone --nproc-per-node 2 scripts/ddp.py --rule rigl     # or: set; in one process: python scripts/ddp.py
"""

import argparse
import os

import torch
from torch import distributed
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import netsci_nn as ns
from netsci_nn.data import load_dataset
from netsci_nn.models import sparse_layers


def main() -> None:
    """Train on the digits; print on every rank a hash of the network, and on the first the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rule", choices=["set", "rigl"], default="rigl", help="how edges change")
    parser.add_argument("--steps", type=int, default=200, help="gradient steps")
    options = parser.parse_args()
    if "RANK" in os.environ:
        distributed.init_process_group("gloo")
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    data = load_dataset("digits")
    x, y, x_test, y_test = map(torch.from_numpy, (data.x_train, data.y_train, data.x_test, data.y_test))
    network = ns.SparseMLP([64, 256, 128, 10], density=0.1, rng=0).double()  # on every rank the same edges
    model = DistributedDataParallel(network) if size > 1 else network
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    until, fraction = 0.75 * options.steps, ns.schedules.cosine(0.3)
    rewiring = ns.Rewiring(model, optimizer, options.rule, every=10, until=until, fraction=fraction, rng=0)
    order = torch.Generator().manual_seed(0)
    for _ in range(options.steps):
        rows = torch.randperm(len(x), generator=order)[:64][rank::size]
        cross_entropy(model(x[rows].double()), y[rows]).backward()
        rewiring.step()
        optimizer.step()
        optimizer.zero_grad()
    accuracy = (network(x_test.double()).argmax(1) == y_test).double().mean()
    edges = [layer.topology.digest[:8] for layer in sparse_layers(network)]
    weights = sum(parameter.detach().abs().sum() for parameter in network.parameters())
    print(f"rank {rank}: edges {' '.join(edges)}, weights {weights:.9f}, {rewiring.rewired} rewired, accuracy {accuracy:.3f}")
    if size > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
