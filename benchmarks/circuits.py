"""What attributing all edges costs, over the plain passes that it cannot do without, and how much memory it takes.

Of two shapes with random weights (GPT-2's architecture), a step is timed against two forward passes and one backward
pass on the same pairs: the clean and the corrupted examples, and the gradient of the logit difference in the
embedding, without gradients of weights (with them the plain passes would take longer). Steps take turns, and the
median of the turns' ratios is reported. Circuits of ten sizes are evaluated on GPT-2's shape, over one plain forward
pass. Peak memory is that of a process of its own (interpreter, torch and model included), on the shape of
SmolLM2-135M and 64 pairs of 64 tokens; what it takes with the model loaded and nothing run stands beside.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from measure import show
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from ulterior.circuits.finding.attribution import EdgeAttribution
from ulterior.circuits.finding.reads import replacing
from ulterior.circuits.graph import Grain, Units
from ulterior.circuits.judging.conditions import conditions, ends
from ulterior.circuits.judging.curves import SHARES, curve, random_scores
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.pairs import Pairs, token_pairs
from ulterior.circuits.streams import Wired, run_model, wire
from ulterior.readouts import CAUSAL
from ulterior.subject import Subject
from ulterior.tokens import token_collate

EDGES = Units("edges")
GIB = 2**30


def subject_of(model: Any) -> Subject:
    """A model that takes token ids."""
    options = {"use_cache": False}
    return Subject.of(
        model, encode=lambda _: [], collate=token_collate(model), readouts=CAUSAL, options=options
    )


def gpt2(layers: int, heads: int, width: int, vocabulary: int) -> Subject:
    """Random weights in GPT-2's architecture."""
    torch.manual_seed(0)
    config = GPT2Config(n_embd=width, n_layer=layers, n_head=heads, n_positions=128, vocab_size=vocabulary)
    return subject_of(GPT2LMHeadModel(config).eval())


def smollm() -> Subject:
    """Random weights in the shape of SmolLM2-135M."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        tie_word_embeddings=True,
    )
    return subject_of(LlamaForCausalLM(config).eval())


def random_pairs(n: int, length: int, vocabulary: int = 1000) -> Pairs:
    """Pairs of random tokens, which differ in half of them."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(3, vocabulary, (n, length), generator=generator)
    other = torch.randint(3, vocabulary, (n, length), generator=generator)
    other = torch.where(torch.rand(n, length, generator=generator) < 0.5, other, clean)
    return token_pairs(clean.tolist(), other.tolist(), [[1]] * n, [[2]] * n)


def plain_passes(of: Wired, pairs: Pairs) -> None:
    """Two forward passes and one backward pass."""
    for batch in pairs.batches(of.subject):
        run_model(of.subject, batch.corrupted)
        with replacing(of):
            output = run_model(of.subject, batch.clean, grad=True)
        logit_difference(output, batch).sum().backward()


def all_edges(of: Wired, pairs: Pairs) -> None:
    """The attributions of all edges."""
    EdgeAttribution()(of.subject, pairs, EDGES, logit_difference)


def compared(subject: Subject, pairs: Pairs, repeats: int) -> dict[str, float]:
    """Median seconds of both steps, and the median of the turns' ratios."""
    of = wire(subject)
    steps: tuple[Callable[[Wired, Pairs], None], ...] = (plain_passes, all_edges)
    turns = []
    for turn in range(repeats + 1):
        seconds = []
        for step in steps:
            start = time.perf_counter()
            step(of, pairs)
            seconds.append(time.perf_counter() - start)
        if turn:  # the first turn warms up
            turns.append(seconds)
    plain, edges = (statistics.median(spent) for spent in zip(*turns, strict=True))
    ratio = statistics.median(second / first for first, second in turns)
    return {
        "ratio": round(ratio, 2),
        "seconds_plain": round(plain, 3),
        "seconds_edges": round(edges, 3),
        "edges": EDGES.count(of.graph),
    }


def ten_sizes(subject: Subject, pairs: Pairs, grain: Grain, repeats: int) -> dict[str, float]:
    """Circuits of ten sizes over one plain forward pass: those alone, and with the ablated runs and the two ends."""
    units, of = Units(grain), wire(subject)
    order = random_scores(of.graph, units, 0)
    turns = []
    for turn in range(repeats + 1):
        marks = [time.perf_counter()]
        for batch in pairs.batches(subject):
            run_model(subject, batch.clean)
        marks.append(time.perf_counter())
        given = conditions(subject, pairs, logit_difference, "resample")
        both = ends(given, units)
        marks.append(time.perf_counter())
        curve(given, [order], both, name="random")
        marks.append(time.perf_counter())
        if turn:
            plain, before, sizes = (last - first for first, last in pairwise(marks))
            turns.append((sizes / plain, (before + sizes) / plain))
    alone, whole = (round(statistics.median(column), 1) for column in zip(*turns, strict=True))
    return {"ratio": alone, "with_ends": whole, "units": units.count(of.graph), "sizes": len(SHARES)}


def resident() -> float:
    """Peak resident size of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def peak() -> dict[str, float]:
    """Peak memory of attributing all edges, and that of the loaded model alone."""
    subject, pairs = smollm(), random_pairs(64, 64)
    before = resident()
    start = time.perf_counter()
    EdgeAttribution()(subject, pairs, EDGES, logit_difference)
    return {
        "peak_gib": round(resident(), 2),
        "loaded_gib": round(before, 2),
        "seconds": round(time.perf_counter() - start, 1),
        "edges": EDGES.count(wire(subject).graph),
    }


def in_a_process() -> dict[str, float]:
    """``peak`` in a fresh process."""
    command = [sys.executable, __file__, "--peak"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure two shapes, and the memory of a third."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", choices=("small", "gpt2", "sizes", "memory"), help="one of the measurements"
    )
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.peak:
        print(json.dumps(peak()))
        return
    result: dict[str, Any] = {}
    if given.only in (None, "small"):
        found = compared(gpt2(4, 8, 256, 1000), random_pairs(32, 16), given.repeats)
        result["4_layers_8_heads_256"] = {**found, "goal": 3.0}
    if given.only in (None, "gpt2"):
        found = compared(gpt2(12, 12, 768, 50257), random_pairs(8, 16), given.repeats)
        result["gpt2_small_shape"] = {**found, "goal": 3.0}
    if given.only in (None, "sizes"):
        subject, pairs = gpt2(12, 12, 768, 50257), random_pairs(8, 16)
        for grain, goal in (("nodes", {"goal": 15.0}), ("edges", {})):
            result[f"ten_sizes_{grain}"] = {**ten_sizes(subject, pairs, grain, given.repeats), **goal}
    if given.only in (None, "memory"):
        result["smollm2_135m_shape"] = {**in_a_process(), "goal_gib": 4.0}
    show(result, given.json)


if __name__ == "__main__":
    main()
