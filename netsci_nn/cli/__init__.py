"""The command line, one command per file."""

from netsci_nn.interruption import before_work

NAMES = ("demo", "generate", "train", "analyze", "compare", "evolve", "ablate", "export", "doctor")
"""Of every command, of the file that holds it, and of its function there."""


def main() -> None:
    """Run the command line; an error that the user can correct is one sentence and exit code 2.

    It is a whole program: at its end Ctrl-C is ignored.
    """
    before_work()
    from netsci_nn.cli.app import run  # it takes its time, in which Ctrl-C may come

    run()
