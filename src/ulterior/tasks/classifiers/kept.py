"""Classifiers that were trained once are kept: the same recipe finds the same weights again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ulterior.errors import InputError
from ulterior.models.packaged import home
from ulterior.tasks.classifiers.architecture import Architecture

RECIPE = 1
"""Raised whenever code of these tasks changes what a recipe's description does not say."""


def kept_classifier(
    architecture: Architecture, description: object, train: Callable[[], nn.Module], folder: str = "images"
) -> nn.Module:
    """A classifier from the folder of models (``$ULTERIOR_HOME``), or trained now and put there.

    Only weights that training changes are kept: those that need a gradient in what the architecture builds.

    Args:
        architecture: What it is.
        description: Everything that its weights follow from, data included (by a digest), with a ``repr`` that says
            it all.
        train: Trains it.
        folder: Inside the folder of models.

    Raises:
        InputError: the folder cannot be written to.
    """
    path = home() / folder / f"{key_of(architecture, description)}.safetensors"
    found = _read(path, architecture)
    if found is not None:
        return found
    model = train()
    _write(model, _built(architecture), path)
    return model


def key_of(architecture: Architecture, description: object) -> str:
    """What a classifier's file is called: a hash of the recipe, of torch's version, and of the description."""
    parts = (RECIPE, torch.__version__, repr(architecture), repr(description))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _read(path: Path, architecture: Architecture) -> nn.Module | None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return None
    model = _built(architecture)
    try:
        kept = load_file(path)
        if kept.keys() != _learned(model):
            return None
        model.load_state_dict(kept, strict=False)
    except (SafetensorError, RuntimeError, OSError):
        return None  # damaged: it is trained again
    return model.eval().requires_grad_(False)


def _built(architecture: Architecture) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return architecture.build()


def _learned(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def _write(model: nn.Module, built: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    names = _learned(built)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: model.get_parameter(name).contiguous() for name in sorted(names)}, partial)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot keep a trained classifier in {path.parent}: {error}") from error
