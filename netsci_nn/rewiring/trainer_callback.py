"""`TrainerRewiring`: the driver as a callback of Hugging Face's Trainer (pip install 'netsci-nn[transformers]')."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

try:
    from transformers import TrainerCallback
    from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
except ImportError as error:
    raise ImportError(
        "TrainerRewiring needs transformers, which is not installed: pip install 'netsci-nn[transformers]'"
    ) from error

from netsci_nn.errors import CheckpointError
from netsci_nn.files import atomic_write
from netsci_nn.rewiring.driver import Rewiring

FILE = "rewiring.safetensors"


class TrainerRewiring(TrainerCallback):
    """Rewire the sparse layers of a model while Hugging Face's `Trainer` trains it, by `netsci_nn.Rewiring`.

    Its state is written to the folder of every checkpoint of the Trainer, so that `train(resume_from_checkpoint=...)` goes on.

    Args:
        rule: a name in `REWIRERS`, or a rule.
        options: those of `netsci_nn.Rewiring`: every, until, fraction, rng, ...

    Attributes:
        driver: the `Rewiring`, from the start of the training on.

    Raises:
        ConfigError: when training starts, as `netsci_nn.Rewiring` does.
        CheckpointError: when training is resumed from a checkpoint without the state of a `Rewiring`.

    Example:
        >>> import netsci_nn as ns  # doctest: +SKIP
        >>> rewiring = TrainerRewiring("set", every=500, fraction=0.3, rng=0)  # doctest: +SKIP
        >>> trainer = Trainer(model, arguments, train_dataset=data, callbacks=[rewiring])  # doctest: +SKIP
    """

    def __init__(self, rule: Any, **options: Any) -> None:
        self.rule, self.options = rule, options
        self.driver: Rewiring | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **others: Any) -> None:
        """Hang the driver on the optimiser, whose state the Trainer has restored by now."""
        self.driver = Rewiring(model, optimizer, self.rule, **self.options)
        if state.global_step:
            self.driver.load_state_dict(_read(_folder(args, state) / FILE))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Let the driver take in what it needs."""
        assert self.driver is not None
        self.driver.step()

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Write the driver's state beside the Trainer's."""
        assert self.driver is not None
        if state.is_world_process_zero:
            entries = self.driver.state_dict()
            tensors = {name: value for name, value in entries.items() if isinstance(value, torch.Tensor)}
            rest = json.dumps({name: value for name, value in entries.items() if name not in tensors})
            with atomic_write(_folder(args, state) / FILE) as temporary:
                save_file(tensors, temporary, metadata={"rest": rest})

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take the driver off the optimiser."""
        assert self.driver is not None
        self.driver.remove()


def _read(file: Path) -> dict[str, Any]:
    """Return the state in a file, or raise a CheckpointError."""
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
            return {**json.loads((opened.metadata() or {})["rest"]), **tensors}
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"training is resumed without the state of its rewiring: {str(file)!r}: {error}") from error


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
