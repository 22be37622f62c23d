"""The driver as a callback of Lightning and of Hugging Face's Trainer: the bits of a plain loop, also when resumed."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import netsci_nn as ns
from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.models import sparse_layers

lightning = pytest.importorskip("lightning.pytorch")
transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.ecosystem, pytest.mark.filterwarnings("ignore")]  # warnings of the libraries about themselves

GENERATOR = torch.Generator().manual_seed(0)
X = torch.rand(96, 20, generator=GENERATOR)
Y = (X @ torch.randn(20, 3, generator=GENERATOR)).argmax(1)
BATCH, STEPS = 8, 36
OPTIONS: dict[str, dict[str, Any]] = {
    "rigl": {"every": 4, "until": 30, "fraction": ns.schedules.cosine(0.4), "rng": 5},
    "set": {"every": 5, "fraction": 0.3, "rng": 5, "optimizer_state": "age"},
}


def network() -> ns.SparseMLP:
    return ns.SparseMLP([20, 16, 3], density=0.3, rng=0)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2)


def plain_loop(rule: str, accumulate: int = 1) -> ns.SparseMLP:
    model = network()
    optimizer = optimizer_of(model)
    rewiring = ns.Rewiring(model, optimizer, rule, **OPTIONS[rule])
    for step in range(STEPS):
        for part in range(accumulate):
            first = ((step * accumulate + part) * BATCH) % len(X)
            loss = nn.functional.cross_entropy(model(X[first : first + BATCH]), Y[first : first + BATCH]) / accumulate
            loss.backward()
        rewiring.step()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    return model


def assert_same(model: nn.Module, other: nn.Module) -> None:
    for mine, theirs in zip(sparse_layers(model), sparse_layers(other), strict=True):
        assert mine.topology == theirs.topology
        assert mine.topology != network().layers[0].topology
        torch.testing.assert_close(mine.weight, theirs.weight, rtol=1e-6, atol=1e-7)


class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.model = network()

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self.model)


def fit(callback: Any, epochs: int, resumed: Path | None = None, **options: Any) -> tuple[Any, Any]:
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[callback], gradient_clip_val=0.5, **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=BATCH), ckpt_path=resumed)
    return module, trainer


@pytest.mark.parametrize("rule", OPTIONS)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_lightning(rule: str, accumulate: int) -> None:
    from netsci_nn.rewiring.lightning_callback import LightningRewiring

    callback = LightningRewiring(rule, **OPTIONS[rule])
    module, _ = fit(callback, 3 * accumulate, accumulate_grad_batches=accumulate)
    assert callback.driver.steps == STEPS
    assert_same(module.model, plain_loop(rule, accumulate))


@pytest.mark.parametrize("rule", OPTIONS)
def test_lightning_resumes(rule: str, tmp_path: Path) -> None:
    from netsci_nn.rewiring.lightning_callback import LightningRewiring

    _, trainer = fit(LightningRewiring(rule, **OPTIONS[rule]), 1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    module, _ = fit(LightningRewiring(rule, **OPTIONS[rule] | {"rng": 77}), 3, tmp_path / "half.ckpt")
    assert_same(module.model, plain_loop(rule))


def test_lightning_with_two_optimizers_is_refused() -> None:
    from netsci_nn.rewiring.lightning_callback import LightningRewiring

    class Two(Module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [optimizer_of(self.model), optimizer_of(self.model)]

    module = Two()
    trainer = lightning.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[LightningRewiring("set", rng=0)],
    )  # fmt: skip
    with pytest.raises(ConfigError, match="the module has 2 optimizers; LightningRewiring works with one"):
        trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=BATCH))


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = network()

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": nn.functional.cross_entropy(self.model(x), labels)}


def hugging_face(callback: Any, folder: Path, steps: int, resumed: Path | None = None, accumulate: int = 1) -> Wrapped:
    model = Wrapped()
    arguments = transformers.TrainingArguments(
        str(folder), max_steps=STEPS, per_device_train_batch_size=BATCH, max_grad_norm=0.5, save_steps=12, report_to=[],
        use_cpu=True, disable_tqdm=True, gradient_accumulation_steps=accumulate, lr_scheduler_type="constant",
    )  # fmt: skip

    class InOrder(transformers.Trainer):  # type: ignore[misc, name-defined]
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    class Stop(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = state.global_step >= steps

    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    trainer = InOrder(
        model, arguments, train_dataset=data, callbacks=[callback, Stop()], optimizers=(optimizer_of(model), None)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    return model


@pytest.mark.parametrize("rule", OPTIONS)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_hugging_face(rule: str, accumulate: int, tmp_path: Path) -> None:
    from netsci_nn.rewiring.trainer_callback import TrainerRewiring

    callback = TrainerRewiring(rule, **OPTIONS[rule])
    model = hugging_face(callback, tmp_path, STEPS, accumulate=accumulate)
    assert callback.driver is not None
    assert callback.driver.steps == STEPS
    assert_same(model.model, plain_loop(rule, accumulate))


@pytest.mark.parametrize("rule", OPTIONS)
def test_hugging_face_resumes_from_any_folder(rule: str, tmp_path: Path) -> None:
    from netsci_nn.rewiring.trainer_callback import TrainerRewiring

    hugging_face(TrainerRewiring(rule, **OPTIONS[rule]), tmp_path / "first", 12)
    (tmp_path / "first" / "checkpoint-12").rename(tmp_path / "elsewhere")
    other = {**OPTIONS[rule], "rng": 77}
    hugging_face(TrainerRewiring(rule, **other), tmp_path / "second", 12)  # a checkpoint of another run lies where it goes on
    model = hugging_face(TrainerRewiring(rule, **other), tmp_path / "second", STEPS, resumed=tmp_path / "elsewhere")
    assert_same(model.model, plain_loop(rule))


def test_hugging_face_refuses_to_resume_without_the_state(tmp_path: Path) -> None:
    from netsci_nn.rewiring.trainer_callback import TrainerRewiring

    class Nothing(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        pass

    hugging_face(TrainerRewiring("set", **OPTIONS["set"]), tmp_path, 12)
    folder = tmp_path / "checkpoint-12"
    with pytest.raises(CheckpointError, match="the checkpoint has no state of rule 'rigl' on layers None"):
        hugging_face(TrainerRewiring("rigl", **OPTIONS["rigl"]), tmp_path, STEPS, resumed=folder)
    text = (folder / "trainer_state.json").read_text()
    saved = json.loads(text)["stateful_callbacks"]["TrainerRewiring"]["attributes"]["saved"]
    (folder / "trainer_state.json").write_text(text.replace(saved, saved[:-40]))
    with pytest.raises(CheckpointError, match="the state of the rewiring in the checkpoint is damaged"):
        hugging_face(TrainerRewiring("set", **OPTIONS["set"]), tmp_path, STEPS, resumed=folder)
    with pytest.raises(ConfigError, match="TrainerRewiring has no rule"):
        hugging_face(TrainerRewiring(), tmp_path / "new", STEPS)
    hugging_face(Nothing(), tmp_path / "new", 12)
