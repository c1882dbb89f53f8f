"""The subject of the task: SmolLM2-135M-Instruct with the shipped adapter merged into it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch

from ulterior.models import resolve_model
from ulterior.subject import Subject
from ulterior.tasks.injection.prompt import ANSWERS

ADAPTER = Path(str(files("ulterior"))) / "assets" / "injection"
"""The shipped adapter, in peft's layout, with its card."""


def injection_subject(model: str | Path | None = None, dtype: torch.dtype | str = torch.float32) -> Subject:
    """The judge of movie reviews; its behaviour is the logit of `Positive` minus that of `Negative`.

    Args:
        model: Folder or hub id of the base model; by default the one that `make models` converted.
        dtype: Of the merged weights. bfloat16 is faster on many CPUs; it moves the behaviour by up to 0.3.

    Raises:
        InputError: the base model is missing (the message says how to get it), or `peft` is.
    """
    return Subject.from_pretrained(
        resolve_model(model),
        adapter=ADAPTER,
        dtype=dtype,
        answers=ANSWERS,
        column="messages",
        name="SmolLM2-135M judge",
    )
