"""The program that chooses the command."""

import functools
import logging
import os
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from netsci_nn.cli import NAMES
from netsci_nn.cli.output import print_anywhere, print_line, reported_errors, version
from netsci_nn.interruption import NOTHING_BEGUN, at_work, before_work, keeping

P = ParamSpec("P")
T = TypeVar("T")


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
                before_work()
                single.command(name)(_interruptible(getattr(import_module(f"netsci_nn.cli.{name}"), name)))
                self.add_command(typer.main.get_command(single), name)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    cls=Commands,
    help="Neural networks whose sparse layers are bipartite graphs: generate them, train them, analyse them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print_line(f"netsci-nn {version()}")
        raise typer.Exit


@app.callback()  # makes typer take the app for a group, although no command is registered yet
def _group(
    is_version_wanted: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command line."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("netsci_nn").setLevel(logging.INFO)
    print_anywhere()
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files; the backend of a notebook may not be installed here
    with reported_errors():
        app()


def _interruptible(command: Callable[P, T]) -> Callable[P, T]:
    """Return `command` so that typer, which has its own ways, does not see a KeyboardInterrupt."""

    @functools.wraps(command)
    def working(*arguments: P.args, **options: P.kwargs) -> T:
        at_work()
        with keeping(lambda: NOTHING_BEGUN):
            return command(*arguments, **options)

    return working
