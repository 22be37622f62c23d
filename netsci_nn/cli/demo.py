"""`netsci-nn demo`: the main job on bundled data, from graph models to a page with pictures."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from netsci_nn.cli.compare import compare


def demo(resume: Annotated[Path | None, typer.Option(help="Folder of results to resume.")] = None) -> None:
    """Train six networks on scikit-learn's digits with 3 seeds each, compare accuracy and topology, write a page."""
    with resources.as_file(resources.files("netsci_nn.cli").joinpath("demo.toml")) as path:
        compare(Path(path), nulls=10, resume=resume)
