"""Figures 2 to 7 of the brain-inspired paper from run directories alone."""

from pathlib import Path

from netsci_nn.data import Dataset


def draw_all(runs: Path, dataset: Dataset, out: Path) -> list[Path]:
    """Draw every figure for which `runs` has the runs."""
    return []
