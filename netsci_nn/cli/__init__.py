"""The command line, one command per file."""

import logging
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from netsci_nn.cli.output import interruptible, print_anywhere, reported_errors

NAMES = ("demo", "generate", "train", "analyze", "compare", "evolve", "ablate", "export", "doctor")
"""Of every command, of the file that holds it, and of its function there."""


class Commands(TyperGroup):
    """The commands, each imported when it is asked for: most load torch, which others can do without."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(NAMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, or None where there is none of that name; typer then looks for similar ones among all."""
        for name in (cmd_name,) if cmd_name in NAMES else NAMES:
            if name not in self.commands:
                single = typer.Typer(add_completion=False)
                single.command(name)(interruptible(getattr(import_module(f"{__name__}.{name}"), name)))
                self.add_command(typer.main.get_command(single), name)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    cls=Commands,
    help="Neural networks whose sparse layers are bipartite graphs: generate them, train them, analyse them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:  # makes typer take the app for a group, although no command is registered yet
    pass


def main() -> None:
    """Run the command line; an error that the user can correct is one sentence and exit code 2."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("netsci_nn").setLevel(logging.INFO)
    print_anywhere()
    with reported_errors():
        app()
