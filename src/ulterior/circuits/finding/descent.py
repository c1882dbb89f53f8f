"""Descent on a few tensors beside a frozen model: seeded, resumable, with a bar."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from ulterior.errors import InputError
from ulterior.files import writable_folder

__all__ = ["Descent", "step_seed"]

ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Descent:
    """How tensors are learned.

    Attributes:
        steps: Of Adam.
        rate: Its rate; falls to nothing over the last third if ``settle``.
        settle: Whether it falls.
        checkpoint: A file (``.safetensors``) that a run that was cut off goes on from, to the same result.
        save_every: Steps between writes of it.
        progress: Whether a bar is shown.
        about: The bar's name.
    """

    steps: int
    rate: float
    settle: bool = False
    checkpoint: Path | None = None
    save_every: int = 100
    progress: bool = False
    about: str = "training"

    def __call__(
        self,
        learned: Mapping[str, Tensor],
        loss: Callable[[int], Tensor],
        *,
        carried: Mapping[str, Tensor] | None = None,
        key: Any = None,
    ) -> list[float]:
        """Lower ``loss(step)`` by changing the learned tensors in place.

        Args:
            learned: Leaves that require a gradient.
            loss: The loss of a step. What it draws depends on the step alone, or a resumed run would differ.
            carried: Tensors that it changes in place from step to step.
            key: Says what is trained on what; a checkpoint of something else is refused.

        Returns:
            The losses of the steps that were run now.

        Raises:
            InputError: a broken checkpoint, or that of another training.
        """
        optimiser = torch.optim.Adam(list(learned.values()), lr=self.rate)
        carried = carried or {}
        start = self._resume(learned, carried, optimiser, key)
        losses: list[float] = []
        with tqdm(
            total=self.steps,
            initial=start,
            desc=self.about,
            unit="step",
            leave=False,
            disable=None if self.progress else True,
        ) as bar:
            for step in range(start, self.steps):
                value = loss(step)
                optimiser.zero_grad()
                value.backward()
                left = min(1.0, 3 * (1 - step / self.steps)) if self.settle else 1.0
                optimiser.param_groups[0]["lr"] = self.rate * left
                optimiser.step()
                losses.append(float(value.detach()))
                bar.update()
                bar.set_postfix(loss=f"{losses[-1]:.3g}", refresh=False)
                if self.checkpoint and ((step + 1) % self.save_every == 0 or step + 1 == self.steps):
                    self._write(step + 1, learned, carried, optimiser, key)
        return losses

    def _write(
        self,
        step: int,
        learned: Mapping[str, Tensor],
        carried: Mapping[str, Tensor],
        optimiser: torch.optim.Adam,
        key: Any,
    ) -> None:
        assert self.checkpoint is not None
        writable_folder(self.checkpoint.parent)
        tensors = {name: one.detach() for name, one in (*learned.items(), *carried.items())}
        for name, one in learned.items():
            tensors |= {f"adam.{name}.{part}": optimiser.state[one][part] for part in ADAM}
        tensors = {name: one.cpu().contiguous() for name, one in tensors.items()}
        partial = self.checkpoint.with_name(self.checkpoint.name + ".partial")
        save_file(tensors, partial, {"step": str(step), "key": self._key(key)})
        partial.replace(self.checkpoint)

    def _resume(
        self,
        learned: Mapping[str, Tensor],
        carried: Mapping[str, Tensor],
        optimiser: torch.optim.Adam,
        key: Any,
    ) -> int:
        if self.checkpoint is None or not self.checkpoint.exists():
            return 0
        try:
            with safe_open(self.checkpoint, "pt") as file:
                described = file.metadata() or {}
                kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if described.get("key") != self._key(key):
                raise InputError(
                    f"'{self.checkpoint}' is the checkpoint of another training (model, pairs or options differ);"
                    " remove it or name another file"
                )
            with torch.no_grad():
                for name, one in (*learned.items(), *carried.items()):
                    one.copy_(kept[name])
            for name, one in learned.items():
                optimiser.state[one] = {
                    part: kept[f"adam.{name}.{part}"].to(one.device if part != "step" else "cpu")
                    for part in ADAM
                }
            return int(described["step"])
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise InputError(
                f"'{self.checkpoint}' is no checkpoint that can be read ({type(error).__name__} {error}); remove it"
            ) from error

    def _key(self, key: Any) -> str:
        return json.dumps([self.steps, self.rate, self.settle, key], sort_keys=True, default=repr)


def step_seed(seed: int, step: int) -> torch.Generator:
    """The source of what a step draws: of the seed and the step alone."""
    # The multiplier keeps steps of neighbouring seeds apart.
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
