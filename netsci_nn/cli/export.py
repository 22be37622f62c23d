"""`netsci-nn export`: the trained network of a run as an ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from netsci_nn.cli.destinations import check_writable, report_unwritten
from netsci_nn.cli.options import naming_options
from netsci_nn.cli.output import print_line
from netsci_nn.errors import ConfigError


def export(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    out: Annotated[Path, typer.Option(help="File to write, .onnx.")],
    form: Annotated[str, typer.Option(help="dense: matrices with zeros; gather: a weight and two indices per edge.")] = "dense",
) -> None:
    """Write the trained network of a run as an ONNX file, and say how large it is in either form.

    Needs the extra `export` (pip install 'netsci-nn[export]'). The file is computed with by onnxruntime and compared.
    """
    import torch

    from netsci_nn.experiment import RunDirectory, load_experiment
    from netsci_nn.experiment.trained import trained_model
    from netsci_nn.export import export_onnx

    check_writable(out, reads=run)
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"--out {str(out)!r} ends in {out.suffix!r}; it must end in '.onnx'")
    model = trained_model(run)
    n_in = load_experiment(RunDirectory(run).config).model.layer_sizes[0]
    example = torch.rand(2, n_in, generator=torch.Generator().manual_seed(0))
    with report_unwritten(out), naming_options({"form is": "--form is"}):
        written = export_onnx(model, out, example, form=form)
    if not RunDirectory(run).result.is_file():
        print_line("the run is not complete; this is its network after the last epoch that is")
    print_line(str(written))
