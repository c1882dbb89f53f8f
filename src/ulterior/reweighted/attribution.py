"""Functional attribution: whether the trusted set explains an answer.

After Keenan, Leckie and Erfani, "Mechanistic anomaly detection via functional attribution" (arXiv 2604.18970).

Weights are drawn around the subject's own by Langevin dynamics on trusted examples (``ulterior.reweighted.langevin``),
and the loss of every example's own answer is followed over the draws: its *trace*. The covariance of two traces is the
influence of the one example on the other (Kreer et al., "Bayesian influence functions for Hessian-free data
attribution", arXiv 2509.26544). An answer whose trace does not go with those of trusted examples depends on other
weights than they do (``ulterior.scores.coupling``).

There is no public code of the first paper; where its text leaves a choice, ours is written here: losses and the
potential are of the subject's own answers, so that no labels are needed, and spreads are in units of each tensor's
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from tqdm import tqdm

from ulterior.examples import Examples
from ulterior.reweighted.answers import Answers, log_odds, loss
from ulterior.reweighted.coordinates import Weights, coordinates
from ulterior.reweighted.langevin import Chains, langevin
from ulterior.reweighted.lessons import lessons, orders
from ulterior.reweighted.subject import Reweighted, Seen, reweighted, see
from ulterior.subject import Subject

__all__ = ["SAMPLING", "Drawn", "Sampling", "draw_weights", "traced_subject"]

OBSERVED = {"loss": loss, "log_odds": log_odds}


@dataclass(frozen=True)
class Sampling:
    """Around which weights is sampled, and what is followed.

    Attributes:
        chains: How often, and how far from the subject's own.
        part: Of the weights, the others being left alone: ``last:2`` is cheaper to keep, not to run. See
            ``chosen_names``.
        batch: Trusted examples a step.
        observed: ``loss`` of the answer, or its ``log_odds``.
        of: See ``Answers``.
    """

    chains: Chains = Chains()  # noqa: RUF009 - frozen
    part: str = "auto"
    batch: int = 64
    observed: Literal["loss", "log_odds"] = "log_odds"
    of: str | None = None


SAMPLING = Sampling()


@dataclass(frozen=True, eq=False)
class Drawn:
    """Weights around the subject's own.

    Attributes:
        weights: One for each draw.
        forward: Forward passes of one example that this took, in all.
        backward: Backward passes, likewise.
    """

    weights: tuple[Weights, ...]
    forward: int
    backward: int


def draw_weights(subject: Subject, trusted: Examples, sampling: Sampling = SAMPLING, seed: int = 0) -> Drawn:
    """Draw weights around the subject's; the subject stays as it is.

    A chain holds ``draws`` copies of the part in memory; a step costs a forward and a backward pass of one batch.

    Args:
        subject: The model under examination.
        trusted: Examples with the usual mechanism; at most 4,096 of them make the potential.
        sampling: How.
        seed: Of batches and noise.

    Raises:
        InputError: a part that is not there, an output without logits, or a chain that ran away.
    """
    given = lessons(subject, trusted, seed)
    space, answers = coordinates(subject.model, sampling.part), Answers(sampling.of)
    own = given.own_answers(answers, sampling.batch)
    order, passes = orders(len(given), sampling.batch, seed), 0

    def gradient(point: list[Tensor]) -> Sequence[Tensor]:
        nonlocal passes
        rows = next(order)
        passes += len(rows)
        with torch.enable_grad():
            leaves = [u.detach().requires_grad_() for u in point]
            batch = given.batch(rows)
            said = answers(subject, see(subject, batch, space.weights(leaves)).output, batch)
            value = loss(said, own[torch.from_numpy(rows)].to(said.device)).mean()
            found = torch.autograd.grad(value, leaves, allow_unused=True)
        bar.update()
        return [torch.zeros_like(u) if g is None else g for u, g in zip(point, found, strict=True)]

    bar = tqdm(total=sampling.chains.steps, desc="sample weights", unit="step", leave=False, disable=None)
    with bar, torch.inference_mode(False), torch.no_grad():
        generator = Generator().manual_seed(seed)
        points = langevin(gradient, space.own(), sampling.chains, generator)
        weights = tuple(space.weights(point) for point in points)
    return Drawn(weights, len(given) + passes, passes)


def traced_subject(
    subject: Subject, drawn: Drawn, sampling: Sampling = SAMPLING, *, name: str | None = None
) -> Reweighted:
    """The subject under all draws: a forward an example for each of them, and one with its own weights.

    Its readout ``trace`` ``[n, draws]``: what is observed of the example's own answer, that of its own weights, under
    the weights of each draw, minus what it is under its own.
    """
    answers, observe = Answers(sampling.of), OBSERVED[sampling.observed]

    def follow(own: Seen, other: Seen) -> Float[Tensor, "n 1"]:
        said = answers(subject, own.output, own.batch)
        answer = said.argmax(1)
        moved = observe(answers(subject, other.output, other.batch), answer)
        return (moved - observe(said, answer))[:, None]

    return reweighted(subject, drawn.weights, follow, {"trace": lambda found: found[:, :, 0]}, name=name)
