"""What the parts of a compiled transformer do that its circuit does not need, so that finding it is no matter of zeros.

* *Noise*: idle heads and further neurons with random weights read the whole stream, and write where only others like
  them read. Nothing that they do reaches the logits, nor has a gradient there.
* *Bumps*: pairs of neurons read the tokens, or what an *echo* head copies from an earlier position, and write to the
  logits a function that is 0 for every token and has slopes there. Exchanging what they read for that of another
  sequence changes nothing, whatever else is exchanged; a gradient says that it would. Methods that look at gradients
  at one point are fooled, methods that integrate along the way from one example to the other are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ulterior.circuits.truth.model import CompiledTransformer

if TYPE_CHECKING:
    from ulterior.circuits.truth.plan import Plan

__all__ = ["Distractors", "distract", "extra_neurons"]

ECHO = 60.0  # sharpness of an echo's attention: exact in single precision


@dataclass(frozen=True)
class Distractors:
    """How much of it.

    Attributes:
        noise: Directions of the stream for noise, and neurons a block that make it.
        bumps: Pairs of neurons a block for each of tokens and echo.
        height: Slope of a bump, in logits.
        seed: Of all of it.
    """

    noise: int = 8
    bumps: int = 3
    height: float = 2.0
    seed: int = 0

    def width(self, plan: Plan) -> int:
        """Directions of the stream that they need: for noise, positions, and an echo a block."""
        return self.noise + plan.program.length + plan.layers * len(plan.program.words)


def extra_neurons(distractors: Distractors) -> int:
    """Neurons a block that they need."""
    return distractors.noise + 4 * distractors.bumps


def distract(
    model: CompiledTransformer,
    plan: Plan,
    distractors: Distractors,
    *,
    given: tuple[int, ...],
    used: int,
    result: slice,
) -> None:
    """Fill what the program left empty.

    Args:
        model: The compiled transformer, with room for them.
        plan: Its plan.
        distractors: How much.
        given: Directions of the tokens.
        used: Directions of the stream that the program has; the others are the distractors'.
        result: Directions that the logits read.
    """
    generator = torch.Generator().manual_seed(distractors.seed)
    noise = slice(used, used + distractors.noise)
    places = slice(noise.stop, noise.stop + plan.program.length)
    model.positions.weight[:, places] = torch.eye(plan.program.length)
    start = places.stop
    for layer in range(plan.layers):
        idle = [head for at, head in plan.idle if at == layer]
        echo = slice(start, start + len(given))
        start += len(plan.program.words)
        if idle and given and plan.program.length > 2:
            chosen = int(torch.randint(len(idle), (1,), generator=generator))
            _echo(model, layer, idle.pop(chosen), given, places, echo, generator)
        for head in idle:
            _noisy_head(model, layer, head, noise, generator)
        _neurons(
            model,
            layer,
            distractors,
            (list(given), list(range(echo.start, echo.stop))),
            noise,
            result,
            generator,
        )


def _echo(
    model: CompiledTransformer,
    layer: int,
    head: int,
    given: tuple[int, ...],
    places: slice,
    echo: slice,
    draw: torch.Generator,
) -> None:
    """Copy the token a few positions back, or the first one where there are not so many."""
    attention = model.blocks[layer].get_submodule("attn")
    length, start = model.shape.length, head * model.shape.head
    back = 1 + int(torch.randint(min(3, length - 1), (1,), generator=draw))
    target = torch.eye(length)[(torch.arange(length) - back).clamp(min=0)]
    q, k, v, o = (attention.get_submodule(f"{name}_proj").weight for name in "qkvo")
    q[start : start + length, places] = torch.eye(length)  # pyright: ignore
    k[start : start + length, places] = ECHO * target  # pyright: ignore
    v[start : start + len(given), list(given)] = torch.eye(len(given))  # pyright: ignore
    o[echo, start : start + len(given)] = torch.eye(len(given))  # pyright: ignore


def _noisy_head(
    model: CompiledTransformer, layer: int, head: int, noise: slice, draw: torch.Generator
) -> None:
    attention = model.blocks[layer].get_submodule("attn")
    rows = slice(head * model.shape.head, (head + 1) * model.shape.head)
    q, k, v, o = (attention.get_submodule(f"{name}_proj").weight for name in "qkvo")
    for matrix in (q, k, v):
        matrix[rows] = _random((model.shape.head, model.shape.width), draw)  # pyright: ignore
    o[noise, rows] = _random((noise.stop - noise.start, model.shape.head), draw)  # pyright: ignore


def _neurons(
    model: CompiledTransformer,
    layer: int,
    distractors: Distractors,
    read: tuple[list[int], list[int]],
    noise: slice,
    result: slice,
    draw: torch.Generator,
) -> None:
    """Noise first, then the bumps, in the last rows of the feed-forward layer."""
    mlp = model.blocks[layer].get_submodule("mlp")
    up, bias = mlp.get_submodule("up").weight, mlp.get_submodule("up").bias
    down = mlp.get_submodule("down").weight
    first = model.shape.neurons - extra_neurons(distractors)
    rows = slice(first, first + distractors.noise)
    up[rows] = _random((distractors.noise, model.shape.width), draw)  # pyright: ignore
    down[noise, rows] = _random((noise.stop - noise.start, distractors.noise), draw)  # pyright: ignore
    number = rows.stop
    for directions in read:
        for _ in range(distractors.bumps if directions else 0):
            # relu(t) - 2 relu(t - 1/2) is 0 at t = 0 and t = 1, and falls at 1.
            some = [one for one in directions if float(torch.rand(1, generator=draw)) < 0.5] or directions[:1]
            to = result.start + int(torch.randint(result.stop - result.start, (1,), generator=draw))
            for shift, height in ((0.0, distractors.height), (-0.5, -2 * distractors.height)):
                up[number, some] = 1.0  # pyright: ignore
                bias[number] = shift  # pyright: ignore
                down[to, number] = height  # pyright: ignore
                number += 1


def _random(shape: tuple[int, int], draw: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=draw) / shape[1] ** 0.5
