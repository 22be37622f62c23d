"""`TrainerRewiring`: the driver as a callback of Hugging Face's Trainer (pip install 'netsci-nn[transformers]')."""

import base64
import binascii
import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

try:
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState
except ImportError as error:
    raise ImportError("TrainerRewiring needs transformers, which is not here: pip install 'netsci-nn[transformers]'") from error

from netsci_nn.errors import CheckpointError, ConfigError
from netsci_nn.rewiring.arguments import name_of
from netsci_nn.rewiring.driver import Rewiring


class TrainerRewiring(TrainerCallback, ExportableState):
    """Rewire the sparse layers of a model while Hugging Face's `Trainer` trains it, by `netsci_nn.Rewiring`.

    Its state is part of every checkpoint of the Trainer (in trainer_state.json), so that `train(resume_from_checkpoint=...)`
    resumes. Several callbacks in one Trainer have rules or layers of their own.

    Args:
        rule: a name in `REWIRERS`, or a rule.
        options: those of `netsci_nn.Rewiring`: every, until, fraction, rng, ...

    Attributes:
        driver: the `Rewiring`, from the start of the training on.

    Raises:
        ConfigError: when training starts, as `netsci_nn.Rewiring` does.
        CheckpointError: when training is resumed from a checkpoint without the state of such a callback.

    Example:
        >>> import netsci_nn as ns  # doctest: +SKIP
        >>> rewiring = TrainerRewiring("set", every=500, fraction=0.3, rng=0)  # doctest: +SKIP
        >>> trainer = Trainer(model, arguments, train_dataset=data, callbacks=[rewiring])  # doctest: +SKIP
    """

    def __init__(self, rule: Any = None, **options: Any) -> None:
        self.rule, self.options = rule, options
        self.driver: Rewiring | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **others: Any) -> None:
        """Hang the driver on the optimiser, whose state the Trainer has restored by now."""
        if self.rule is None:
            raise ConfigError(
                "TrainerRewiring has no rule; if restore_callback_states_from_checkpoint made it, leave that False: the state "
                "of this callback is restored without it"
            )
        self.driver = Rewiring(model, optimizer, self.rule, **self.options)
        if state.global_step:
            known = state.stateful_callbacks.get(type(self).__name__) or []
            entries = [entry["attributes"] for entry in (known if isinstance(known, list) else [known])]
            saved = next((entry["saved"] for entry in entries if entry.get("label") == self._label), None)
            if saved is None:
                raise CheckpointError(
                    f"training is resumed after {state.global_step} steps, and the checkpoint has no state of {self._label}"
                )
            self.driver.load_state_dict(_decoded(saved))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Let the driver take in what it needs."""
        assert self.driver is not None
        self.driver.step()

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take the driver off the optimiser."""
        assert self.driver is not None
        self.driver.remove()

    def state(self) -> dict[str, Any]:
        """Return what the Trainer writes to its checkpoints."""
        saved = None if self.driver is None else _encoded(self.driver.state_dict())
        return {"args": {}, "attributes": {"label": self._label, "saved": saved}}

    @property
    def _label(self) -> str:
        """What tells several of these callbacks in one Trainer apart."""
        rule = self.rule if isinstance(self.rule, str) else name_of(self.rule)
        return f"rule {rule!r} on layers {self.options.get('layers')}"


def _encoded(state: dict[str, Any]) -> str:
    """Return the state of a driver as text: a safetensors file in base64."""
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    rest = json.dumps({name: value for name, value in state.items() if name not in tensors})
    return base64.b64encode(save(tensors | {"rest": _bytes(rest)})).decode("ascii")


def _decoded(text: str) -> dict[str, Any]:
    """Return the state in a text, or raise a CheckpointError."""
    try:
        tensors = load(base64.b64decode(text, validate=True))
        return {**json.loads(bytes(tensors.pop("rest").tolist())), **tensors}
    except (SafetensorError, binascii.Error, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"the state of the rewiring in the checkpoint is damaged: {error}") from error


def _bytes(text: str) -> torch.Tensor:
    return torch.tensor(list(text.encode("utf-8")), dtype=torch.uint8)
