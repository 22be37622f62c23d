"""Compare the methods of an experiment file: tables on the terminal, one page and all runs under ./runs/.

    python scripts/compare.py scripts/experiments/lenet300-mnist.toml --data-dir DIR

The same as `netsci-nn compare`; copy it to script a comparison of your own.
"""

import argparse
from pathlib import Path

from netsci_nn.cli.comparison import run_comparison
from netsci_nn.cli.output import new_directory, reported_errors
from netsci_nn.data import load_dataset
from netsci_nn.experiment.config import load_experiment, slug


def main() -> None:
    """Parse the command line and run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--nulls", type=int, default=20, help="random graphs of each null model for every network")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a key of the file")
    arguments = parser.parse_args()
    experiment = load_experiment(arguments.experiment, arguments.set)
    dataset = load_dataset(experiment.dataset, arguments.data_dir)
    run_comparison(experiment, dataset, new_directory(Path("runs") / slug(experiment.name)), arguments.nulls)


if __name__ == "__main__":
    with reported_errors():
        main()
