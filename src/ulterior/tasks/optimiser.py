"""Parts of the loops that train base models from scratch: optimisers, schedule, checkpoints that resume exactly."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

__all__ = ["Checkpoint", "Muon", "Optimiser", "orthogonal", "schedule"]


def schedule(step: int, steps: int, warmup: int = 50, decay: float = 0.4) -> float:
    """Factor of the learning rate: a linear rise, a plateau, a linear fall to 0 over the last `decay` of the steps."""
    return min(1.0, (step + 1) / warmup, (steps - step) / max(1.0, decay * steps))


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

    ``torch.optim.Muon`` computes the same in bfloat16, which a CPU without instructions for it emulates at a
    thirtieth of the speed. Here it is float32, and matrices of one shape are taken together.

    Args:
        matrices: Parameters of two dimensions.
        lr: Learning rate, on AdamW's scale of updates (0.2 times the root of the longer side).
        weight_decay: As a share of the learning rate.
        momentum: Of the gradients, looked ahead (Nesterov).
    """

    def __init__(
        self, matrices: Sequence[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(tuple(matrix.shape), []).append(matrix)
            for shape, matrices in shapes.items():
                updates = orthogonal(torch.stack([self._momentum(m, group["momentum"]) for m in matrices]))
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=rate)

    def _momentum(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        buffer = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
        gradient = matrix.grad
        assert gradient is not None
        buffer.lerp_(gradient, 1 - momentum)
        return gradient.lerp(buffer, momentum)


def orthogonal(matrices: Float[Tensor, "k m n"], steps: int = 5) -> Float[Tensor, "k m n"]:
    """About the nearest matrices with orthonormal rows or columns: singular values between 0.6 and 1.3.

    A quintic Newton-Schulz iteration with the coefficients of Jordan et al.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if wide else x.mT


class Optimiser:
    """Muon for the matrices inside the blocks, AdamW for everything else, behind one face.

    Args:
        modules: what is trained.
        matrix_rate: learning rate of Muon (on AdamW's scale of updates).
        rate: learning rate of AdamW.
    """

    def __init__(
        self, modules: Sequence[nn.Module], matrix_rate: float, rate: float, weight_decay: float = 0.02
    ) -> None:
        named = [(name, p) for module in modules for name, p in module.named_parameters()]
        matrices = [p for name, p in named if ".layers." in name and p.ndim == 2]
        inside = {id(p) for p in matrices}
        others = [p for _, p in named if id(p) not in inside]
        self.parameters = matrices + others
        self.parts = (
            Muon(matrices, matrix_rate, weight_decay),
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self._rates = (matrix_rate, rate)

    def step(self, loss: Float[Tensor, ""], factor: float, clip: float = 1.0) -> None:
        """One update with the learning rates multiplied by `factor`."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, clip)
        for part, rate in zip(self.parts, self._rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """The optimisers' state as flat named tensors."""
        return {
            f"{number}.{parameter}.{key}": torch.as_tensor(value)
            for number, part in enumerate(self.parts)
            for parameter, values in part.state_dict()["state"].items()
            for key, value in values.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `tensors` gave."""
        for number, part in enumerate(self.parts):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                owner, parameter, key = name.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(parameter), {})[key] = value
            part.load_state_dict({**part.state_dict(), "state": state})


@dataclass(frozen=True)
class Checkpoint:
    """One file with weights, the optimiser's state and the place in the data; written whole or not at all."""

    path: Path

    def write(self, modules: dict[str, nn.Module], optimiser: Optimiser, place: dict[str, Any]) -> None:
        """Replace the file by the present state; `place` is anything that JSON can hold."""
        tensors = {f"optimiser/{name}": value for name, value in optimiser.tensors().items()}
        for label, module in modules.items():
            tensors |= {f"{label}/{name}": value for name, value in module.state_dict().items()}
        partial = self.path.with_suffix(".partial")
        # Tied weights share memory, which the format refuses; cloning costs one copy and loads the same.
        save_file(
            {k: v.detach().cpu().clone() for k, v in tensors.items()},
            partial,
            metadata={"place": json.dumps(place)},
        )
        os.replace(partial, self.path)

    def read(self, modules: dict[str, nn.Module], optimiser: Optimiser) -> dict[str, Any] | None:
        """Load the file into modules and optimiser; the place that was saved, or None where there is no file."""
        if not self.path.exists():
            return None
        with safe_open(self.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            place = json.loads(file.metadata()["place"])
        for label, module in modules.items():
            module.load_state_dict(_under(label, tensors))
        optimiser.restore(_under("optimiser", tensors))
        return place


def _under(label: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{label}/"): value
        for name, value in tensors.items()
        if name.startswith(f"{label}/")
    }
