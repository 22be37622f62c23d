"""`netsci-nn doctor`: what this installation has."""

from typing import Annotated

import typer

from netsci_nn.cli.destinations import report_unwritten
from netsci_nn.cli.output import find_analysis, print_line, print_table
from netsci_nn.experiment import describe_environment
from netsci_nn.interruption import keeping
from netsci_nn.kernels import BACKENDS, crossover, measure_crossover
from netsci_nn.kernels.auto import cache_file


def doctor(
    measure: Annotated[bool, typer.Option("--measure", help="Measure which backend is faster where; `auto` uses it.")] = False,
) -> None:
    """Print versions, threads, which backends can run, and from which density `auto` takes dense layers."""
    if measure:
        print_line("measuring the compiled backend against dense and csr, and convolutions ...")
        with report_unwritten(cache_file()):
            measure_crossover()

    with keeping(lambda: "what was measured is kept" if measure else "what was printed is all there is"):
        _print()


def _print() -> None:
    import torch

    environment = describe_environment()
    rows = [["python", environment["python"]], *([name, version] for name, version in environment["packages"].items())]
    print_table("Versions", ["package", "version"], rows)
    reasons = {name: backend.unavailable_because() for name, backend in BACKENDS.items()}
    print_table("Backends", ["backend", "state"], [[name, reason or "available"] for name, reason in reasons.items()])
    *densities, (_, degree) = crossover().items()
    rows = [[name.replace("_", " "), f"{density:g}"] for name, density in densities]
    print_table("backend='auto' on the CPU is dense above this density", ["batches", "density"], rows)
    print_line(f"and csr below {degree:g} edges per target" if degree else "and never csr, however few the edges per target")
    print_line(f"kept in: {cache_file()}")
    print_line(f"torch threads: {torch.get_num_threads()}; CUDA: {torch.cuda.is_available()}")
    print_line(f"package analysis: {find_analysis()}")
