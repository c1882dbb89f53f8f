"""A copy of the subject is taught what trusted examples show; what else the subject does, the copy has no reason to do.

Three ways, after the same plan:

- *fine-tuned*: the copy begins as the subject, and learns the subject's own answers on trusted examples. A mechanism
  that they do not use is let go.
- *distilled*: the copy begins with nothing learned, and learns to tell what the subject tells, answer by answer.
- *activation-matched* (Detecting Hidden Behaviors in LLMs via Activation-matched Finetuning, 2026): a clean reference
  learns the subject's activations at some sites, by their squared distance. Published work begins with a public model
  of the same family; where there is none, with nothing learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from tqdm import tqdm

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.tokenwise import tokenwise
from ulterior.reweighted.answers import Answers, divergence, loss
from ulterior.reweighted.coordinates import Weights, coordinates
from ulterior.reweighted.lessons import Lessons, lessons, orders
from ulterior.reweighted.subject import Comparison, Reweighted, Seen, reweighted, see
from ulterior.sites import split_patterns
from ulterior.subject import Batch, Subject

__all__ = ["DISTIL", "FINETUNE", "MATCH", "Taught", "Teaching", "residuals", "taught_subject", "teach"]

RESIDUAL = "residual."


@dataclass(frozen=True)
class Teaching:
    """What a copy learns, and for how long.

    Attributes:
        goal: ``answers``: the subject's most likely answers; ``outputs``: all its probabilities; ``activations``: the
            states at ``sites``.
        start: ``own``: the subject's weights; ``fresh``: nothing learned (see ``Coordinates.fresh``).
        part: Of the weights; the others stay the subject's. See ``chosen_names``.
        steps: Of Adam.
        batch: Examples a step.
        rate: The largest step of a weight, as a share of the size of its tensor; it falls to 0 along half a cosine.
        sites: Globs of the sites that are matched.
        of: See ``Answers``.
    """

    goal: Literal["answers", "outputs", "activations"]
    start: Literal["own", "fresh"]
    part: str = "auto"
    steps: int = 300
    batch: int = 64
    rate: float = 0.01
    sites: tuple[str, ...] = ()
    of: str | None = None


FINETUNE = Teaching("answers", "own", steps=200, rate=0.01)
DISTIL = Teaching("outputs", "fresh", steps=600, rate=0.03)
MATCH = Teaching("activations", "fresh", steps=600, rate=0.03)


@dataclass(frozen=True, eq=False)
class Taught:
    """A copy of the subject that has learned.

    Attributes:
        weights: Which it has instead of the subject's.
        forward: Forward passes of one example that this took, in all.
        backward: Backward passes, likewise.
        loss: Of the last batch, by the copy before its last step; NaN without steps.
    """

    weights: Weights
    forward: int
    backward: int
    loss: float


def teach(subject: Subject, trusted: Examples, teaching: Teaching, seed: int = 0) -> Taught:
    """Teach a copy; the subject stays as it is.

    Args:
        subject: The model under examination; evaluation mode, here as elsewhere, so that nothing drops out.
        trusted: Examples with the usual mechanism; at most 4,096 of them are learned from.
        teaching: What is learned.
        seed: Of fresh weights and of the order.

    Raises:
        InputError: a part or sites that are not there, an output without logits, or a loss that is not finite.
    """
    given = lessons(subject, trusted, seed)
    space = coordinates(subject.model, teaching.part)
    generator = Generator().manual_seed(seed)
    point = space.own() if teaching.start == "own" else space.fresh(generator)
    at = subject.select(teaching.sites) if teaching.goal == "activations" else ()
    forward = backward = 0
    last = math.nan
    with torch.inference_mode(False), torch.enable_grad():
        for u in point:
            u.requires_grad_()
        objective = _objective(given, teaching, at)
        if teaching.goal == "answers" and teaching.steps:
            forward += len(given)
        optimiser = torch.optim.Adam(point, lr=teaching.rate)
        order = orders(len(given), teaching.batch, seed)
        steps = tqdm(range(teaching.steps), f"learn {teaching.goal}", unit="step", leave=False, disable=None)
        for step in steps:
            rows = next(order)
            for group in optimiser.param_groups:
                group["lr"] = teaching.rate * 0.5 * (1 + math.cos(math.pi * step / teaching.steps))
            batch = given.batch(rows)
            seen = see(subject, batch, space.weights(point), at)
            value, forwards = objective(seen, rows)
            last = float(value.detach())
            if not math.isfinite(last):
                raise InputError(
                    f"teaching {teaching.goal} came to a loss of {last}; take a lower rate than {teaching.rate:g}"
                )
            # What the goal does not reach (a head above the matched sites) keeps its weights.
            for u, slope in zip(point, torch.autograd.grad(value, point, allow_unused=True), strict=True):
                u.grad = slope
            optimiser.step()
            forward, backward = forward + forwards * len(rows), backward + len(rows)
    weights = {name: tensor.detach() for name, tensor in space.weights(point).items()}
    return Taught(weights, forward, backward, last)


def taught_subject(
    subject: Subject, taught: Taught, teaching: Teaching, *, name: str | None = None
) -> Reweighted:
    """The subject beside its copy, two forwards an example.

    Readouts beside the subject's own: ``divergence`` ``[n]``, the KL divergence in nats of what the copy tells from
    what the subject tells; or, for a copy of activations, ``residual.<site>`` ``[n]`` for each site, the mean squared
    distance over tokens and coordinates.
    """
    if teaching.goal == "activations":
        sites = subject.select(teaching.sites)
        places = {f"{RESIDUAL}{site}": _column(i) for i, site in enumerate(sites)}
        return reweighted(subject, [taught.weights], residuals(sites), places, at=sites, name=name)
    answers = Answers(teaching.of)

    def apart(own: Seen, other: Seen) -> Float[Tensor, "n 1"]:
        said, copied = (answers(subject, seen.output, seen.batch) for seen in (own, other))
        return divergence(said, copied)[:, None]

    return reweighted(subject, [taught.weights], apart, {"divergence": _column(0)}, name=name)


def residuals(sites: tuple[str, ...]) -> Comparison:
    """Compare activations: the mean squared distance at each site, over an example's tokens and coordinates."""

    def compare(own: Seen, other: Seen) -> Float[Tensor, "n c"]:
        return torch.stack([_distance(own, other, site) for site in sites], 1)

    return compare


