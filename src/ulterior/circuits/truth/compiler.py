"""Programs to weights: every variable has directions of the stream to itself, one a value, or one for a mean.

As in Tracr (Lindner et al. 2023, https://arxiv.org/abs/2301.05062): a selector is a product of queries and keys, an
aggregate's values pass through unchanged, a map looks its values up in a feed-forward layer. A lookup's neurons are
not pushed far into saturation, so that gradients find their way through it; attention's scores are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor, nn

from ulterior.circuits.truth.distractors import Distractors, distract, extra_neurons
from ulterior.circuits.truth.language import Aggregate, Map, Mean, Variable
from ulterior.circuits.truth.model import CompiledTransformer, Shape
from ulterior.circuits.truth.plan import Plan
from ulterior.errors import InputError

__all__ = ["CERTAINTY", "PAD", "SHARPNESS", "compile_plan"]

SHARPNESS = 16.0  # a score that is 1 lower weighs e^-16 as much
CERTAINTY = 4.0  # the logit of the answer; others are 0
PAD = "<pad>"


@dataclass
class _Neurons:
    """The neurons of one block as they are added: rows into it, its bias, columns out of it."""

    inward: list[Mapping[int, float]] = field(default_factory=list)
    bias: list[float] = field(default_factory=list)
    outward: list[Mapping[int, float]] = field(default_factory=list)
    constant: dict[int, float] = field(default_factory=dict)

    def add(self, inward: Mapping[int, float], bias: float, outward: Mapping[int, float]) -> None:
        self.inward.append(inward)
        self.bias.append(bias)
        self.outward.append(outward)


def compile_plan(
    plan: Plan, distractors: Distractors | None = None, *, sharpness: float = SHARPNESS
) -> CompiledTransformer:
    """The transformer that computes a program; its tokens are ``<pad>`` and the program's words.

    Args:
        plan: The program and where its variables go.
        distractors: What idle heads and further neurons do; nothing if None.
        sharpness: Of attention.

    Raises:
        InputError: an output that is no token, or a mean.
    """
    program = plan.program
    if isinstance(program.output, Mean) or not set(program.output.domain) <= set(program.words):
        raise InputError(f"the output of '{program.name}' must be one of its words")
    ways = _directions(plan)
    used = max(where.stop for where in ways.values())
    blocks = [_maps(plan, layer, ways) for layer in range(plan.layers)]
    extra = extra_neurons(distractors) if distractors else 0
    widths = [len(_domain_of_queries(one)) for one in plan.places if isinstance(one, Aggregate | Mean)]
    widths += [len(one.values.domain) for one in plan.places if isinstance(one, Aggregate | Mean)]
    model = CompiledTransformer(
        Shape(
            vocabulary=len(program.words) + 1,
            length=program.length,
            width=used + (distractors.width(plan) if distractors else 0),
            layers=plan.layers,
            heads=plan.heads,
            head=max([*widths, len(program.words), program.length]),
            neurons=max(1, *(len(block.bias) for block in blocks)) + extra,
        )
    )
    with torch.no_grad():
        _embed(model, plan, ways)
        for variable, place in plan.places.items():
            if isinstance(variable, Aggregate | Mean):
                _head(model, place, variable, ways, sharpness)
        for block, neurons in zip(model.blocks, blocks, strict=True):
            _write(block.get_submodule("mlp"), neurons)
        if distractors:
            result = ways[program.output]
            distract(model, plan, distractors, given=_embedded(plan, ways), used=used, result=result)
    return model.eval()


def _directions(plan: Plan) -> dict[Variable, slice]:
    ways, start = {}, 0
    for variable in plan.places:
        size = 1 if isinstance(variable, Mean) else len(variable.domain)
        ways[variable] = slice(start, start + size)
        start += size
    return ways


def _embedded(plan: Plan, ways: Mapping[Variable, slice]) -> tuple[int, ...]:
    """The directions that tell the tokens apart."""
    return tuple(
        number
        for one in plan.places
        if getattr(one, "name", "") == "tokens"
        for number in range(ways[one].start, ways[one].stop)
    )


def _domain_of_queries(variable: Aggregate | Mean) -> tuple:
    return variable.select.queries.domain


def _embed(model: CompiledTransformer, plan: Plan, ways: Mapping[Variable, slice]) -> None:
    ids = {word: number for number, word in enumerate((PAD, *plan.program.words))}
    for variable, place in plan.places.items():
        if place == "embed":
            by_word = getattr(variable, "name", "") == "tokens"
            rows = (model.tokens if by_word else model.positions).weight
            for number, value in enumerate(variable.domain):
                rows[ids[str(value)] if by_word else number, ways[variable].start + number] = 1
    out = plan.program.output
    for number, value in enumerate(out.domain):
        model.unembed.weight[ids[str(value)], ways[out].start + number] = CERTAINTY


def _head(
    model: CompiledTransformer,
    place: str,
    made: Aggregate | Mean,
    ways: Mapping[Variable, slice],
    sharp: float,
) -> None:
    _, layer, head = place.split(".")
    attention = model.blocks[int(layer)].get_submodule("attn")
    start = int(head) * model.shape.head
    keys, queries = made.select.keys, made.select.queries
    n = len(queries.domain)
    _of(attention, "q_proj")[start : start + n, ways[queries]] = torch.eye(n)
    scores = torch.tensor([[float(made.select.score(k, q)) for k in keys.domain] for q in queries.domain])
    _of(attention, "k_proj")[start : start + n, ways[keys]] = sharp * scores
    if isinstance(made, Mean):
        carried = torch.tensor([[float(made.number(value)) for value in made.values.domain]])
    else:
        carried = torch.eye(len(made.domain))
    _of(attention, "v_proj")[start : start + len(carried), ways[made.values]] = carried
    _of(attention, "o_proj")[ways[made], start : start + len(carried)] = torch.eye(len(carried))


def _of(module: nn.Module, name: str) -> Tensor:
    weight = module.get_submodule(name).weight
    assert isinstance(weight, Tensor)
    return weight


def _maps(plan: Plan, layer: int, ways: Mapping[Variable, slice]) -> _Neurons:
    neurons = _Neurons()
    for variable, place in plan.places.items():
        if isinstance(variable, Map) and place == f"mlp.{layer}":
            if isinstance(variable.of[0], Mean):
                _steps(neurons, variable, variable.of[0], ways)
            else:
                _lookup(neurons, variable, ways)
    return neurons


def _lookup(neurons: _Neurons, made: Map, ways: Mapping[Variable, slice]) -> None:
    """A neuron for each value, or pair of values, that is 1 where it is there."""
    starts = [ways[one].start for one in made.of]
    first, *more = (list(enumerate(one.domain)) for one in made.of)
    for a, x in first:
        for pair in [(b, y) for b, y in more[0]] if more else [None]:
            value = made.function(x) if pair is None else made.function(x, pair[1])
            read = {starts[0] + a: 1.0}
            if pair is not None:
                # Of one variable with itself, only equal values occur together.
                read[starts[1] + pair[0]] = read.get(starts[1] + pair[0], 0.0) + 1.0
            neurons.add(read, float(1 - len(made.of)), {ways[made].start + made.domain.index(value): 1.0})


def _steps(neurons: _Neurons, made: Map, of: Mean, ways: Mapping[Variable, slice]) -> None:
    """A ramp between any two neighbouring means whose values differ: the first value, and the changes to it."""
    values = [made.domain.index(made.function(number)) for number in of.domain]
    start = ways[made].start
    neurons.constant[start + values[0]] = neurons.constant.get(start + values[0], 0.0) + 1.0
    pairs = zip(of.domain[:-1], of.domain[1:], values[:-1], values[1:], strict=True)
    for low, high, before, after in pairs:
        if before == after:
            continue
        # From a quarter to three quarters of the way, so that a slightly wrong mean is still read rightly.
        begin, slope = low + (high - low) / Fraction(4), 2 / (high - low)
        for shift, sign in ((Fraction(0), 1.0), (Fraction(1), -1.0)):
            neurons.add(
                {ways[of].start: float(slope)},
                float(-slope * begin - shift),
                {start + before: -sign, start + after: sign},
            )


def _write(mlp: nn.Module, neurons: _Neurons) -> None:
    up, down = mlp.get_submodule("up"), mlp.get_submodule("down")
    for number, (read, written) in enumerate(zip(neurons.inward, neurons.outward, strict=True)):
        for direction, weight in read.items():
            up.weight[number, direction] = weight  # pyright: ignore[reportIndexIssue]
        for direction, weight in written.items():
            down.weight[direction, number] = weight  # pyright: ignore[reportIndexIssue]
        up.bias[number] = neurons.bias[number]  # pyright: ignore[reportIndexIssue]
    for direction, value in neurons.constant.items():
        down.bias[direction] = value  # pyright: ignore[reportIndexIssue]
