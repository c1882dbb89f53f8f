"""Text to padded batches of tokens: the right side, no second BOS, explicit truncation, errors that name the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ulterior.architectures import find_anatomy
from ulterior.chat import render, shorten
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.readouts import CAUSAL
from ulterior.subject import (
    Batch,
    Collate,
    Encode,
    Encoded,
    Readout,
    RowError,
    Subject,
    arguments_of,
    device_of,
)

Side = Literal["left", "right"]
Positions = Mapping[str, tuple[int, ...]]
PositionsOf = Callable[[Examples, Sequence[Sequence[int]]], Sequence[Positions]]


@dataclass(frozen=True)
class TextInputs:
    """How a column becomes tokens.

    Attributes:
        column: The column: text, or chats as lists of ``{"role", "content"}``.
        chat: ``auto``: chats go through the tokenizer's chat template, text is taken as it is; True: text, too,
            is put into a user's turn; False: chats are refused. A generation prompt follows unless the
            assistant has the last word.
        max_length: The most tokens an example may have; the model's context if not given.
        overlong: What to do with a longer one: ``error``, or ``truncate``, which cuts the end of a text and the
            end of a chat's last message, never the template around it.
    """

    column: str = "text"
    chat: bool | Literal["auto"] = "auto"
    max_length: int | None = None
    overlong: Literal["error", "truncate"] = "error"


def token_subject(
    model: nn.Module,
    tokenizer: Any,
    *,
    name: str | None = None,
    text: TextInputs | None = None,
    positions: PositionsOf | None = None,
    arguments: Mapping[str, str] | None = None,
    readouts: Mapping[str, Readout] = CAUSAL,
    options: Mapping[str, Any] | None = None,
    padding: Side = "right",
) -> Subject:
    """A subject from any model whose ``forward`` takes ``input_ids`` and ``attention_mask``.

    Args:
        model: Put into evaluation mode.
        tokenizer: A tokenizer of ``transformers``, or a bare ``tokenizers.Tokenizer``.
        name: What reports call it; the class's name if not given.
        text: Which column, and how it becomes tokens.
        positions: Finds named positions from the examples and their token ids (see ``token_positions``).
        arguments: Which named positions ``forward`` takes: ``{"sensor_positions": "sensors"}`` hands the
            positions ``sensors`` ``[n, k]`` over as the argument ``sensor_positions``.
        readouts: Numbers read from the output; ``behaviour`` must be among them.
        options: Further arguments of every forward pass.
        padding: The side that is padded. ``left`` is right only for models that take ``position_ids`` or see
            nothing but distances.

    Raises:
        InputError: no ``behaviour`` among the readouts, an encoder padded on the left, or a ``max_length``
            beyond the model's context.
    """
    anatomy = find_anatomy(model)
    if padding == "left" and anatomy is not None and anatomy.family.encoder:
        raise InputError("encoders read their first token, so their batches are padded on the right")
    tokenizer = _as_pretrained(tokenizer)
    encode = text_encoder(model, tokenizer, text or TextInputs(), positions)
    pad_id = pad_id_of(tokenizer, getattr(model, "config", None))
    collate = token_collate(model, pad_id=pad_id, padding=padding, arguments=arguments)
    return Subject.of(model, encode=encode, collate=collate, readouts=readouts, name=name, options=options)


def text_encoder(
    model: nn.Module, tokenizer: Any, text: TextInputs, positions: PositionsOf | None = None
) -> Encode:
    """A function that turns a table into one ``Encoded`` a row.

    It raises ``RowError`` for a value that is no text (or no chat), a text without tokens, and one that is too
    long, with its row, its length and the limit.
    """
    accepted = arguments_of(model)
    limit = _limit(model, tokenizer, text.max_length)

    def encode(examples: Examples) -> list[Encoded]:
        rendered = render(examples[text.column], tokenizer, text.chat, text.column)
        cut = {"truncation": True, "max_length": limit} if text.overlong == "truncate" and limit else {}
        encoding = tokenizer(
            rendered.texts,
            # A chat template writes its own special tokens.
            add_special_tokens=not rendered.is_chat,
            return_attention_mask=False,
            verbose=False,
            **({} if rendered.is_chat else cut),
        )
        if cut and rendered.is_chat:
            shorten(encoding, rendered, tokenizer, cut["max_length"])
        names = [name for name in encoding if name == "input_ids" or name in accepted]
        rows = [
            _without_second_bos({name: encoding[name][row] for name in names}, tokenizer.bos_token_id)
            for row in range(len(rendered.texts))
        ]
        ids = [row["input_ids"] for row in rows]
        for row, tokens in enumerate(ids):
            _check_length(row, len(tokens), limit)
        named = positions(examples, ids) if positions else [{}] * len(ids)
        return [
            Encoded(
                {name: torch.tensor(values) for name, values in row.items()}, len(row["input_ids"]), where
            )
            for row, where in zip(rows, named, strict=True)
        ]

    return encode


def token_collate(
    model: nn.Module, *, pad_id: int = 0, padding: Side = "right", arguments: Mapping[str, str] | None = None
) -> Collate:
    """A function that pads some ``Encoded`` to one ``Batch`` on the model's device.

    ``attention_mask`` is always made; ``position_ids`` are counted over the real tokens where the model takes
    them, so that neither padding nor its side can change an example's features.
    """
    accepted = arguments_of(model)
    anatomy = find_anatomy(model)
    first_position = anatomy.first_position if anatomy else 0

    def collate(encoded: Sequence[Encoded]) -> Batch:
        device = device_of(model)
        lengths = torch.tensor([example.length for example in encoded])
        width = int(lengths.max())
        inputs = {
            name: pad_sequence(
                [example.inputs[name] for example in encoded],
                batch_first=True,
                padding_value=pad_id if name == "input_ids" else 0,
                padding_side=padding,
            )
            for name in encoded[0].inputs
        }
        starts = width - lengths if padding == "left" else torch.zeros_like(lengths)
        mask = _mask(starts, lengths, width)
        inputs["attention_mask"] = mask.long()
        if "position_ids" in accepted:
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0) + first_position
        where = {"last": (starts + lengths - 1)[:, None]}
        for name in encoded[0].positions:
            where[name] = _named(encoded, name) + starts[:, None]
        for argument, name in (arguments or {}).items():
            if name not in where:
                raise InputError(f"'{argument}' is to be given the positions '{name}', which no example has")
            inputs[argument] = where[name]
        return Batch(
            {name: tensor.to(device) for name, tensor in inputs.items()},
            mask.to(device),
            {name: index.to(device) for name, index in where.items()},
        )

    return collate


@dataclass(frozen=True)
class _TokenPositions:
    ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __call__(self, examples: Examples, tokens: Sequence[Sequence[int]]) -> list[Positions]:
        return [
            {name: tuple(i for i, token in enumerate(row) if token in ids) for name, ids in self.ids.items()}
            for row in tokens
        ]


def token_positions(**ids: int | Sequence[int]) -> PositionsOf:
    """Named positions = wherever certain tokens stand: ``token_positions(sensors=17)``."""
    return _TokenPositions(
        {name: (given,) if isinstance(given, int) else tuple(given) for name, given in ids.items()}
    )


def pad_id_of(tokenizer: Any, config: Any = None) -> int:
    """The id that batches are padded with: the tokenizer's padding token, or else the configuration's.

    Where neither has one, another token lends its id, as the mask hides it in any case. The end-of-text token
    comes last: classifiers look for the last token that is not padding, and chats end in it.
    """
    configured = getattr(config, "pad_token_id", None)
    found = (tokenizer.pad_token_id, configured, tokenizer.unk_token_id, tokenizer.eos_token_id)
    return next((token for token in found if token is not None), 0)


def _as_pretrained(tokenizer: Any) -> Any:
    if hasattr(tokenizer, "pad_token_id"):
        return tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def _limit(model: nn.Module, tokenizer: Any, max_length: int | None) -> int | None:
    anatomy = find_anatomy(model)
    # Tokenizers without a limit say 10^30.
    known = [int(tokenizer.model_max_length)] if tokenizer.model_max_length < 1 << 40 else []
    known += [anatomy.context] if anatomy and anatomy.context else []
    context = min(known, default=None)
    if max_length is not None and context is not None and max_length > context:
        raise InputError(f"max_length is {max_length}, but the model's context is {context} tokens")
    return context if max_length is None else max_length


def _check_length(row: int, length: int, limit: int | None) -> None:
    if length == 0:
        raise RowError(row, "the text is empty: it has no tokens")
    if limit is not None and length > limit:
        raise RowError(
            row,
            f"the text has {length} tokens, the limit is {limit};"
            " shorten it, or ask for overlong='truncate' to have it cut",
        )


def _without_second_bos(row: dict[str, list[int]], bos: int | None) -> dict[str, list[int]]:
    # A text that already begins with BOS (a rendered chat, say) is given another by most tokenizers.
    doubled = bos is not None and row["input_ids"][:2] == [bos, bos]
    return {name: values[1:] for name, values in row.items()} if doubled else row


def _mask(starts: Tensor, lengths: Tensor, width: int) -> Bool[Tensor, "n s"]:
    column = torch.arange(width)[None, :]
    return (column >= starts[:, None]) & (column < (starts + lengths)[:, None])


def _named(encoded: Sequence[Encoded], name: str) -> Tensor:
    counts = {len(example.positions.get(name, ())) for example in encoded}
    if len(counts) != 1 or 0 in counts:
        found = ", ".join(str(count) for count in sorted(counts))
        raise InputError(f"every example needs equally many '{name}' positions, at least one; found: {found}")
    return torch.tensor([example.positions[name] for example in encoded])