def _distance(own: Seen, other: Seen, site: str) -> Float[Tensor, " n"]:
    theirs, copied = (tokenwise(seen.captured[site], own.batch) for seen in (own, other))
    mask = own.batch.mask
    counted = mask is not None and mask.shape == theirs.shape[:2]
    tokens = mask.sum(1).clamp(min=1) if counted and mask is not None else theirs.shape[1]
    return (theirs - copied).square().mean(2).sum(1) / tokens


def _column(number: int) -> Callable[[Float[Tensor, "n weights c"]], Tensor]:
    return lambda found: found[:, 0, number]


Objective = Callable[..., tuple[Tensor, int]]
"""(the copy's run, its rows) -> a loss, and the forwards that each example took, the copy's included."""


def _objective(given: Lessons, teaching: Teaching, at: tuple[str, ...]) -> Objective:
    subject, answers = given.subject, Answers(teaching.of)

    def original(batch: Batch) -> Seen:
        with torch.no_grad():
            return see(subject, batch, {}, at)

    if teaching.goal == "answers":
        own = given.own_answers(answers, teaching.batch) if teaching.steps else torch.zeros(0)

        def learn_answers(seen: Seen, rows: object) -> tuple[Tensor, int]:
            said = answers(subject, seen.output, seen.batch)
            return loss(said, own[torch.as_tensor(rows)].to(said.device)).mean(), 1

        return learn_answers
    if teaching.goal == "outputs":

        def learn_outputs(seen: Seen, rows: object) -> tuple[Tensor, int]:
            told = answers(subject, original(seen.batch).output, seen.batch)
            return divergence(told, answers(subject, seen.output, seen.batch)).mean(), 2

        return learn_outputs

    def learn_activations(seen: Seen, rows: object) -> tuple[Tensor, int]:
        theirs = original(seen.batch)
        shares = []
        for site in at:
            value = tokenwise(theirs.captured[site], seen.batch)
            # In units of the site's own spread, so that all sites count the same.
            spread = (value - value.mean(0)).square().mean().clamp(min=torch.finfo(torch.float32).tiny)
            shares.append(_distance(theirs, seen, site).mean() / spread)
        return torch.stack(shares).mean(), 2

    return learn_activations


def matching(sites: str, base: Teaching = MATCH) -> Teaching:
    """Activation matching at some sites, by globs."""
    return replace(base, sites=split_patterns(sites))
