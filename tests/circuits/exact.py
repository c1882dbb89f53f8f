"""Everything that a model rounds to float32 is kept in double precision, so that theorems can be held to it."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class InDoubles(TorchFunctionMode):
    """Casts to float32 inside the ``with`` block are casts to float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            return args[0].double()
        kwargs = {name: wide(value) for name, value in (kwargs or {}).items()}
        return func(*map(wide, args), **kwargs)


def wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
