"""`ulterior circuit`: which units carry a behaviour, and how sure that is."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm

from ulterior.circuits.command.store import Kept, plain
from ulterior.circuits.finding.finder import Finder
from ulterior.circuits.graph import Grain, Graph, Units
from ulterior.circuits.judging import (
    Evaluation,
    Stability,
    Thoroughness,
    conditions,
    evaluate,
    over_resamples,
)
from ulterior.circuits.judging.conditions import ends
from ulterior.circuits.judging.curves import SHARES, SizeCurve, curve
from ulterior.circuits.mask import Mask, Scores
from ulterior.circuits.metrics import METRICS
from ulterior.circuits.pairs import Pairs, load_pairs
from ulterior.circuits.streams import wire
from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole
from ulterior.metrics import Estimate
from ulterior.models import resolve_model
from ulterior.subject import Subject
from ulterior.version import __version__

Metrics = Literal["logit_difference", "kl", "probability"]
FAITHFUL = 0.1
"""How far faithfulness may be from 1 on the pairs that the circuit is found on, where the size is to be chosen."""


@dataclass(frozen=True)
class Circuit:
    """Find the circuit behind a behaviour, judge it on held-out pairs, and draw it.

    Attributes:
        pairs: JSONL, CSV or Parquet file with the columns `clean` and `corrupted` (equally long in tokens), and
            `answers` and `wrong`: the next words that are right and wrong after the clean text, with the space in
            front of them.
        out: Folder for the circuit, its scores, the evaluation and the page. A run with the same settings in the same
            folder goes on from what is finished there.
        model: Hub id, folder, or short name of a packaged model (`smollm2-135m-instruct`).
        method: How units are scored or chosen; see `docs/circuits.md`.
        units: `edges` between heads and feed-forward layers, `nodes`, or `neurons`.
        metric: What the circuit is to reproduce.
        size: How many units the circuit has: a share below 1 (.02), or a number of units. Without it, the smallest of
            ten shares from .001 to 1 whose faithfulness is within .1 of 1 on the pairs that the circuit is found on.
        ablation: What stands in for a unit that is off: what it gives on the corrupted example (`resample`), its mean
            (`mean`, or `mean_by_position`), or nothing (`zero`).
        held_out: Share of the pairs that the circuit is judged on; it is found on the others.
        seed: Of the split, and of all that is drawn.
        dtype: `auto`, `float32`, `bfloat16`, `float16`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        tokens: Tokens of a batch, padding included; fewer need less memory.
        again: How often the circuit is found again, each time on a resample of the pairs that it was found on, to see
            whether it is the same; 0: not.
        judging: How much is spent on the judgement.
    """

    pairs: Path
    out: Path
    model: str = "smollm2-135m-instruct"
    method: str = "eap_ig_inputs"
    units: Grain = "edges"
    metric: Metrics = "logit_difference"
    size: float | None = None
    ablation: Literal["resample", "mean", "mean_by_position", "zero"] = "resample"
    held_out: float = 0.5
    seed: int = 0
    dtype: str = "auto"
    device: str = "auto"
    tokens: int = 512
    again: int = 3
    judging: Annotated[Thoroughness, tyro.conf.arg(name="judging")] = field(default_factory=Thoroughness)


@dataclass(frozen=True, eq=False)
class CircuitResult:
    """What was found.

    Attributes:
        mask: The circuit.
        scores: Of all units, where the method gives scores.
        evaluation: How the circuit does on held-out pairs.
        stability: How alike the circuits of resampled pairs are; None where they were not asked for.
        held: Those pairs.
        rows: Their rows in the file, from 0.
        n_found: Pairs that it was found on.
        size_says: How the size came about.
        seconds: Spent on finding and on judging, in this run.
    """

    mask: Mask
    scores: Scores | None
    evaluation: Evaluation
    stability: Stability | None
    held: Pairs
    rows: tuple[int, ...]
    n_found: int
    size_says: str
    seconds: dict[str, float]


def main(config: Circuit) -> CircuitResult:
    """Run the command: find, judge, print, write the folder.

    Raises:
        InputError: whatever cannot be used: pairs, method, size, model, folder.
    """
    from ulterior.circuits.command.page import circuit_report
    from ulterior.report import write_report

    _check(config)
    writable_folder(config.out)
    subject = Subject.from_pretrained(resolve_model(config.model), dtype=config.dtype, device=config.device)
    finder = chosen_finder(config, wire(subject).graph)
    pairs = load_pairs(subject, config.pairs)
    settings = {
        **{name: value for name, value in asdict(config).items() if name not in ("out", "tokens", "device")},
        "weights": subject.fingerprint(),
        "pairs_sha256": hashlib.sha256(config.pairs.read_bytes()).hexdigest(),
        "version": __version__,
    }
    result = run(config, finder, subject, pairs, Kept(config.out, settings))
    print(summary(result, config))
    result.mask.save(config.out)
    _write_scores(result, config.out / "scores.jsonl")
    described = {
        "settings": settings,
        "held_out_rows": result.rows,
        "size": result.size_says,
        **plain(result.evaluation),
        "stability": plain(result.stability),
    }
    write_whole(config.out / "evaluation.json", json.dumps(described, indent=1, default=str) + "\n")
    write_report(circuit_report(result, config, pairs), config.out / "report.html")
    print(f"\nwrote {config.out}/report.html, mask.safetensors, mask.json, scores.jsonl and evaluation.json")
    return result


def run(config: Circuit, finder: Finder, subject: Subject, pairs: Pairs, kept: Kept) -> CircuitResult:
    """Find the circuit on one part of the pairs and judge it on the other."""
    found_on, held = pairs.split(config.held_out, config.seed)
    number = {one: row for row, one in enumerate(pairs.clean)}
    units, metric = Units(config.units), METRICS[config.metric]
    started = time.perf_counter()
    with tqdm(total=1, desc=f"find: {finder.name}", leave=False, disable=None) as bar:
        found = kept("found", lambda: finder(subject, found_on, units, metric))
        bar.update()
    given = conditions(
        subject,
        found_on,
        metric,
        config.ablation,
        neurons=units.grain == "neurons",
        tokens=config.tokens,
        progress=True,
    )
    if isinstance(found, Mask):
        # A circuit is judged as it would be used: a unit is in it or not.
        mask = found if found.is_binary else found.above(0.5)
        scores, says = (
            None,
            "as the method chose" + ("" if found.is_binary else ", those kept by more than half"),
        )
    else:
        scores = found
        if config.size is None:
            on_found: SizeCurve = kept(
                "sizes",
                lambda: curve(given, [found], ends(given, units), name=found.name, seed=config.seed),
            )
            size, says = smallest_faithful(on_found)
        else:
            size, says = asked_size(config.size, given.wired.graph, units)
        mask = found.top(size)
    halfway = time.perf_counter()
    evaluation = evaluate(
        mask,
        subject,
        held,
        metric,
        given.ablation,
        scores=scores,
        found_on=found_on,
        thorough=replace(config.judging, seed=config.judging.seed + config.seed),
        tokens=config.tokens,
        progress=True,
        keep=kept,
    )
    stability = None
    if config.again:
        stability = kept(
            "stability",
            lambda: over_resamples(
                finder,
                subject,
                found_on,
                units,
                metric,
                len(mask),
                resamples=config.again,
                seed=config.seed,
                progress=True,
            ),
        )
    seconds = {"finding": halfway - started, "judging": time.perf_counter() - halfway}
    rows = tuple(number[one] for one in held.clean)
    return CircuitResult(mask, scores, evaluation, stability, held, rows, len(found_on), says, seconds)


def chosen_finder(config: Circuit, graph: Graph) -> Finder:
    """The method of a name, with the command's ablation, size and seed where it has such options.

    Raises:
        InputError: a size that there cannot be.
    """
    make: Any = finders()[config.method]
    options = {one.name for one in fields(make)}
    sized = {} if config.size is None else {"size": asked_size(config.size, graph, Units(config.units))[0]}
    ours = {
        **sized,
        "ablation": config.ablation,
        "seed": config.seed,
        "tokens": config.tokens,
    }
    return make(**{name: value for name, value in ours.items() if name in options})


def finders() -> Mapping[str, Callable[..., Finder]]:
    """All methods by name."""
    from ulterior.circuits.finding.catalogue import FINDERS

    return FINDERS


def asked_size(size: float, graph: Graph, units: Units) -> tuple[int, str]:
    """Units of a circuit of the size that was asked for.

    Raises:
        InputError: a number that is neither a share nor a count of units that there are.
    """
    count = units.count(graph)
    if 0 < size < 1:
        return max(1, round(size * count)), f"{size:g} of all {units.grain}, as asked for"
    if not (size >= 1 and float(size).is_integer() and size <= count):
        raise InputError(
            f"--size {size:g}: give a share between 0 and 1, or a whole number of the model's {count} {units.grain}"
        )
    return int(size), "as asked for"


def smallest_faithful(found: SizeCurve) -> tuple[int, str]:
    """The smallest size on the curve that is faithful.

    Raises:
        InputError: the model does not do the behaviour on these pairs.
    """
    for share, size, f in zip(found.shares, found.sizes, found.faithfulness, strict=True):
        if f.value is None:
            raise InputError(
                "on the pairs that the circuit is to be found on, the model's metric cannot be told from that of the"
                " ablated model: there is no behaviour to be faithful to; give pairs that it answers, or --size"
            )
        if abs(f.value - 1) <= FAITHFUL:
            says = f"the smallest of {len(SHARES)} sizes within {FAITHFUL:g} of faithfulness 1 where it was found"
            return size, f"{says} ({share:g})"
    return found.sizes[-1], "everything: no smaller size was faithful on the pairs it was found on"


def summary(result: CircuitResult, config: Circuit) -> str:
    """What is printed."""
    one = result.evaluation
    f = one.outcome.faithfulness
    random = [beside.overall.value for beside in one.beside.random if beside.overall.value is not None]
    lines = [
        f"{one.kept} of {one.of} {config.units} ({one.kept / one.of:.2%}): {result.size_says}",
        f"on {one.pairs} held-out pairs:",
        f"  faithfulness        {_says(f.overall)}   (by chance {_listed(random)}, by magnitude"
        f" {_says(one.beside.magnitude.overall)})",
        f"  error of a pair     {_says(f.error)}   (0: as the model; 1: as the empty circuit)",
        f"  accuracy            {_says(one.outcome.accuracy)}   (the model {_says(one.outcome.accuracy_whole)})",
        f"  left without it     {_says(one.completeness.complement.overall)}   (faithfulness of the complement)",
        f"  shown to be needed  {one.minimality.shown} of {len(one.minimality.effects)} units tested",
    ]
    if result.stability is not None:
        lines.append(
            f"  found again         {result.stability.mean:.2f} of the units shared, Jaccard, over"
            f" {len(result.stability.sizes)} resamples of the pairs"
        )
    for found in one.curves:
        lines.append(f"  CMD, {found.name:<14} {_says(found.cmd)}")
    return "\n".join(lines)


def _check(config: Circuit) -> None:
    known = finders()
    if config.method not in known:
        raise InputError(f"no method '{config.method}'; there are: {', '.join(sorted(known))}")
    if not 0 < config.held_out < 1:
        raise InputError(f"--held-out is {config.held_out}; give a share between 0 and 1, such as .5")
    if config.size is not None and not config.size > 0:
        raise InputError(f"--size is {config.size}; give a share between 0 and 1, or a number of units")
    if config.again < 0 or config.again == 1:
        raise InputError(
            f"--again is {config.again}; circuits of at least 2 resamples are compared, or of none (0)"
        )
    if config.tokens < 1:
        raise InputError(f"--tokens is {config.tokens}; give at least 1")
    least = [name for name, value in asdict(config.judging).items() if value < 0]
    if least or config.judging.randoms < 1:
        raise InputError("numbers of --judging are at least 0, and at least 1 random circuit stands beside")
    if not config.pairs.is_file():
        raise InputError(f"no file '{config.pairs}'; give a .jsonl, .csv or .parquet file of pairs")


def _write_scores(result: CircuitResult, path: Path) -> None:
    """One line for each unit, the largest first."""
    kept = set(result.mask.kept)
    values = (result.scores or result.mask).as_dict()
    order = sorted(values, key=lambda name: (-abs(values[name]), name))
    lines = (json.dumps({"unit": name, "score": values[name], "kept": name in kept}) for name in order)
    write_whole(path, "\n".join(lines) + "\n")


def _says(one: Estimate) -> str:
    if one.value is None:
        return "undefined"
    around = "" if one.low is None else f" [{one.low:.2f}, {one.high:.2f}]"
    return f"{one.value:.2f}{around}"


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values) or "undefined"
