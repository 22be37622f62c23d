"""Values that nobody should pass, and values that look unusual and mean the same."""

import copy
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch

HUGE = 10**4300  # of more digits than Python turns into text

STRANGERS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "''": lambda: "",
    "'x'": lambda: "x",
    "b'x'": lambda: b"x",
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "-1": lambda: -1,
    "0": lambda: 0,
    "1": lambda: 1,
    "0.5": lambda: 0.5,
    "2.0": lambda: 2.0,
    "2**31": lambda: 2**31,
    "-2**31 - 1": lambda: -(2**31) - 1,
    "2**63": lambda: 2**63,
    "10**4300": lambda: HUGE,
    "-10**4300": lambda: -HUGE,
    "1e300": lambda: 1e300,
    "-1e300": lambda: -1e300,
    "1e-320": lambda: 1e-320,
    "True": lambda: True,
    "False": lambda: False,
    "np.True_": lambda: np.True_,
    "1j": lambda: 1j,
    "np.float64('nan')": lambda: np.float64("nan"),
    "NaT": lambda: np.datetime64("NaT"),
    "Decimal('NaN')": lambda: Decimal("NaN"),
    "Fraction(1, 3)": lambda: Fraction(1, 3),
    "[]": list,
    "()": tuple,
    "{}": dict,
    "set()": set,
    "['a', 'b']": lambda: ["a", "b"],
    "[None]": lambda: [None],
    "[[1], [2, 3]]": lambda: [[1], [2, 3]],
    "{'a': 1}": lambda: {"a": 1},
    "object()": object,
    "range(3)": lambda: range(3),
    "a generator object": lambda: (number for number in range(3)),
    "array([])": lambda: np.array([]),
    "array(3)": lambda: np.array(3),
    "zeros((0, 2))": lambda: np.zeros((0, 2)),
    "zeros((2, 3, 4))": lambda: np.zeros((2, 3, 4)),
    "array([1, None])": lambda: np.array([1, None], dtype=object),
    "array(['a'])": lambda: np.array(["a"]),
    "array([1j])": lambda: np.array([1j]),
    "array([2**63])": lambda: np.array([2**63], dtype=np.uint64),
    "array([nan])": lambda: np.array([np.nan]),
    "tensor(3)": lambda: torch.tensor(3),
    "zeros(3) of torch with gradient": lambda: torch.zeros(3, requires_grad=True),
    "a meta tensor": lambda: torch.empty(2, device="meta"),
    "a sparse tensor": lambda: torch.eye(3).to_sparse(),
    "a complex tensor": lambda: torch.ones(2, dtype=torch.complex64),
}


class Subclass(np.ndarray):
    """An array of another class."""


def stranger(draw: random.Random, value: Any) -> tuple[str, Any]:
    """Return something else in the place of an argument, in words and itself: any value, or its own with an error in it."""
    damages = _damages(value)
    if damages and draw.random() < 0.6:
        name = draw.choice(list(damages))
        return name, damages[name]()
    if isinstance(value, list | tuple) and type(value) in (list, tuple) and value and draw.random() < 0.6:
        place = draw.randrange(len(value))
        name, other = stranger(draw, value[place])
        return f"[{place}] = {name}", type(value)([*value[:place], other, *value[place + 1 :]])
    if type(value) is dict and value and draw.random() < 0.6:
        key = draw.choice(list(value))
        name, other = stranger(draw, value[key])
        return f"[{key!r}] = {name}", {**value, key: other}
    name = draw.choice(list(STRANGERS))
    return name, STRANGERS[name]()


