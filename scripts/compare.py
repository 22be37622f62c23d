"""Compare the methods of an experiment file: tables on the terminal, one page and all runs under ./runs/.

    python scripts/compare.py scripts/experiments/lenet300-mnist.toml --data-dir DIR

What `netsci-nn compare` does, on the public library; copy it to script a comparison of your own.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from netsci_nn.data import load_dataset
from netsci_nn.experiment.config import load_experiment, slug
from netsci_nn.files import new_directory
from netsci_nn.reports.comparison import comparison_tables, run_comparison, write_page, write_results


def main() -> None:
    """Parse the command line and run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--nulls", type=int, default=20, help="random graphs of each null model for every network")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a key of the file")
    arguments = parser.parse_args()
    try:
        experiment = load_experiment(arguments.experiment, arguments.set)
        dataset = load_dataset(experiment.dataset, arguments.data_dir)
        directory = new_directory(Path("runs") / slug(experiment.name))
        comparison = run_comparison(experiment, dataset, directory, nulls=arguments.nulls, console=Console(stderr=True))
    except ValueError as error:  # what a user can fix is one sentence
        parser.error(str(error))
    if not comparison.results:
        parser.exit(130, f"interrupted; {comparison.state}, in {directory}\n")
    write_results(comparison)
    console = Console(width=None if sys.stdout.isatty() else 136)
    for part in comparison_tables(comparison):
        console.print(part)
    print(f"The page with curves and pictures: {write_page(comparison)}")
    if comparison.is_interrupted:
        parser.exit(130, f"interrupted; {comparison.state}, in {directory}\n")


if __name__ == "__main__":
    main()
