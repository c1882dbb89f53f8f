"""A truth: a model whose circuit is known, and the pairs on which it is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Mask, mask_of
from ulterior.circuits.pairs import Pairs, token_pairs
from ulterior.circuits.truth.compiler import PAD, compile_plan
from ulterior.circuits.truth.distractors import Distractors
from ulterior.circuits.truth.language import interpret
from ulterior.circuits.truth.plan import Program, plan_of
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["Truth", "compiled_truth", "program_pairs", "word_subject"]

Kind = Literal["compiled", "interchange", "trained"]


@dataclass(frozen=True, eq=False)
class Truth:
    """A model whose circuit is known.

    Attributes:
        name: As tables call it.
        about: One line.
        kind: How it is known: ``compiled`` exactly; ``interchange``: the model was trained so that this circuit is
            the one used, up to the figures in its card; ``trained``: expected of such a model, and checked by
            ablation.
        build: Makes the subject; the same weights each time.
        pairs: So many pairs from a seed; different seeds draw independently.
        edges: The circuit: each of these changes the output of some pair if it alone is exchanged.
        wired: The circuit with those edges that carry only what is alike in both examples of every pair (positions).
            No exchange shows them, other ablations may: leave ``wired - edges`` out of both sides of a comparison.
    """

    name: str
    about: str
    kind: Kind
    build: Callable[[], Subject]
    pairs: Callable[[int, int], Pairs]
    edges: frozenset[str]
    wired: frozenset[str]

    def mask(self, graph: Graph) -> Mask:
        """The circuit as a mask over the edges of the model's graph."""
        return mask_of(graph, Units("edges"), self.edges, f"truth of {self.name}")


def compiled_truth(
    program: Program, *, heads: int = 4, seed: int = 0, distractors: Distractors | None = None
) -> Truth:
    """The truth of a program's compiled transformer.

    Args:
        program: The program.
        heads: Heads a block.
        seed: Of the heads' numbers.
        distractors: What the other parts do; the usual if not given.
    """
    plan = plan_of(program, heads=heads, seed=seed)
    chosen = distractors or Distractors(seed=seed)
    return Truth(
        name=program.name,
        about=program.about,
        kind="compiled",
        build=lambda: word_subject(compile_plan(plan, chosen), program.words, program.name),
        pairs=lambda n, seed: program_pairs(program, n, seed),
        edges=plan.edges,
        wired=plan.wired,
    )


def word_subject(model: Any, words: Sequence[str], name: str) -> Subject:
    """A model over words, white space between them; token 0 is padding."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate((PAD, *words))}
    bare = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token=PAD)
    return Subject.from_tokenizer(model, tokenizer, name=name)


def program_pairs(program: Program, n: int, seed: int = 0) -> Pairs:
    """Sequences of a program, each beside another with another answer, which is the wrong one.

    Raises:
        InputError: fewer than one pair, or a program that hardly ever gives two answers.
    """
    if n < 1:
        raise InputError(f"{n} pairs; at least one is needed")
    rng = np.random.default_rng([seed, 11])
    rows: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    said: list[tuple[str, str]] = []
    for _ in range(1_000 * n):
        clean, corrupted = program.sample(rng), program.sample(rng)
        answers = (str(interpret(program.output, clean)), str(interpret(program.output, corrupted)))
        if answers[0] != answers[1]:
            rows.append((clean, corrupted))
            said.append(answers)
        if len(rows) == n:
            break
    else:
        raise InputError(f"'{program.name}' hardly ever answers two sequences differently")
    ids = {word: number for number, word in enumerate((PAD, *program.words))}
    pairs = token_pairs(
        [[ids[word] for word in clean] for clean, _ in rows],
        [[ids[word] for word in corrupted] for _, corrupted in rows],
        [[ids[right]] for right, _ in said],
        [[ids[wrong]] for _, wrong in said],
    )
    return replace(pairs, texts=tuple((" ".join(clean), " ".join(corrupted)) for clean, corrupted in rows))
