"""New last layers on a network's features: by which feature they decide is told from four groups of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ulterior.errors import InputError
from ulterior.scores.choice import best_head
from ulterior.scores.heads import HeadTraining, Loss, train_heads
from ulterior.scores.linear import Standard
from ulterior.scores.logistic import minimise

__all__ = ["METHODS", "Features", "Method", "new_head", "worst_group"]

Method = Literal["trusted", "divdis", "ace", "last_layer", "group_dro"]
METHODS: tuple[Method, ...] = ("trusted", "divdis", "ace", "last_layer", "group_dro")
_LOSSES: dict[str, Loss] = {"divdis": "divdis", "ace": "ace_topk"}

Decide = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Features:
    """Rows of features, with what is known of them.

    Attributes:
        x: ``[n, d]``.
        label: ``[n]``, what is meant.
        cue: ``[n]``, what the spurious feature shows.
    """

    x: Float[Tensor, "n d"]
    label: Int[Tensor, " n"]
    cue: Int[Tensor, " n"]

    @property
    def group(self) -> Int[Tensor, " n"]:
        """0 to 3: twice the label plus the cue."""
        return 2 * self.label + self.cue


def new_head(
    method: Method, trusted: Features, unlabelled: Float[Tensor, "m d"], labelled: Features, seed: int = 0
) -> Decide:
    """A head that decides between the two classes.

    Methods, and what they read:

    - ``trusted``: logistic regression on trusted rows alone, whose features agree.
    - ``divdis`` (Lee, Yao, Finn, arXiv 2202.03418), ``ace``: two heads that fit trusted rows and part on unlabelled
      ones; the labelled rows' labels choose between them.
    - ``last_layer`` (Kirichenko, Izmailov, Wilson, arXiv 2204.02937): logistic regression on labelled rows, as many of
      each group.
    - ``group_dro`` (Sagawa et al., arXiv 1911.08731): logistic regression on labelled rows, each group weighted by how
      large its loss has been.

    Args:
        method: Which.
        trusted: Labelled rows whose features agree.
        unlabelled: Rows whose features agree or part.
        labelled: A few rows of all groups.
        seed: Of the heads' first weights and batches.

    Returns:
        ``[n, d] -> [n]``, true for the class 1.

    Raises:
        InputError: labelled rows of too few groups.
    """
    missing = sorted(set(range(4)) - set(labelled.group.tolist()))
    if missing and method != "trusted":
        raise InputError(f"labelled rows of all four groups are needed; none of group {missing[0]}")
    standard = Standard.of(trusted.x, unlabelled)
    z, few = standard(trusted.x), standard(labelled.x)
    if method in _LOSSES:
        training = HeadTraining(seed=seed)
        heads = train_heads(z, trusted.label == 1, standard(unlabelled), _LOSSES[method], training)
        anomalous = (labelled.label == 0).numpy()
        kept = best_head(heads(few).double().numpy(), anomalous)
        return lambda x: heads(standard(x))[:, kept] > 0
    if method == "trusted":
        solution = minimise(z, trusted.label == 1, 1.0)
    elif method == "last_layer":
        rows = _balanced(labelled.group)
        solution = minimise(few[rows], labelled.label[rows] == 1, 1.0)
    else:
        solution = group_dro(few, labelled.label == 1, labelled.group)
    weight, bias = solution[:-1].float(), float(solution[-1])
    return lambda x: standard(x) @ weight + bias > 0


def group_dro(
    z: Float[Tensor, "n d"],
    target: Bool[Tensor, "n"],
    group: Int[Tensor, " n"],
    steps: int = 500,
    rate: float = 0.1,
    ascent: float = 0.1,
    decay: float = 1e-2,
) -> Float[Tensor, "p"]:
    """Weights (and last the bias) for the group with the largest loss: descent on the groups' weighted mean loss, while
    a group's weight grows exponentially with its own.

    Args:
        z: Standardised rows.
        target: What is to be predicted.
        group: 0, 1, ... of each row; each at least once.
        steps: Of the descent, each over all rows.
        rate: Of the descent.
        ascent: Of the groups' weights.
        decay: L2 penalty of the weights.
    """
    groups = int(group.max()) + 1
    members = torch.nn.functional.one_hot(group, groups).float()
    share = torch.full((groups,), 1 / groups)
    at, wanted = torch.zeros(z.shape[1] + 1), target.float()
    for _ in range(steps):
        at.requires_grad_(True)
        with torch.enable_grad():
            losses = binary_cross_entropy_with_logits(z @ at[:-1] + at[-1], wanted, reduction="none")
            each = losses @ members / members.sum(0)
            share = share * (ascent * each.detach()).exp()
            share = share / share.sum()
            (gradient,) = torch.autograd.grad(share @ each + decay * at[:-1].square().sum() / 2, at)
        at = at.detach() - rate * gradient
    return at.double()


def worst_group(decide: Decide, rows: Features) -> tuple[float, dict[str, float]]:
    """The smallest of the four groups' accuracies, and each, by its label and cue."""
    right = (decide(rows.x).long() == rows.label).float()
    each = {
        f"label {group // 2}, cue {group % 2}": float(right[rows.group == group].mean())
        for group in sorted(set(rows.group.tolist()))
    }
    return min(each.values()), each


def _balanced(group: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
    """As many rows of each group as the smallest has."""
    each = int(torch.bincount(group).min())
    return torch.cat([(group == one).nonzero()[:each, 0] for one in range(4)])
