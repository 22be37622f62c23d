"""Sparse layers in Lightning's true half precision: `bf16-true` trains, evaluates, rewires and saves them."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from netsci_nn import SparseLinear, SparseMLP, rewiring, spectral_norm, weight_norm
from netsci_nn.models import sparse_layers
from netsci_nn.rewiring import REWIRERS

lightning = pytest.importorskip("lightning.pytorch")

pytestmark = [pytest.mark.ecosystem, pytest.mark.filterwarnings("ignore")]  # warnings of the library about itself


class Classifier(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """A sparse network that SET rewires after every epoch."""

    def __init__(self, rule: str | None = "set", model: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.model = model or SparseMLP([20, 16, 3], density=0.3, rng=0)
        self.rule, self.dtypes, self.losses = rule, set[torch.dtype](), list[float]()

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        x, y = batch
        outputs = self.model(x)
        self.dtypes |= {x.dtype, outputs.dtype}
        loss = functional.cross_entropy(outputs, y)
        self.losses.append(float(loss.detach()))
        return loss

    def on_train_epoch_end(self) -> None:
        if self.rule is None:
            return
        for layer in sparse_layers(self.model):
            delta = REWIRERS[self.rule]().propose(rewiring.edge_view(layer), rng=self.current_epoch)
            rewiring.apply_delta(layer, delta, self.optimizers().optimizer)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), lr=0.02)


def fit(module: Classifier, precision: str, folder: Path, epochs: int = 6) -> Any:
    torch.manual_seed(0)
    x = torch.randn(90, 20)
    rows = torch.utils.data.TensorDataset(x, x[:, :3].argmax(dim=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            precision=precision,
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=folder,
        )
        trainer.fit(module, torch.utils.data.DataLoader(rows, batch_size=15))
    return trainer


def test_bfloat16_true(tmp_path: Path) -> None:
    module = Classifier()
    before = [layer.topology for layer in sparse_layers(module)]
    trainer = fit(module, "bf16-true", tmp_path)
    assert module.dtypes == {torch.bfloat16}
    assert sum(module.losses[-6:]) < 0.8 * sum(module.losses[:6])
    optimizer = trainer.optimizers[0]
    for layer, topology in zip(sparse_layers(module), before, strict=True):
        assert layer.weight.dtype == torch.bfloat16
        assert layer.topology_version == 6
        assert layer.topology != topology or layer.n_edges < 20
        assert optimizer.state[layer.weight]["exp_avg"].shape == layer.weight.shape
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    other = Classifier().bfloat16()
    other.load_state_dict(saved)
    x = torch.randn(4, 20).bfloat16()
    assert torch.equal(other.model(x), module.model(x))


def test_as_good_as_single_precision(tmp_path: Path) -> None:
    ends = {}
    for precision in ("32-true", "bf16-true", "bf16-mixed"):
        module = Classifier(rule=None)
        fit(module, precision, tmp_path)
        ends[precision] = sum(module.losses[-6:]) / 6
    assert ends["bf16-true"] == pytest.approx(ends["32-true"], rel=0.1)
    assert ends["bf16-mixed"] == pytest.approx(ends["32-true"], rel=0.1)


def test_layers_made_under_its_default_dtype(tmp_path: Path) -> None:
    class Late(Classifier):
        def configure_model(self) -> None:
            if not isinstance(self.model, SparseMLP):
                self.model = SparseMLP([20, 16, 3], density=0.3, rng=0)

    module = Late(model=torch.nn.Identity())
    fit(module, "bf16-true", tmp_path)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_normalised_layers(norm: Any, tmp_path: Path) -> None:
    model = SparseMLP([20, 16, 3], density=0.5, rng=0)
    for layer in model.layers:
        assert isinstance(layer, SparseLinear)
        norm(layer)
    module = Classifier(rule=None, model=model)
    fit(module, "bf16-true", tmp_path)
    assert module.dtypes == {torch.bfloat16}
    assert sum(module.losses[-6:]) < sum(module.losses[:6])
