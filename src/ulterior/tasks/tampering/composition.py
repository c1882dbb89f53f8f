"""What each split is made of: how many fakes, real ones, negatives and partial patterns."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ulterior.errors import InputError
from ulterior.tasks.tampering.stream import Executed

__all__ = ["PARTIAL", "SPLITS", "Split", "counts", "kind", "select"]

# The six patterns of measurements that disagree, scale, prism and camera in this order.
PARTIAL = ("001", "010", "011", "100", "101", "110")


@dataclass(frozen=True)
class Split:
    """One split of the published data set.

    Attributes:
        difficulty: of its programs.
        n: its published size.
        fake: share of rows whose measurements are all positive without the diamond.
        real: share of rows whose measurements are all positive with it.
        negative: share of rows without a positive measurement.
        partial: share of rows whose measurements disagree, spread equally over the six patterns.
        meh: whether real rows may have a sensor that would fire without the diamond, too.
        train: whether the rows belong to `train`, else to `validation`.
    """

    difficulty: str
    n: int
    fake: float
    real: float
    negative: float
    partial: float
    meh: bool = False
    train: bool = False


SPLITS: Mapping[str, Split] = {
    "trusted": Split("easy", 5_000, 0.0, 0.5, 0.5, 0.0, train=True),
    "untrusted": Split("both", 20_000, 0.1, 0.4, 0.35, 0.15, meh=True, train=True),
    "validation_easy": Split("easy", 1_000, 0.0, 0.8, 0.2, 0.0),
    "validation_both": Split("both", 2_000, 0.4, 0.4, 0.1, 0.1),
    "validation_val": Split("val", 3_000, 0.4, 0.4, 0.1, 0.1),
    "validation_only_val": Split("only_val", 2_000, 0.4, 0.4, 0.1, 0.1),
}


def kind(row: Executed) -> str:
    """`fake`, `real`, `negative`, or the pattern of measurements that disagree."""
    if row.all_positive:
        return "real" if row.outcome else "fake"
    return "".join("01"[m] for m in row.measurements) if any(row.measurements) else "negative"


def counts(split: Split, n: int) -> dict[str, int]:
    """How many rows of each kind make n rows; shares are met to the nearest row (largest remainder first)."""
    shares = {"fake": split.fake, "real": split.real, "negative": split.negative}
    shares |= dict.fromkeys(PARTIAL, split.partial / len(PARTIAL))
    whole = {name: int(share * n + 1e-9) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: whole[name] - shares[name] * n)
    for name in by_remainder[: n - sum(whole.values())]:
        whole[name] += 1
    return whole


def select(
    rows: Iterable[Executed], split: Split, n: int, *, shuffle: str, patience: int = 200_000
) -> list[Executed]:
    """Take programs as they come until every kind is complete, and shuffle them.

    Args:
        rows: a stream of executed programs.
        split: whose composition.
        n: how many rows.
        shuffle: seed of the order.
        patience: give up after so many programs in a row of which none was of use.

    Raises:
        InputError: a kind of row is too rare in the stream.
    """
    missing = {name: number for name, number in counts(split, n).items() if number}
    chosen: list[Executed] = []
    texts: set[str] = set()
    unused = 0
    for row in rows if missing else ():
        name = kind(row)
        unused += 1
        if name in missing and (split.meh or not row.meh) and row.program.text not in texts:
            unused = 0
            texts.add(row.program.text)
            chosen.append(row)
            missing[name] -= 1
            if not missing[name]:
                del missing[name]
                if not missing:
                    break
        elif unused > patience:
            wanted = ", ".join(f"{number} {name}" for name, number in missing.items())
            raise InputError(
                f"{patience} programs of difficulty {split.difficulty!r} in a row were of no use; missing: {wanted}"
            )
    random.Random(shuffle).shuffle(chosen)
    return chosen
