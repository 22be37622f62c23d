"""`netsci-nn doctor`: what this installation has."""

from netsci_nn.cli.output import STDOUT, import_analysis, print_table
from netsci_nn.experiment import describe_environment
from netsci_nn.kernels import BACKENDS


def doctor() -> None:
    """Print versions, threads, and which backends can run."""
    import torch

    environment = describe_environment()
    rows = [["python", environment["python"]], *([name, version] for name, version in environment["packages"].items())]
    print_table("Versions", ["package", "version"], rows)
    reasons = {name: backend.unavailable_because() for name, backend in BACKENDS.items()}
    print_table("Backends", ["backend", "state"], [[name, reason or "available"] for name, reason in reasons.items()])
    STDOUT.print(f"torch threads: {torch.get_num_threads()}; CUDA: {torch.cuda.is_available()}", highlight=False)
    STDOUT.print(f"package analysis: {import_analysis().__file__}", highlight=False, soft_wrap=True)
