"""The command line, one command per file."""

import logging

import typer

from netsci_nn.cli import ablate, analyze, compare, demo, doctor, evolve, generate, train
from netsci_nn.cli.output import interruptible, reported_errors

app = typer.Typer(
    help="Neural networks whose sparse layers are bipartite graphs: generate them, train them, analyse them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(interruptible(demo.demo))
app.command("generate")(interruptible(generate.generate))
app.command("train")(interruptible(train.train))
app.command("analyze")(interruptible(analyze.analyze))
app.command("compare")(interruptible(compare.compare))
app.command("evolve")(interruptible(evolve.evolve))
app.command("ablate")(interruptible(ablate.ablate))
app.command("doctor")(interruptible(doctor.doctor))


def main() -> None:
    """Run the command line; an error that the user can correct is one sentence and exit code 2."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("netsci_nn").setLevel(logging.INFO)
    with reported_errors():
        app()
