"""The command line, a file a command; the one place of the package that imports `analysis`."""

import logging
import sys

import typer

from netsci_nn.cli import analyze, compare, demo, doctor, generate, train
from netsci_nn.cli.output import STDERR, errors, import_analysis

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
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line; an error that the user can mend is one sentence and exit code 2."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("netsci_nn").setLevel(logging.INFO)
    try:
        import_analysis()
        app()
    except errors() as error:
        STDERR.print(f"netsci-nn: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        STDERR.print("netsci-nn: interrupted", style="red")
        sys.exit(130)
