"""Pairs of a behaviour for the tokenizer at hand: one token where templates need one, equal lengths, clear answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from ulterior.circuits.behaviours.templates import BEHAVIOURS, Behaviour, Row
from ulterior.circuits.behaviours.words import Filler
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.subject import Subject

__all__ = ["behaviour_pairs", "whole_words"]

Half = Literal["first", "second"]
Tokenise = Callable[[Sequence[str]], list[list[int]]]
CARRIER = "The"


def behaviour_pairs(
    name: str, tokens: Subject | Any, n: int, seed: int = 0, *, half: Half | None = None
) -> Examples:
    """Pairs of a behaviour, as a table that ``text_pairs`` reads.

    Args:
        name: One of ``BEHAVIOURS``.
        tokens: A subject that encodes text, a tokenizer of ``transformers``, or a bare ``tokenizers.Tokenizer``.
        n: Pairs; all different.
        seed: Of the draw.
        half: Use only the first, or the second, half of the words of the slot that matters most (the names of
            ``indirect_object``), so that two sets of pairs have none of them in common.

    Returns:
        Columns ``clean``, ``corrupted``, ``answers``, ``wrong`` (lists of continuations whose first tokens count) and
        ``template``.

    Raises:
        InputError: an unknown behaviour, a tokenizer that splits too many of the words or cuts the texts elsewhere,
            or more pairs than there are.
    """
    if name not in BEHAVIOURS:
        raise InputError(f"no behaviour '{name}'; there are: {', '.join(BEHAVIOURS)}")
    if n < 1:
        raise InputError(f"{n} pairs; at least one is needed")
    behaviour, tokenise = BEHAVIOURS[name], _tokenise(tokens)
    fillers = {slot: _usable(behaviour, slot, tokenise, half) for slot in behaviour.fillers}
    rng = np.random.default_rng([seed, 5])
    found: dict[tuple[str, str], Row] = {}
    for _ in range(20):  # rounds: the last few pairs of a small template are rarely drawn
        drawn = [behaviour.draw(fillers, rng) for _ in range(n)]
        fresh = {(row.clean, row.corrupted): row for row in drawn if (row.clean, row.corrupted) not in found}
        found |= {key: row for key, row in zip(fresh, _cleared(fresh.values(), tokenise), strict=True) if row}
        if len(found) >= n:
            return _table(list(found.values())[:n])
    raise InputError(
        f"only {len(found)} of {n} pairs of '{name}' can be made with this tokenizer; ask for fewer"
        if found
        else f"this tokenizer does not cut the texts of '{name}' where its templates need it"
    )


def whole_words(fillers: Sequence[Filler], tokenise: Tokenise) -> tuple[Filler, ...]:
    """Those fillers that are one token in each form behind a space, and no other filler's token."""
    forms = [form for filler in fillers for form in filler]
    (carrier,), tokens = tokenise([CARRIER]), tokenise([f"{CARRIER} {form}" for form in forms])
    # Words that a tokenizer does not know all become one token.
    own = {
        form: ids[-1]
        for form, ids in zip(forms, tokens, strict=True)
        if len(ids) == len(carrier) + 1 and ids[:-1] == carrier
    }
    counts: dict[int, int] = {}
    for token in own.values():
        counts[token] = counts.get(token, 0) + 1
    return tuple(filler for filler in fillers if all(counts.get(own.get(form, -1)) == 1 for form in filler))


def _usable(behaviour: Behaviour, slot: str, tokenise: Tokenise, half: Half | None) -> tuple[Filler, ...]:
    whole = whole_words(behaviour.fillers[slot], tokenise)
    if half and slot == behaviour.apart:
        # Every other one: the lists are not in random order.
        whole = whole[half == "second" :: 2]
    if len(whole) < behaviour.needs[slot]:
        raise InputError(
            f"'{behaviour.name}' needs {behaviour.needs[slot]} {slot} that are one token each; this tokenizer keeps"
            f" {len(whole)} of {len(behaviour.fillers[slot])}{' in that half' if half else ''} whole"
        )
    return whole


def _cleared(rows: Any, tokenise: Tokenise) -> list[Row | None]:
    """Each row with one continuation for each first token that is right or wrong but not both; None if it is no use."""
    rows = list(rows)
    texts = [text for row in rows for text in (row.clean, row.corrupted)]
    more = [row.clean + one for row in rows for one in (*row.answers, *row.wrong)]
    ids = iter(tokenise([*texts, *more]))
    heads = [(next(ids), next(ids)) for _ in rows]
    cleared: list[Row | None] = []
    for row, (clean, corrupted) in zip(rows, heads, strict=True):
        right, wrong = ({}, {})
        for first, some in ((right, row.answers), (wrong, row.wrong)):
            for one in some:
                longer = next(ids)
                continues = len(longer) > len(clean) and longer[: len(clean)] == clean
                first.setdefault(longer[len(clean)] if continues else None, one)
        answers = tuple(one for token, one in right.items() if token not in wrong)
        not_right = tuple(one for token, one in wrong.items() if token not in right)
        good = len(clean) == len(corrupted) and None not in (*right, *wrong) and answers and not_right
        cleared.append(Row(row.clean, row.corrupted, answers, not_right, row.template) if good else None)
    return cleared


def _table(rows: list[Row]) -> Examples:
    return Examples.of(
        clean=[row.clean for row in rows],
        corrupted=[row.corrupted for row in rows],
        answers=[list(row.answers) for row in rows],
        wrong=[list(row.wrong) for row in rows],
        template=[row.template for row in rows],
    )


def _tokenise(tokens: Subject | Any) -> Tokenise:
    if isinstance(tokens, Subject):
        return lambda texts: [
            one.inputs["input_ids"].tolist() for one in tokens.encode(Examples.of(text=list(texts)))
        ]
    if hasattr(tokens, "encode_batch"):
        return lambda texts: [one.ids for one in tokens.encode_batch(list(texts))]
    return lambda texts: [list(ids) for ids in tokens(list(texts))["input_ids"]]
