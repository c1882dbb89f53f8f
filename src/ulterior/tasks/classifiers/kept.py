"""Classifiers that were trained once are kept: the same recipe finds the same weights again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import torch
from torch import nn

from ulterior.errors import InputError
from ulterior.files import write_whole
from ulterior.models.packaged import home
from ulterior.tasks.classifiers.architecture import Architecture

SHIPPED = Path(str(files("ulterior") / "assets" / "classifiers"))
"""Classifiers that take minutes to train, and so ship with the library: small files, in half precision."""

INDEX = "index.json"
"""In that folder: which file is of which recipe."""

RECIPE = 1
"""Raised whenever code of these tasks changes what a recipe's description does not say."""


def kept_classifier(
    architecture: Architecture,
    description: object,
    train: Callable[[], nn.Module],
    folder: str = "images",
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """A classifier that ships with the library, or from the folder of models (``$ULTERIOR_HOME``), or trained now and
    put there.

    Only weights that training changes are kept: those that need a gradient in what the architecture builds.

    Args:
        architecture: What it is.
        description: Everything that its weights follow from, data included (by a digest), with a ``repr`` that says
            it all.
        train: Trains it.
        folder: Inside the folder of models.
        dtype: How the weights are kept; what was just trained is rounded to it, so that it makes no difference.

    Raises:
        InputError: the folder cannot be written to.
    """
    path = home() / folder / f"{key_of(architecture, description)}.safetensors"
    for place in (_shipped(architecture, description), path):
        found = None if place is None else _read(place, architecture)
        if found is not None:
            return found
    model = train()
    _write(model, architecture, path, dtype)
    return model


def ship_classifier(
    architecture: Architecture,
    description: object,
    train: Callable[[], nn.Module],
    folder: Path,
    name: str,
    dtype: torch.dtype,
) -> bool:
    """Train a classifier and write it, as ``kept_classifier`` finds it with the library, unless it is there already.

    Args:
        architecture: What it is.
        description: As for ``kept_classifier``.
        train: Trains it.
        folder: Where to; its `index.json` says which file holds which recipe.
        name: Of the file.
        dtype: How the weights are kept.

    Returns:
        Whether it had to be trained.

    Raises:
        InputError: the folder cannot be written to, or its index cannot be read.
    """
    key, known = key_of(architecture, description, torch_version=""), _index(folder)
    if known.get(key) == name and (folder / name).is_file():
        return False
    _write(train(), architecture, folder / name, dtype)
    # A file has one recipe: the one before, if another, has none any more.
    known = {other: file for other, file in known.items() if file != name} | {key: name}
    write_whole(folder / INDEX, json.dumps(known, indent=2, sort_keys=True) + "\n")
    return True


def key_of(architecture: Architecture, description: object, torch_version: str | None = None) -> str:
    """What a classifier's file is called: a hash of the recipe, of torch's version (this one's if None), and of the
    description."""
    version = torch.__version__ if torch_version is None else torch_version
    parts = (RECIPE, version, repr(architecture), repr(description))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _shipped(architecture: Architecture, description: object) -> Path | None:
    """The file of a classifier that ships with the library, whatever the version of torch here."""
    name = _index(SHIPPED).get(key_of(architecture, description, torch_version=""))
    return None if name is None else SHIPPED / name


def _index(folder: Path) -> dict[str, str]:
    """Which recipe's weights are in which file of a folder."""
    path = folder / INDEX
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InputError(f"'{path}' is damaged ({error}); remove it") from error


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


def _write(model: nn.Module, architecture: Architecture, path: Path, dtype: torch.dtype) -> None:
    """Round what was learned, and keep it."""
    from safetensors.torch import save_file

    names = sorted(_learned(_built(architecture)))
    learned = {name: model.get_parameter(name).to(dtype).contiguous() for name in names}
    with torch.no_grad():
        for name, weight in learned.items():
            model.get_parameter(name).copy_(weight)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(learned, partial)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot keep a trained classifier in {path.parent}: {error}") from error
