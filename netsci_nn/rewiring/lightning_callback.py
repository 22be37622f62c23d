"""`LightningRewiring`: the driver as a callback of Lightning (pip install 'netsci-nn[lightning]')."""

from typing import Any

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise ImportError("LightningRewiring needs lightning, which is not here: pip install 'netsci-nn[lightning]'") from error

from netsci_nn.errors import ConfigError
from netsci_nn.rewiring.driver import Rewiring


class LightningRewiring(Callback):
    """Rewire the sparse layers of a `LightningModule` while a `Trainer` trains it, by `netsci_nn.Rewiring`.

    Its state is part of Lightning's checkpoints, so a resumed training rewires as the whole one does.

    Args:
        rule: a name in `REWIRERS`, or a rule.
        options: those of `netsci_nn.Rewiring`: every, until, fraction, rng, ...

    Attributes:
        driver: the `Rewiring`, from the start of the training on.

    Raises:
        ConfigError: when training starts, as `netsci_nn.Rewiring` does, and for more than one optimiser.

    Example:
        >>> import netsci_nn as ns  # doctest: +SKIP
        >>> fraction = ns.schedules.cosine(0.3)  # doctest: +SKIP
        >>> rewiring = LightningRewiring("rigl", every=100, until=7500, fraction=fraction, rng=0)  # doctest: +SKIP
        >>> trainer = lightning.Trainer(max_steps=10_000, callbacks=[rewiring])  # doctest: +SKIP
    """

    def __init__(self, rule: Any, **options: Any) -> None:
        self.rule, self.options = rule, options
        self.driver: Rewiring | None = None
        self._loaded: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hang the driver on the optimiser, whose state Lightning has restored by now."""
        if len(trainer.optimizers) != 1:
            raise ConfigError(f"the module has {len(trainer.optimizers)} optimizers; LightningRewiring works with one")
        self.driver = Rewiring(trainer.model or pl_module, trainer.optimizers[0], self.rule, **self.options)
        if self._loaded is not None:
            self.driver.load_state_dict(self._loaded)
            self._loaded = None

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the driver take in what it needs."""
        assert self.driver is not None
        self.driver.step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the driver off the optimiser."""
        assert self.driver is not None
        self.driver.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the driver, for Lightning's checkpoints."""
        return {} if self.driver is None else self.driver.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a state until training starts: Lightning loads it before the optimisers exist."""
        self._loaded = state_dict or None
