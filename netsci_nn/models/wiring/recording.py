"""One forward pass, written down: which functions of torch were called with which tensors, and where layers stand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from netsci_nn.models.wiring.functions import LEAVES

NOTED = LEAVES | {"setitem"}  # beside functions that make tensors
IN_PLACE_OPERATORS = frozenset({"iadd", "isub", "imul", "itruediv", "idiv", "ipow", "iand", "ior", "ixor", "imatmul"})


@dataclass(eq=False)
class Step:
    """A call of a function of torch, or of a layer, that took tensors and gave tensors, or took numbers out of torch.

    Attributes:
        function: its name without what marks operators and changes in place: "add" of +, += and `add_`.
        call: the function itself; None for a layer.
        args: what it was called with.
        kwargs: likewise.
        result: what it returned.
        module: name of the module at work.
        layer: name of the layer, if it is one.
    """

    function: str
    call: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    module: str
    layer: str | None = None

    @property
    def reads(self) -> list[torch.Tensor]:
        """Tensors among the arguments, in their order."""
        return tensors_in((self.args, self.kwargs))

    @property
    def gives(self) -> list[torch.Tensor]:
        """Tensors in the result, in their order."""
        return tensors_in(self.result)


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """Return the tensors in nested tuples, lists and dicts."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def record(
    model: nn.Module, layers: Mapping[nn.Module, str], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[Step], list[torch.Tensor]]:
    """Run a model once in evaluation mode, without gradients; return what happened, in order, and the tensors of the result.

    What happens within one of `layers`, or within a module whose class is called ...Norm, is one step. Modes and torch's random
    generators are left as they were.
    """
    recorder = _Recorder(layers, {module: name for name, module in model.named_modules()})
    # Compiled code calls none of torch's functions; where nothing is compiled yet, its long import is spared.
    eager = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
    with torch.random.fork_rng(), torch.no_grad(), eager, _evaluating(model), recorder.listening(model), recorder:
        output = model(*args, **kwargs)
    return recorder.steps, tensors_in(output)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class _Recorder(TorchFunctionMode):
    """Writes down every call that is not within a layer."""

    def __init__(self, layers: Mapping[nn.Module, str], names: Mapping[nn.Module, str]) -> None:
        super().__init__()
        self.layers, self.names = layers, names
        self.steps: list[Step] = []
        self.at_work: list[nn.Module] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and write it down if it made tensors of tensors, changed one, or took numbers out of one."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not any(map(self.is_whole, self.at_work)) and (tensors_in(result) or _name(func) in NOTED):
            module = self.names[self.at_work[-1]] if self.at_work else ""
            step = Step(_name(func), func, args, kwargs, result, module)
            if step.reads:
                self.steps.append(step)
        return result

    def is_whole(self, module: nn.Module) -> bool:
        """Return whether what happens within a module is one step: a layer, or a normalisation, known by its name."""
        return module in self.layers or (type(module).__name__.endswith("Norm") and not list(module.children()))

    @contextmanager
    def listening(self, model: nn.Module) -> Iterator[None]:
        """Know which module is at work while this lasts."""

        def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.at_work.append(module)

        def end(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            self.at_work.pop()
            if self.is_whole(module) and not any(map(self.is_whole, self.at_work)):
                layer = self.layers.get(module)
                kind = "layer_norm" if layer is None else "layer"
                self.steps.append(Step(kind, None, args, kwargs, result, self.names[module], layer))

        handles = [module.register_forward_pre_hook(begin, with_kwargs=True) for module in self.names]
        # Before hooks of others: what those do to a result is no part of the layer.
        handles += [module.register_forward_hook(end, with_kwargs=True, prepend=True) for module in self.names]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _name(function: Any) -> str:
    name = getattr(function, "__name__", str(function))
    if name == "__get__":  # an attribute such as x.T
        return str(function.__self__.__name__)
    name = name.strip("_")
    return name[1:] if name in IN_PLACE_OPERATORS else name
