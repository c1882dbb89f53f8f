"""Training a small classifier from a seed, in seconds, and running it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ulterior.errors import InputError
from ulterior.tasks.classifiers.architecture import Architecture

# Examples at a time where no graph is kept.
ROWS = 1000

Augment = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(model, inputs, labels) -> the inputs that a step learns from, such as adversarial ones."""


@dataclass(frozen=True)
class Training:
    """How a classifier is trained: Adam, its rate rising and then falling to zero along half a cosine.

    Attributes:
        steps: Batches. (A fixed number, so that small data sets are seen more often.)
        batch: Examples a batch.
        rate: The largest learning rate.
        warm: Share of the steps during which the rate rises.
        decay: Weight decay, decoupled.
    """

    steps: int = 500
    batch: int = 128
    rate: float = 3e-3
    warm: float = 0.1
    decay: float = 1e-2


USUAL = Training()


def train_classifier(
    architecture: Architecture,
    x: Shaped[Tensor, "n ..."],
    y: Int[Tensor, " labels"],
    training: Training,
    seed: int,
    augment: Augment | None = None,
    sizes: Int[Tensor, " n"] | None = None,
) -> nn.Module:
    """A classifier in evaluation mode; the same, on one machine, whenever the arguments are the same.

    Args:
        architecture: Of the classifier.
        x: What it is trained on: images, or the token numbers of texts.
        y: The class of each.
        training: How.
        seed: Of weights and batches.
        augment: Changes what a step learns from.
        sizes: Of the examples, such as lengths in tokens: batches then hold examples of about one size.

    Raises:
        InputError: no examples, or another number of labels.
    """
    if len(x) == 0 or len(x) != len(y):
        raise InputError(
            f"{len(x)} examples and {len(y)} labels to train on; give one label for each example"
        )
    # The generator of the caller is left as it was.
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        model = architecture.build()
        optimiser = torch.optim.AdamW(model.parameters(), lr=training.rate, weight_decay=training.decay)
        order = torch.empty(0, dtype=torch.long)
        for step in range(training.steps):
            if len(order) < training.batch:
                more = torch.randperm(len(x))
                more = more if sizes is None else _of_like_size(more, sizes, training.batch)
                order = torch.cat([order, more])
            rows, order = order[: training.batch], order[training.batch :]
            inputs = x[rows] if augment is None else augment(model, x[rows], y[rows])
            for group in optimiser.param_groups:
                group["lr"] = training.rate * _share(step / training.steps, training.warm)
            optimiser.zero_grad()
            cross_entropy(model(inputs), y[rows]).backward()
            optimiser.step()
    return model.eval().requires_grad_(False)


def logits_of(model: nn.Module, x: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
    """The model's logits, a thousand examples at a time."""
    with torch.inference_mode():
        return torch.cat([model(part) for part in x.split(ROWS)]).clone()


def predictions(model: nn.Module, x: Shaped[Tensor, "n ..."]) -> Int[Tensor, " n"]:
    """The most likely class of each example."""
    return logits_of(model, x).argmax(1) if len(x) else torch.zeros(0, dtype=torch.long)


def accuracy(model: nn.Module, x: Shaped[Tensor, "n ..."], y: Int[Tensor, " n"]) -> float:
    """Share of the examples whose most likely class is their label."""
    return float((predictions(model, x) == y).float().mean())


def _of_like_size(order: Int[Tensor, " n"], sizes: Int[Tensor, " n"], batch: int) -> Int[Tensor, " n"]:
    """The same rows, each sixteen batches of them sorted, and then all batches shuffled."""
    runs = [part[sizes[part].argsort(stable=True)] for part in order.split(16 * batch)]
    batches = [one for run in runs for one in run.split(batch)]
    return torch.cat([batches[i] for i in torch.randperm(len(batches))])


def _share(done: float, warm: float) -> float:
    """Of the largest rate: a straight rise, then half a cosine down."""
    if done < warm:
        return (done + 1e-3) / warm
    return 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))
