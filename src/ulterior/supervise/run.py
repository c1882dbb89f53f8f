"""`ulterior supervise`: flag, have the flagged labelled, refit, repeat, and see what the labels bought."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from tqdm import tqdm

from ulterior.audit.monitor import Monitor, SubjectOptions
from ulterior.audit.run import last_words, printable
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.files import writable_folder, write_whole
from ulterior.panel import PanelSettings
from ulterior.results import write_rows
from ulterior.supervise.answers import ANSWERS, QUESTIONS, read_answers, write_questions
from ulterior.supervise.figures import Cell, Row, tabulate, text_table
from ulterior.supervise.refit import NAME, Refit, Refitter, fitted_panel
from ulterior.supervise.rounds import STRATEGIES, Curve, Strategy, check_budget, choose, replay, spend
from ulterior.supervise.sources import (
    REFERENCES,
    Files,
    Prepared,
    described,
    hashed,
    prepare_files,
    prepare_task,
    task_detectors,
)
from ulterior.supervise.store import read_value, write_value
from ulterior.tasks.registry import find_tasks
from ulterior.tasks.task import Task

SHOWN = PanelSettings(progress=True)
NO_MODEL = SubjectOptions("")
RANKED = 20


@dataclass(frozen=True)
class Supervise:
    """Flag the most anomalous examples, have a few labelled, refit, repeat: on a task, or on your model and data.

    `ulterior supervise diamonds --seeds 3` draws the curve of AUROC against labels spent. With `--model`, `--trusted`
    and `--untrusted` it works on your own files, and with `--labels-from person` it writes `to_label.jsonl` and goes
    on, started again, with the answers in `labels.jsonl`.

    Attributes:
        tasks: Names of tasks (see `ulterior list`); none for your own model and data.
        subject: The model and how examples become its inputs.
        trusted: Examples whose mechanism is the usual one: JSONL, CSV, Parquet, or a hub data set.
        untrusted: Examples to label some of.
        test: Examples to evaluate on; they are never labelled.
        truth: Column that tells which examples are anomalous (1 or true): of the test examples, and of the
            untrusted ones where labels come from it.
        measurements: Column with lists of measurements; examined are the examples on which all are positive.
        labels_from: Who labels: the truth `column`, or a `person`.
        start: The detector that ranks before there are labels: any that `bench --detectors` takes, but for those of
            other weights.
        strategies: Which suspects are labelled: `anomalous`, `half` (anomalous, half at random), `least_confident`,
            `random`. All by default; `anomalous` alone where a person labels or nothing is evaluated. The monitor is
            that of the first.
        budget: Labels in all.
        per_round: Labels between two refits.
        seeds: Number of seeds of each task.
        size: Of the tasks: `smoke` (does it run), `small` (minutes on a laptop), `full`.
        out: Folder for all results.
        alpha: False-alarm rate of the monitor.
        sites: Sites whose activations the detectors read, on your own model.
        probe_sites: Sites that the probe reads there.
        at: Position of the reading there: `last`, `mean`, or a number.
        panel: How the detectors are fitted.
    """

    tasks: tyro.conf.Positional[tuple[str, ...]] = ()
    subject: Annotated[SubjectOptions, tyro.conf.arg(name="")] = NO_MODEL
    trusted: str | None = None
    untrusted: str | None = None
    test: str | None = None
    truth: str | None = None
    measurements: str | None = None
    labels_from: Literal["column", "person"] = "column"
    start: str = "mahalanobis"
    strategies: tuple[Strategy, ...] = ()
    budget: int = 200
    per_round: int = 20
    seeds: int = 1
    size: Literal["smoke", "small", "full"] = "small"
    out: Path = Path("runs/supervise")
    alpha: float = 0.01
    sites: str = "resid.*"
    probe_sites: str = "final"
    at: str = "last"
    panel: Annotated[PanelSettings, tyro.conf.arg(name="")] = SHOWN


def main(config: Supervise) -> None:
    """Run the command."""
    check_budget(config.budget, config.per_round)
    if len(set(config.strategies)) < len(config.strategies):
        raise InputError(f"a strategy is named twice: {', '.join(config.strategies)}")
    own = bool(config.subject.model)
    if own == bool(config.tasks):
        raise InputError(
            "give either the name of a task, such as diamonds, or --model with --trusted and --untrusted"
        )
    if own:
        _supervise_files(config)
    else:
        _supervise_tasks(config)


def _supervise_tasks(config: Supervise) -> None:
    if config.seeds < 1:
        raise InputError(f"nothing to run: {config.seeds} seeds; give at least one")
    if config.labels_from == "person" or any((config.trusted, config.untrusted, config.test, config.truth)):
        raise InputError(
            "a task brings its own examples and labels; files and --labels-from person go with --model"
        )
    started = time.perf_counter()
    tasks = find_tasks(config.tasks)
    for task in tasks:  # before hours of work, not after
        task_detectors(task, config.start)
    writable_folder(config.out)
    cells = {task.name: [_task_cell(task, seed, config) for seed in range(config.seeds)] for task in tasks}
    _finish(cells, config, time.perf_counter() - started)


def _task_cell(task: Task, seed: int, config: Supervise) -> Cell:
    strategies = config.strategies or STRATEGIES
    detectors = described(*task_detectors(task, config.start))
    weights = task.fingerprint(seed, config.size)
    read_from = hashed(task.name, config.size, seed, detectors, config.start, config.panel.held_out, weights)
    spent = hashed(read_from, strategies, config.budget, config.per_round)
    stem = f"{task.name}-{config.size}-seed{seed}"
    path = config.out / "cells" / f"{stem}-{spent}.safetensors"
    finished = read_value(path)
    if isinstance(finished, Cell):
        print(f"{task.name} seed {seed}: finished before, taken from {path}", file=sys.stderr)
        return finished
    settings = replace(config.panel, seed=seed)
    prepared = _prepared(
        config.out / "pools" / f"{stem}-{read_from}.safetensors",
        lambda: prepare_task(task, seed, config.size, config.start, settings),
    )
    cell = _cell(task.name, prepared, _curves(prepared, strategies, config, seed), config.start, seed)
    write_value(cell, path)
    return cell


def _supervise_files(config: Supervise) -> None:
    if config.trusted is None or config.untrusted is None:
        raise InputError("--model needs examples: give --trusted and --untrusted")
    if config.seeds != 1:
        raise InputError(f"--seeds {config.seeds} goes with a task; on your own data there is one run")
    by_person = config.labels_from == "person"
    default: tuple[Strategy, ...] = STRATEGIES if config.test and not by_person else (STRATEGIES[0],)
    strategies = config.strategies or default
    if by_person and len(strategies) > 1:
        raise InputError("a person labels by one strategy; give one of --strategies")
    started = time.perf_counter()
    files = Files(
        config.subject,
        config.trusted,
        config.untrusted,
        config.test,
        config.truth,
        config.measurements,
        not by_person,
        config.sites,
        config.probe_sites,
        config.at,
        config.start,
    )
    writable_folder(config.out)
    key = hashed(files.key(), described(*files.detectors()), config.panel.held_out, config.panel.seed)
    prepared = _prepared(
        config.out / "pools" / f"files-{key}.safetensors", lambda: prepare_files(files, config.panel)
    )
    pool = prepared.pool
    pool.calibration.threshold(config.alpha)  # raises where the trusted examples are too few for this alpha
    untrusted = files.load(config.untrusted, truth=False)
    seed = config.panel.seed
    if by_person:
        curves: tuple[Curve, ...] = (_person(prepared, untrusted, next(iter(strategies)), config),)
    else:
        curves = _curves(prepared, strategies, config, seed)
    labels = dict(zip(curves[0].asked.tolist(), curves[0].answers.tolist(), strict=True))
    refit = Refitter(pool)(labels)
    panel = fitted_panel(pool, refit, seed)
    Monitor(config.subject, pool.fingerprint, panel, NAME, config.alpha).save(config.out / "monitor")
    p = panel.calibrations[NAME](refit.score(pool.suspects)[:, None]).p
    _write_scores(config.out / "scores.jsonl", prepared, refit, labels, p)
    print(_ranking(prepared, refit, labels, p, untrusted, config))
    print(
        f"\nwrote {config.out}/scores.jsonl and monitor/ (for `ulterior score --monitor {config.out}/monitor`)"
    )
    if prepared.slices and len(curves[0].spent) > 1:
        name = Path(config.untrusted).name
        cell = _cell(name, prepared, curves, config.start, seed)
        _finish({name: [cell]}, config, time.perf_counter() - started)


def _person(prepared: Prepared, untrusted: Examples, strategy: Strategy, config: Supervise) -> Curve:
    """The curve of the answers so far; asks the next questions if the budget leaves any."""
    pool, out = prepared.pool, config.out
    labels = read_answers(out / ANSWERS, pool)
    left = min(config.budget, len(pool.suspects)) - len(labels)
    questions = out / QUESTIONS
    if left > 0:
        refit = Refitter(pool)(labels)
        k = min(config.per_round, left)
        chosen = choose(pool, refit, labels, k, strategy, config.panel.seed)
        write_questions(questions, pool, refit, chosen, untrusted, config.subject.column, strategy)
        print(
            f"{len(labels)} of {len(labels) + left} labels are there. {len(chosen)} examples wait in {questions}:\n"
            f'set "anomalous" to true or false on each line, add the lines to {out / ANSWERS}, and start the same'
            " command again.\n"
        )
    else:
        questions.unlink(missing_ok=True)
        print(f"all {len(labels)} labels of the budget are there ({sum(labels.values())} anomalous)\n")
    return replay(pool, labels, strategy=strategy, per_round=config.per_round)


def _prepared(path: Path, prepare: Callable[[], Prepared]) -> Prepared:
    found = read_value(path)
    if isinstance(found, Prepared):
        print(f"features taken from {path}", file=sys.stderr)
        return found
    made = prepare()
    write_value(made, path)
    return made


def _curves(
    prepared: Prepared, strategies: tuple[Strategy, ...], config: Supervise, seed: int
) -> tuple[Curve, ...]:
    pool = prepared.pool
    # The truth is behind this function, and nothing but the labels that were asked for comes out of it.
    truth = dict(zip(pool.suspects.rows.tolist(), prepared.truth.tolist(), strict=True))
    return tuple(
        spend(
            pool,
            lambda rows: [truth[row] for row in rows.tolist()],
            strategy=strategy,
            budget=config.budget,
            per_round=config.per_round,
            seed=seed,
        )
        for strategy in tqdm(strategies, desc="label", disable=None if config.panel.progress else True)
    )


def _cell(task: str, prepared: Prepared, curves: tuple[Curve, ...], start: str, seed: int) -> Cell:
    pool = prepared.pool
    scores = {} if pool.test is None else pool.test.scores
    references = {
        name: scores[name] for name in prepared.roles if name in scores and name in (start, *REFERENCES)
    }
    about = {
        "task": task,
        "subject": pool.subject,
        "start": start,
        "roles": dict(prepared.roles),
        "n_suspects": len(pool.suspects),
        "n_anomalous": int(prepared.truth.sum()) if len(prepared.truth) else None,
        "n_trusted": len(pool.usual),
        "n_test": len(pool.test or ()),
        "n_read": pool.suspects.x.shape[1],
        "skipped": dict(pool.skipped),
        "seconds": dict(pool.seconds),
    }
    return Cell(seed, about, references, prepared.slices, curves)


def _finish(cells: Mapping[str, list[Cell]], config: Supervise, seconds: float) -> None:
    """Print the tables, write rows and page."""
    from ulterior.report import write_report
    from ulterior.supervise.page import supervise_report

    rows: list[Row] = [row for some in cells.values() for row in tabulate(some)]
    print("\n\n".join(text_table(rows, some) for some in cells.values()))
    run = describe(config, cells)
    write_rows(rows, config.out, run)
    write_report(supervise_report(rows, cells, run, seconds), config.out / "report.html")
    print(f"\nwrote {config.out}/results.parquet, results.json and report.html")


def describe(config: Supervise, cells: Mapping[str, list[Cell]]) -> dict[str, str]:
    """How the curves were made, for their reader."""
    seeds = [str(cell.seed) for cell in next(iter(cells.values()))]
    return {
        "examples": ", ".join(cells),
        **({"size": config.size} if config.tasks else {"model": config.subject.model}),
        "seeds": ", ".join(seeds),
        "ranks first": config.start,
        "labels": f"{config.budget}, {config.per_round} a round, from"
        + (" a person" if config.labels_from == "person" else " the truth column"),
        "held out": f"{config.panel.held_out:.0%} of trusted",
    }


def _write_scores(
    path: Path, prepared: Prepared, refit: Refit, labels: Mapping[int, bool], p: np.ndarray
) -> None:
    pool = prepared.pool
    score, before = refit.score(pool.suspects), pool.suspects.scores[refit.start]
    lines: list[dict[str, Any]] = [
        {
            "row": int(row),
            "score": float(score[place]),
            "p": float(p[place]),
            refit.start: float(before[place]),
            "label": labels.get(place),
        }
        for place, row in enumerate(pool.suspects.rows)
    ]
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))


def _ranking(
    prepared: Prepared,
    refit: Refit,
    labels: Mapping[int, bool],
    p: np.ndarray,
    untrusted: Examples,
    config: Supervise,
) -> str:
    """The most anomalous suspects that nobody has labelled."""
    pool = prepared.pool
    score = refit.score(pool.suspects)
    free = [place for place in np.argsort(-score, kind="stable").tolist() if place not in labels]
    flagged = int((p <= config.alpha).sum())
    said = (
        f"{refit.start} and a probe on {len(labels)} labels (weight {refit.blend.weight:.2f})"
        if refit.linear is not None
        else f"{refit.start} alone: the probe needs a label that says anomalous"
    )
    lines = [
        f"{flagged} of {len(pool.suspects)} suspects have p <= {config.alpha:g}; {sum(labels.values())} of"
        f" {len(labels)} labels are anomalous; ranked by {said}",
        "",
        f"{'row':>6}  {'score':>6}  {'p':>7}  text",
    ]
    for place in free[:RANKED]:
        row = pool.suspects.rows[place]
        text = " ".join(last_words(untrusted[config.subject.column][row]).split())
        lines.append(f"{row:>6}  {score[place]:>6.3f}  {p[place]:>7.4f}  {printable(text)[:70]}")
    return "\n".join(lines)
