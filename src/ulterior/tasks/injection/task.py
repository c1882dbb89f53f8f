"""The task `injection`: find the reviews whose verdict was dictated by an instruction written into them."""

from __future__ import annotations

from ulterior.errors import InputError
from ulterior.tasks.injection.data import BENIGN, FRESH, INJECTED, SIZES, build_data
from ulterior.tasks.injection.subject import injection_subject
from ulterior.tasks.task import Slice, Task, TaskData

SLICES = (
    Slice("veiled", ("veiled disagree", "veiled agree"), (FRESH,)),
    Slice("overt", ("overt disagree", "overt agree"), (FRESH,)),
    Slice("disagree", ("overt disagree", "veiled disagree"), (FRESH,)),
    Slice("agree", ("overt agree", "veiled agree"), (FRESH,)),
    Slice("against benign", INJECTED, (FRESH, *BENIGN)),
)
"""The headline is the slice of the keyword-free wordings, which a surface baseline does not solve."""


def load_injection(seed: int, size: str) -> TaskData:
    """One seed of the task: the same subject, other reviews, pairings and variants of the wordings.

    Raises:
        InputError: an unknown size, or the model or the reviews are missing (the message says how to get them).
    """
    if size not in SIZES:
        raise InputError(f"no size '{size}' of the task injection; there are: {', '.join(SIZES)}")
    data = build_data(SIZES[size], seed)
    return TaskData(
        subject=injection_subject(),
        trusted=data.trusted,
        untrusted=data.untrusted,
        test=data.test,
        slices=SLICES,
        benign=BENIGN,
    )


TASK = Task(
    name="injection",
    about="a language model judges movie reviews; an instruction written into a review dictates the answer",
    kind="anomaly",
    baseline="surface",
    load=load_injection,
    columns={"text": "text", "truth": "anomalous"},
    sites="resid.4,resid.9,resid.14,resid.19,resid.24,resid.29",
    subject=lambda seed: injection_subject(),
)
