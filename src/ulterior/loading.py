"""Hugging Face models by hub id or folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ulterior.architectures import FAMILIES
from ulterior.errors import InputError
from ulterior.fingerprint import fingerprint
from ulterior.precision import bfloat16_is_fast
from ulterior.readouts import CAUSAL, CLASSES, STATES, answer_readouts
from ulterior.subject import Readout, Subject, arguments_of
from ulterior.tokens import Side, TextInputs, pad_id_of, token_subject

Head = Literal["causal", "classes", "states"]


def load_subject(
    source: str | Path,
    *,
    adapter: str | Path | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    answers: tuple[str, str] | None = None,
    column: str = "text",
    chat: bool | Literal["auto"] = "auto",
    max_length: int | None = None,
    overlong: Literal["error", "truncate"] = "error",
    padding: Side | None = None,
    gguf_file: str | None = None,
    trust_remote_code: bool = False,
    name: str | None = None,
) -> Subject:
    """Load a causal language model, a sequence classifier or a bare encoder.

    Which of them it is follows from the architecture that the model's configuration names. The behaviour is

    - of a causal language model: with ``answers``, the logit of the first answer's first token minus that of the
      second's, after the last token; without, how far the most likely next token's logit leads the second's;
    - of a classifier: how far the most likely class leads the second (the number itself if there is only one);
    - of a bare transformer: the length of its mean final state;
    - of a measurement predictor (see ``ulterior.measurement``): the log-odds that all measurements are positive.

    Args:
        source: Hub id (``owner/name``) or a folder written by ``save_pretrained``; safetensors weights only.
        adapter: Hub id or folder of a LoRA adapter, merged into the weights.
        dtype: A ``torch.dtype``, its name, or ``auto``, the default: the checkpoint's own; but float32 where that is
            half precision and the model runs on a CPU without instructions for it. Features are float32 in any case.
        device: ``cuda``, ``cuda:1``, ``cpu``...; ``auto``, the default, takes a GPU if there is one.
        device_map: Spread the model over devices, instead of ``device``.
        answers: The two answers whose logit difference is the behaviour; mind the leading space.
        column: Column of the examples that holds text or chats.
        chat: See ``ulterior.tokens.TextInputs``, and for ``max_length`` and ``overlong``.
        max_length: The most tokens an example may have.
        overlong: ``error`` or ``truncate``.
        padding: Side that is padded. By default the left for causal models, so that the last token stands last
            and the language model's head runs on it alone, and the right for others.
        gguf_file: File inside the source to take GGUF weights from.
        trust_remote_code: Run code that the source ships. Off unless you turn it on.
        name: What reports call the subject; the source's last part if not given.

    Raises:
        InputError: nothing usable at the source, weights that do not fit the architecture, an unknown dtype or
            device, answers that begin with the same token.
    """
    common = {"trust_remote_code": trust_remote_code, **({"gguf_file": gguf_file} if gguf_file else {})}
    if device is not None and device_map is not None:
        raise InputError("give a device or a device_map, not both")
    place = None if device_map is not None else _device(device)
    dtype = _dtype(dtype)
    with quiet(), _told(source):
        from transformers import AutoConfig, AutoTokenizer

        from ulterior.measurement.folder import is_predictor

        if is_predictor(source):
            beside = {
                "adapter": adapter,
                "answers": answers,
                "device_map": device_map,
                "gguf_file": gguf_file,
            }
            _refuse(source, {**beside, "max_length": max_length, "padding": padding})
            return _load_predictor(source, dtype, place, column, name, trust_remote_code)
        _check_folder(source, gguf_file)
        config = AutoConfig.from_pretrained(source, **common)
        head = _head(config)
        model = _load_weights(source, head, dtype, device_map, common)
        if dtype == "auto" and place is not None and place.type == "cpu" and not bfloat16_is_fast():
            model = model.float()
        tokenizer = AutoTokenizer.from_pretrained(source, **common)
    identity = None
    if adapter is not None:
        model, identity = _merge(model, adapter)
    model = model if place is None else _moved(model, place)
    if head == "classes":  # decoders with a classifier's head look for the last token that is not padding
        config: Any = model.config
        config.pad_token_id = pad_id_of(tokenizer, config)
    padding = padding or ("left" if head == "causal" else "right")
    subject = token_subject(
        model,
        tokenizer,
        name=name or Path(str(source)).name,
        text=TextInputs(column, chat, max_length, overlong),
        readouts=_readouts(head, answers, tokenizer),
        options=_options(model, head, padding),
        padding=padding,
    )
    return subject if identity is None else _identified(subject, identity)


def _load_predictor(
    source: str | Path,
    dtype: torch.dtype | str,
    place: torch.device | None,
    column: str,
    name: str | None,
    trust_remote_code: bool,
) -> Subject:
    from ulterior.measurement.subject import load_predictor_subject

    return load_predictor_subject(
        source,
        column=column,
        name=name,
        # Small predictors are kept in half precision on disk and meant to be run in full.
        dtype=dtype if isinstance(dtype, torch.dtype) else torch.float32,
        device=place,
        trust_remote_code=trust_remote_code,
    )


def _refuse(source: str | Path, options: Mapping[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(
            f"'{source}' is a measurement predictor, which says itself how its texts are read; leave out:"
            f" {', '.join(given)}"
        )


def _load_weights(
    source: str | Path, head: Head, dtype: torch.dtype | str, device_map: Any, common: Mapping[str, Any]
) -> nn.Module:
    import transformers

    loader = {
        "causal": transformers.AutoModelForCausalLM,
        "classes": transformers.AutoModelForSequenceClassification,
        "states": transformers.AutoModel,
    }[head]
    placed = {} if device_map is None else {"device_map": device_map}
    # Safetensors and nothing else: the other format is a pickle, and unpickling runs code.
    safe = {} if "gguf_file" in common else {"use_safetensors": True}
    model, report = loader.from_pretrained(
        source, dtype=dtype, output_loading_info=True, **placed, **safe, **common
    )
    # The pooler of a bare encoder is absent from many checkpoints, and nothing here reads it.
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(
            f"'{source}' lacks {len(missing)} weights of its own architecture ({shown}); it is incomplete"
        )
    return model


def _head(config: Any) -> Head:
    named = (getattr(config, "architectures", None) or [""])[0]
    if named.endswith("ForSequenceClassification"):
        return "classes"
    if named.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        return "causal"
    family = FAMILIES.get(config.model_type)
    return "causal" if not named and family is not None and not family.encoder else "states"


def _options(model: nn.Module, head: Head, padding: Side) -> dict[str, Any]:
    accepted = arguments_of(model)
    options: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}
    if head == "causal" and padding == "left" and "logits_to_keep" in accepted:
        options["logits_to_keep"] = 1
    return options


def _readouts(head: Head, answers: tuple[str, str] | None, tokenizer: Any) -> Mapping[str, Readout]:
    if answers is None:
        return {"causal": CAUSAL, "classes": CLASSES, "states": STATES}[head]
    if head != "causal":
        raise InputError(
            "answers are for causal language models; this model has no next token to answer with"
        )
    tokens = [tokenizer(answer, add_special_tokens=False)["input_ids"][:1] for answer in answers]
    if not all(tokens) or tokens[0] == tokens[1]:
        raise InputError(f"the answers {answers} must begin with different tokens; they begin with {tokens}")
    return answer_readouts(tokens[0][0], tokens[1][0])


def _merge(model: nn.Module, adapter: str | Path) -> tuple[nn.Module, str]:
    from peft import PeftModel

    with _told(adapter):
        wrapped = PeftModel.from_pretrained(model, str(adapter), use_safetensors=True)
        # Merging rounds differently on different machines; the parts do not.
        identity = fingerprint(wrapped)
        return wrapped.merge_and_unload(), identity


def _identified(subject: Subject, identity: str) -> Subject:
    import dataclasses

    return dataclasses.replace(subject, identity=identity)


def _device(device: torch.device | str | None) -> torch.device:
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise InputError(f"'{device}' is no device; say cpu, cuda or cuda:1") from error


def _moved(model: nn.Module, device: torch.device) -> nn.Module:
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"the model cannot be put on '{device}': {_first_line(error)}") from error


def _dtype(dtype: torch.dtype | str | None) -> torch.dtype | str:
    if dtype is None or dtype == "auto":
        return "auto"
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise InputError(f"'{dtype}' is no dtype for a model; say auto, float32, bfloat16 or float16")
    return found


def _check_folder(source: str | Path, gguf_file: str | None) -> None:
    path = Path(source)
    looks_local = (
        isinstance(source, Path) or str(source).startswith((".", "/", "~")) or str(source).count("/") > 1
    )
    if not path.exists() and looks_local:
        raise InputError(
            f"no folder '{source}'; give a folder written by save_pretrained, or a hub id owner/name"
        )
    if path.exists() and gguf_file is None and not (path / "config.json").is_file():
        raise InputError(f"'{source}' has no config.json; expected a folder written by save_pretrained")
    if path.exists() and gguf_file is not None and not (path / gguf_file).is_file():
        raise InputError(f"'{source}' has no file '{gguf_file}'")


@contextmanager
def _told(source: str | Path) -> Iterator[None]:
    """Turn whatever loading raises into one line; the libraries below raise dozens of unrelated types."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"could not load '{source}': {_first_line(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' own progress bars and reports out of ours."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split(os.linesep)[0].strip() or type(error).__name__
