"""The command line, a file a command; the one place of the package that imports `analysis`."""

import logging

import typer

from netsci_nn.cli import ablate, analyze, compare, demo, doctor, evolve, generate, train
from netsci_nn.cli.output import reported_errors

app = typer.Typer(
    help="Neural networks whose sparse layers are bipartite graphs: generate them, train them, analyse them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("generate")(generate.generate)
app.command("train")(train.train)
app.command("analyze")(analyze.analyze)
app.command("compare")(compare.compare)
app.command("evolve")(evolve.evolve)
app.command("ablate")(ablate.ablate)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; an error that the user can mend is one sentence and exit code 2."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("netsci_nn").setLevel(logging.INFO)
    with reported_errors():
        app()
