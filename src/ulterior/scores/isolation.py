"""The isolation forest: how few random cuts part a row from the trusted ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.score import Columns, rows_of, stored_in
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["FittedForest", "IsolationForest"]

_ROWS_AT_ONCE = 2048
_LEAF = -1


@saved
@dataclass(frozen=True)
class IsolationForest:
    """2^(-mean depth / usual depth) of a row in trees that cut a random feature at a random place; in (0, 1).

    Features are taken as they are: the score does not change when they are shifted or scaled one by one. A feature
    that never varies among trusted rows is never cut, so that a change in it is not seen. Liu, Ting, Zhou, "Isolation
    forest" (ICDM 2008), as scikit-learn grows it; the trees are kept as arrays.

    ``trees``: their number. ``rows``: stored rows that each tree is grown on, drawn without replacement.
    """

    trees: int = 100
    rows: int = 256
    seed: int = 0
    bound: int = 20_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the reference rows."""
        return (StoreOf(self.reference, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedForest:
        """The grown trees.

        Raises:
            InputError: no trees, or trees of fewer than two rows.
        """
        from sklearn.ensemble import IsolationForest as Forest

        x = vectors(stored_in(given, self.needs[0]).x).numpy()
        used = min(self.rows, len(x))
        if self.trees < 1 or used < 2:
            raise InputError(
                f"IsolationForest(trees={self.trees}, rows={self.rows}) with {len(x)} stored rows: give at least 1"
                " tree, and at least 2 rows to grow it on"
            )
        size: Any = used  # the library's default, a text, hides the other types that it takes
        forest = Forest(n_estimators=self.trees, max_samples=size, random_state=self.seed).fit(x)
        return _exported([one.tree_ for one in forest.estimators_], used)


@saved
@dataclass(frozen=True, eq=False)
class FittedForest:
    """All nodes of all trees, one after the other; a leaf leads to itself."""

    roots: Int[Tensor, "t"]
    feature: Int[Tensor, "nodes"]
    threshold: Float[Tensor, "nodes"]
    left: Int[Tensor, "nodes"]
    right: Int[Tensor, "nodes"]
    length: Float[Tensor, "nodes"]
    """At a leaf: cuts on the way there, and those that its remaining rows would usually need."""
    depth: int
    """Of the deepest tree."""
    usual: float
    """Mean number of cuts that part one of the rows of a tree from the others."""

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        # The trees were cut between float32 values, and so are read with such.
        pieces = rows_of(x).float().split(_ROWS_AT_ONCE)
        return torch.cat([torch.exp2(-self._length(piece) / self.usual) for piece in pieces])

    def _length(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        node = self.roots.expand(len(x), -1)
        for _ in range(self.depth):
            below = x.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(below, self.left[node], self.right[node])
        return self.length[node].mean(1)


def _exported(trees: list[Any], rows: int) -> FittedForest:
    """scikit-learn's trees as one row of nodes."""
    starts = np.cumsum([0] + [tree.node_count for tree in trees])
    leaf = np.concatenate([tree.children_left for tree in trees]) == _LEAF
    itself = np.arange(starts[-1])
    children = [
        np.concatenate([getattr(tree, side) + start for tree, start in zip(trees, starts, strict=False)])
        for side in ("children_left", "children_right")
    ]
    left, right = (np.where(leaf, itself, side) for side in children)
    level, depth, reached = np.zeros(starts[-1]), 0, starts[:-1]
    while True:
        reached = reached[~leaf[reached]]
        if not len(reached):
            break
        depth += 1
        reached = np.concatenate([left[reached], right[reached]])
        level[reached] = depth
    held = np.concatenate([tree.n_node_samples for tree in trees]).astype(np.int64)
    feature = np.concatenate([tree.feature for tree in trees])
    return FittedForest(
        torch.from_numpy(starts[:-1]),
        torch.from_numpy(np.where(leaf, 0, feature)),
        torch.from_numpy(np.concatenate([tree.threshold for tree in trees])),
        torch.from_numpy(left),
        torch.from_numpy(right),
        torch.from_numpy(level + usual_cuts(held)),
        depth,
        float(usual_cuts(np.array([rows]))[0]),
    )


def usual_cuts(n: Int[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """Mean number of random cuts that part one of n rows from the others: 2 H(n - 1) - 2 (n - 1) / n."""
    many = np.maximum(n, 3).astype(np.float64)
    cuts = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(n > 2, cuts, np.where(n == 2, 1.0, 0.0))
