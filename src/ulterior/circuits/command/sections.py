"""The sections of a circuit's page."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ulterior.circuits.command.drawing import drawing
from ulterior.circuits.command.run import Circuit, CircuitResult
from ulterior.circuits.judging.curves import SizeCurve
from ulterior.circuits.judging.faithfulness import NEAR, TINY, Faithfulness
from ulterior.circuits.judging.stability import BAR, Stability
from ulterior.metrics import Estimate
from ulterior.report import Interval, Section, Table, TableColumn, Trend, Trends
from ulterior.report.model import Level, Role
from ulterior.report.views import ratio

__all__ = [
    "around",
    "of_circuit",
    "of_completeness",
    "of_faithfulness",
    "of_hypotheses",
    "of_pairs",
    "percent",
    "said",
]

LISTED, PAIRS, LETTERS = 500, 200, 600
"""Rows of the tables of units and of pairs, and letters of a text, that a page carries."""


def of_circuit(result: CircuitResult, config: Circuit) -> Section:
    """The circuit, drawn and listed."""
    values = (result.scores or result.mask).as_dict()
    names = sorted(result.mask.kept, key=lambda name: (-abs(values[name]), name))
    tested = {effect.unit: effect for effect in result.evaluation.minimality.effects}
    rows = tuple(
        (
            name,
            values[name],
            interval(tested[name].effect) if name in tested else None,
            tested[name].p_holm if name in tested else None,
        )
        for name in names[:LISTED]
    )
    more = f"; the largest {LISTED} of {len(names)} (all are in scores.jsonl)" if len(names) > LISTED else ""
    table = Table(
        f"The {config.units} of the circuit",
        (
            TableColumn("unit", "text"),
            TableColumn("score", about="What the method says; positive: the metric is higher for it"),
            TableColumn(
                "effect in the circuit", "ratio", about="m(C) - m(C without it), over m(M) - m(empty)"
            ),
            TableColumn("p", "p", about="Of no effect, raised for the number of units tested (Holm)"),
        ),
        rows,
        f"By size of the score{more}. Effects are of the units that were tested one by one.",
    )
    return Section(
        name="the circuit",
        about=f"Found by {config.method} on {result.n_found} pairs; size: {result.size_says}.",
        graphs=(drawing(result.mask, result.scores),),
        tables=(table,),
    )


def of_faithfulness(result: CircuitResult, config: Circuit) -> Section:
    """How faithful it is, with circuits by chance and by magnitude beside it."""
    one, curves = result.evaluation, result.evaluation.curves
    roles: dict[str, Role] = {"random": "control", "magnitude": "baseline"}
    labels = {"random": "by chance", "magnitude": "by magnitude"}

    def trends(name: str, label: str, of: str, within: tuple[float, float]) -> Trends:
        drawn = [
            _trend(
                found,
                getattr(found, of),
                labels.get(found.name, found.name),
                roles.get(found.name, "detector"),
            )
            for found in curves
        ]
        levels = (Level("the model", 1.0, "ceiling"),) if of == "faithfulness" else ()
        return Trends(
            name,
            tuple(drawn),
            levels,
            f"share of {config.units} kept",
            label,
            "number",
            shares=True,
            within=within,
        )

    charts = (
        trends("Faithfulness at each size", "faithfulness", "faithfulness", (-0.6, 1.6)),
        trends("Error of single pairs at each size", "error", "error", (0.0, 2.0)),
    )
    same = Table(
        "Circuits of the same size",
        (
            TableColumn("circuit", "text"),
            TableColumn("faithfulness", "ratio", about="Ratio of the means over pairs"),
            TableColumn("median", "ratio", about="Median of the pairs' own ratios"),
            TableColumn(f"within {NEAR:g} of 1", "rate", "Share of the pairs whose own ratio is"),
            TableColumn("error of a pair", "ratio", about="Mean |m(C) - m(M)| over mean |m(M) - m(empty)|"),
        ),
        (
            ("the circuit", *_row(one.outcome.faithfulness)),
            *((f"by chance, {i + 1}", *_row(each)) for i, each in enumerate(one.beside.random)),
            ("by magnitude", *_row(one.beside.magnitude)),
        ),
        f"{one.outcome.faithfulness.tiny} of {one.pairs} pairs have no ratio of their own: what there is to explain in"
        f" them is below {TINY:g} of the mean.",
    )
    areas = Table(
        "Over all sizes",
        (
            TableColumn("order", "text"),
            TableColumn("CMD", "ratio", about="Area of |1 - faithfulness| over shares .001 to 1; 0 is best"),
            TableColumn("CPR", "ratio", about="Area under faithfulness; it may exceed 1"),
            TableColumn("CMD of single pairs", "ratio", about="Area of the error of single pairs; 0 is best"),
        ),
        tuple(
            (
                labels.get(found.name, found.name),
                interval(found.cmd),
                interval(found.cpr),
                interval(found.cmd_each),
            )
            for found in curves
        ),
    )
    tables = (same, areas)
    if result.stability is not None:
        tables = (*tables, _again(result.stability))
    notes = (
        () if result.scores is not None else ("The method gives one circuit and no order: it has no curve.",)
    )
    return Section(name="faithfulness", trends=charts, tables=tables, notes=notes)


def _again(found: Stability) -> Table:
    """The circuits of resampled pairs, each with each."""
    names = [f"{one + 1} and {other + 1}" for one, other in combinations(range(len(found.sizes)), 2)]
    return Table(
        "Found again on resampled pairs",
        (
            TableColumn("resamples", "text"),
            TableColumn(
                "Jaccard", "ratio", about="Units that both circuits have, over units that either has"
            ),
        ),
        tuple(zip(names, found.jaccard, strict=True)),
        f"In the mean {percent(found.mean)} of the units are shared; {percent(BAR)} is a suggested bar.",
    )


def of_completeness(result: CircuitResult) -> Section:
    """What is left without it, or without parts of it."""
    found = result.evaluation.completeness
    removed = [(f"by chance, {i + 1}", part) for i, part in enumerate(found.subsets)]
    if found.worst is not None:
        where = (
            "on other pairs than it was sought on"
            if found.worst_is_held_out
            else "on the pairs that chose it"
        )
        removed.append((f"the worst that was found ({where})", found.worst))
    table = Table(
        "Parts removed from the circuit and from the model",
        (
            TableColumn("part", "text"),
            TableColumn("units"),
            TableColumn("circuit without", "ratio", about="Faithfulness of the circuit without the part"),
            TableColumn("model without", "ratio", about="Faithfulness of the model without the part"),
            TableColumn("apart", "ratio", about="Mean |difference| of the two, over mean |m(M) - m(empty)|"),
            TableColumn("which", "text"),
        ),
        tuple(
            (
                name,
                len(part.units),
                interval(part.circuit),
                interval(part.model),
                interval(part.incompleteness),
                _few(part.units),
            )
            for name, part in removed
        ),
        "A circuit is complete where both agree, whatever is removed.",
    )
    own = [one for one in result.evaluation.curves if one.complement]
    charts = tuple(
        Trends(
            "What is left without the circuit, at each size",
            (_trend(one, one.complement, "the complement", "detector"),),
            (),
            "share of units in the circuit",
            "faithfulness",
            "number",
            shares=True,
            within=(-0.6, 1.6),
        )
        for one in own
    )
    about = (
        f"Everything but the circuit keeps {said(found.complement.overall)} of the behaviour"
        f" {around(found.complement.overall)}."
    )
    if found.subsets:
        about += (
            " Random parts of the circuit, removed from it and from the model, set the two apart by"
            f" {said(found.mean)} {around(found.mean)}."
        )
    return Section(name="completeness", about=about, trends=charts, tables=(table,) if removed else ())


def of_hypotheses(result: CircuitResult, config: Circuit) -> Section:
    """Whether every unit is needed, and what was tested."""
    one, tests = result.evaluation, result.evaluation.hypotheses
    minimal = tests.minimality
    idle = sum(test.rejected for test in minimal)
    rows = [
        (
            "equivalence",
            "circuit and model do better than one another equally often",
            tests.equivalence.statistic,
            tests.equivalence.p_holm,
            "rejected" if tests.equivalence.rejected else "not rejected",
        ),
        (
            "independence",
            "what is left without the circuit tells nothing of how the model does",
            tests.independence.statistic,
            tests.independence.p_holm,
            "rejected" if tests.independence.rejected else "not rejected",
        ),
    ]
    if minimal:
        rows.append(
            (
                "minimality",
                f"each unit matters more than 9 in 10 random ones (of {len(minimal)} units tested)",
                min(test.statistic for test in minimal),
                min(test.p_holm for test in minimal),
                f"rejected of {idle} units" if idle else "not rejected",
            )
        )
    table = Table(
        "What an ideal circuit would satisfy",
        (
            TableColumn("test", "text"),
            TableColumn("null hypothesis", "text"),
            TableColumn(
                "statistic",
                about="Share of pairs on which the circuit does better; the Hilbert-Schmidt criterion; share of random"
                " units that the least of the circuit's units outdoes",
            ),
            TableColumn("p", "p", "Raised for all tests of this circuit together (Holm)"),
            TableColumn("outcome", "text"),
        ),
        tuple(rows),
        "A rejection speaks against the circuit. What was not rejected is not thereby shown.",
    )
    tested, of = len(one.minimality.effects), one.minimality.of
    drawn = f" ({tested} of {of}, drawn at random)" if tested < of else ""
    return Section(
        name="is it minimal?",
        about=f"{one.minimality.shown} of the {tested} units tested{drawn} are shown to have an effect in the circuit"
        f" at the 5% level, all of them together; their effects are in the table of the {config.units} above."
        if tested
        else "No unit was left out by itself to see whether it is needed.",
        tables=(table,),
    )


def of_pairs(result: CircuitResult, config: Circuit) -> Section:
    """The held-out pairs, the worst first."""
    outcome = result.evaluation.outcome
    off = np.abs(outcome.circuit - outcome.whole)
    order = np.argsort(-off, kind="stable")[:PAIRS]
    texts = result.held.texts or (("", ""),) * len(result.held)
    rows = tuple(
        (
            str(result.rows[i]),
            float(outcome.whole[i]),
            float(outcome.empty[i]),
            float(outcome.circuit[i]),
            None if np.isnan(outcome.faithfulness.each[i]) else float(outcome.faithfulness.each[i]),
            texts[i][0][:LETTERS],
            texts[i][1][:LETTERS],
        )
        for i in map(int, order)
    )
    more = f"; {PAIRS} of {len(off)}" if len(off) > PAIRS else ""
    table = Table(
        "The held-out pairs",
        (
            TableColumn("row", "text"),
            TableColumn("model", about=f"{config.metric} of the model on the clean text"),
            TableColumn("empty", about="The same with every unit ablated"),
            TableColumn("circuit", about="The same of the circuit"),
            TableColumn(
                "f",
                "ratio",
                about="(circuit - empty) / (model - empty); nothing where the pair's own gap is tiny",
            ),
            TableColumn("clean", "text"),
            TableColumn("corrupted", "text"),
        ),
        rows,
        f"Worst first, by |circuit - model|{more}. Rows count from 0.",
    )
    return Section(name="pair by pair", tables=(table,))


def _trend(found: SizeCurve, figures: tuple[Estimate, ...], name: str, role: Role) -> Trend:
    def column(values: list[float | None]) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in values])

    value, low, high = (column([getattr(one, end) for one in figures]) for end in ("value", "low", "high"))
    known = bool(np.isfinite(low).any())
    return Trend(name, np.array(found.shares), value, low if known else None, high if known else None, role)


def _row(one: Faithfulness) -> tuple[Interval, ...]:
    return tuple(interval(figure) for figure in (one.overall, one.median, one.near, one.error))


def interval(one: Estimate) -> Interval:
    return Interval(one.value, one.low, one.high)


def said(one: Estimate) -> str:
    """A figure as it is read."""
    return "an undefined share" if one.value is None else ratio(interval(one))[0]


def around(one: Estimate) -> str:
    """Its interval, or nothing."""
    return ratio(interval(one))[1]


def percent(share: float) -> str:
    """A share."""
    return f"{100 * share:.3g}%"


def _few(names: tuple[str, ...], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