def _damages(value: Any) -> dict[str, Callable[[], Any]]:
    """Return changes of an array or a tensor that make it another one."""
    if type(value) is np.ndarray:
        return {
            "one more axis": lambda: value[..., None],
            "flat": lambda: value.ravel(),
            "without the last": lambda: value[:-1] if value.ndim else value,
            "twice": lambda: np.concatenate([value, value]) if value.ndim else value,
            "as object": lambda: value.astype(object),
            "as complex": lambda: value.astype(complex),
            "as text": lambda: value.astype(str),
            "as bool": lambda: value.astype(bool),
            "as int8": lambda: value.astype(np.int8),
            "as uint64": lambda: value.astype(np.uint64),
            "as float16": lambda: value.astype(np.float16),
            "as datetime": lambda: value.astype(np.int64).astype("datetime64[s]"),
            "a sum": lambda: value.sum(),
            "with -1": lambda: _with(value, -1),
            "with 2**31": lambda: _with(value, 2**31),
            "with 2**40": lambda: _with(value.astype(np.int64), 2**40),
            "with nan": lambda: _with(value.astype(np.float64), np.nan),
            "with inf": lambda: _with(value.astype(np.float64), np.inf),
            "with 1e308": lambda: _with(value.astype(np.float64), 1e308),
            "with None": lambda: _with(value.astype(object), None),
            "the first again": lambda: _with(value, value.ravel()[-1]) if value.size else value,
            "backwards": lambda: value[::-1].copy() if value.ndim else value,
            "a list with a text": lambda: [*value.ravel().tolist(), "x"],
            "a list of unequal lists": lambda: [[1], value.ravel().tolist(), 3],
        }
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        data = value.detach()
        return {
            "one more axis": lambda: data[..., None],
            "flat": lambda: data.flatten(),
            "without the last": lambda: data[..., :-1] if data.dim() else data,
            "doubled": lambda: torch.cat([data, data], dim=-1) if data.dim() else data,
            "as float64": data.double,
            "as float16": data.half,
            "as bfloat16": data.bfloat16,
            "as int64": data.long,
            "as bool": data.bool,
            "as complex": lambda: data.to(torch.complex64),
            "on meta": lambda: data.to("meta"),
            "as numpy": lambda: data.float().numpy(),
            "as list": data.tolist,
            "sparse": data.to_sparse,
            "with nan": lambda: _with(data.float(), float("nan")),
            "with -1": lambda: _with(data.clone(), -1) if data.dtype != torch.bool else data,
            "with 2**40": lambda: _with(data.long(), 2**40),
        }
    return {}


def _with(array: Any, number: Any) -> Any:
    """Return a copy with another first entry."""
    result = array.copy() if isinstance(array, np.ndarray) else array.clone()
    if len(result.reshape(-1)):
        try:
            result.reshape(-1)[0] = number
        except (OverflowError, ValueError):
            return result.astype(np.float64) - 1
    return result


def disguises(value: Any) -> dict[str, Callable[[], Any]]:
    """Return other ways to pass the same value: those of them that are taken must give the same result."""
    if type(value) is int:
        return {
            "as np.int64": lambda: np.int64(value) if abs(value) < 2**63 else value,
            "as np.uint8": lambda: np.uint8(value) if 0 <= value < 256 else value,
            "as np.int32": lambda: np.int32(value) if abs(value) < 2**31 else value,
        }
    if type(value) is float:
        return {
            "as np.float64": lambda: np.float64(value),
            "as Fraction": lambda: Fraction(value) if abs(value) < float("inf") else value,
            "as int": lambda: int(value) if value.is_integer() else value,
        }
    if type(value) is str:
        return {"as np.str_": lambda: np.str_(value)}
    if type(value) is np.ndarray and value.ndim:
        return {
            "as list": value.tolist,
            "as tuple": lambda: tuple(value.tolist()),
            "as tensor": lambda: torch.from_numpy(value.copy()),
            "with gaps": lambda: np.repeat(value, 2, axis=0)[::2],
            "backwards in memory": lambda: value[::-1].copy()[::-1],
            "read-only": lambda: _frozen(value),
            "column by column": lambda: np.asfortranarray(value),
            "of the other byte order": lambda: value.astype(value.dtype.newbyteorder()),
            "of a subclass": lambda: value.view(Subclass),
            "as int64": lambda: value.astype(np.int64) if value.dtype.kind in "iu" else value,
            "as float64": lambda: value.astype(np.float64) if value.dtype.kind == "f" else value,
            "as a generator object": lambda: (entry for entry in value.tolist()),
            "as strides of a column": lambda: np.stack([value, value], axis=-1)[..., 0],
        }
    if type(value) is torch.Tensor and value.dim():
        return {
            "with gaps": lambda: torch.stack([value, value], dim=-1)[..., 0],
            "transposed in memory": lambda: value.transpose(0, -1).contiguous().transpose(0, -1),
        }
    if type(value) is list:
        return {"as tuple": lambda: tuple(value)}
    if type(value) is tuple:
        return {"as list": lambda: list(value)}
    return {}


def _frozen(array: Any) -> Any:
    result = copy.deepcopy(array)
    result.setflags(write=False)
    return result
