"""What the page of a bench says of its cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ulterior.bench.cells import OUTSIDE, Cell, CellKey
from ulterior.bench.page import bench_report, meaning_of, own_lines
from ulterior.bench.table import corrected, tabulate
from ulterior.examples import Examples
from ulterior.panel import DetectorScores

PREAMBLE = "".join(f"line {number} of what all programs begin with\n" for number in range(10))
TURNED = {"good": "plain", "plain": "good"}
GROUPS = ["trusted", "real", "fake", "shifted"]


def cell_of(n: int = 20) -> Cell:
    group = np.repeat(GROUPS, n)
    rng = np.random.default_rng(0)
    fused = rng.normal(size=4 * n) + 3 * (group == "fake")
    scores = DetectorScores(
        ("a@last", "b@last"),
        np.stack([fused, -fused], 1),
        rng.uniform(size=(4 * n, 2)),
        fused,
        rng.uniform(size=4 * n),
    )
    examples = Examples.of(
        row=np.arange(4 * n),
        text=[PREAMBLE + f"    own line {row}" for row in range(4 * n)],
        group=group,
        **{"slice.headline": np.where(group == "fake", 1, np.where(group == "real", 0, OUTSIDE))},
        **{"slice.all": np.where(group == "fake", 1, np.where(group == "trusted", OUTSIDE, 0))},
    )
    names = ("good", "plain")
    about = {
        "subject": "toy",
        "slices": ["headline", "all"],
        "benign": ["real", "shifted"],
        "n_trusted": n,
        "n_untrusted": n,
        "n_test": 4 * n,
        "at": "last",
        "seconds": {"pass": 1.0, "good": 0.5},
        "roles": {"good": "method", "plain": "baseline"},
        "families": dict.fromkeys(names, "toy"),
        "abouts": dict.fromkeys(names, "a toy"),
    }
    worse = DetectorScores(("a@last",), -fused[:, None], scores.site_p[:, :1], -fused, scores.p)
    return Cell(
        CellKey("toy", "smoke", 0, names, 0.3),
        examples,
        {"good": scores, "plain": worse},
        about,
        {"left": "no data"},
    )


def report():
    cell = cell_of()
    rows = tabulate([cell], baseline="plain", alpha=0.05)
    return bench_report(rows, {"toy": [cell]}, 0.05, {"tasks": "toy"}, 1.0)


def test_each_group_has_the_colour_of_what_it_is():
    cell = cell_of()
    assert [meaning_of(group, cell) for group in GROUPS] == ["trusted", "real", "anomalous", "benign"]


def test_the_answer_names_the_best_method_and_the_baseline_beside_it():
    answer = report().answer
    assert answer.startswith("On toy (headline), the best method is good: AUROC")
    assert "plain has" in answer


def test_the_head_of_many_tasks_says_what_holds_of_all_and_each_section_names_its_best():
    cell = cell_of()
    cells = {
        f"toy{number}": [replace(cell, key=replace(cell.key, task=f"toy{number}"))] for number in range(6)
    }
    turned = replace(cell, scores={name: cell.scores[other] for name, other in TURNED.items()})
    cells["toy5"] = [replace(turned, key=replace(cell.key, task="toy5"))]
    rows = [row for some in cells.values() for row in tabulate(some, baseline="plain", alpha=0.05)]
    page = bench_report(corrected(rows), cells, 0.05, {"tasks": "all"}, 1.0)
    assert page.title == "Bench: 6 tasks"
    assert page.answer.startswith("On 5 of 6 tasks some method is better than the task's baseline")
    assert "good is on 5; no other is on more" in page.answer
    assert [figure.value for figure in page.figures] == ["5 of 6", "5 of 6"]
    assert [one.name for one in page.sections] == ["all tasks", *cells]
    assert page.sections[1].about.startswith("On toy0 (headline), the best method is good: AUROC")
    none = {"toy5": cells["toy5"], **{f"again{n}": cells["toy5"] for n in range(5)}}
    rows = [row for row in rows if row.task == "toy5"]
    rows += [replace(row, task=f"again{n}") for n in range(5) for row in rows]
    page = bench_report(rows, none, 0.05, {"tasks": "all"}, 1.0)
    assert page.answer == "On none of 6 tasks is a method better than the task's baseline."


def test_the_leaderboard_is_ranked_and_recall_is_shown_for_the_headline_alone():
    board = report().sections[0].leaderboard
    assert board is not None
    assert [row.detector for row in board.rows] == ["good", "plain"]
    assert board.rows[0].verdict == "better"
    labels = {(metric.group, metric.label) for metric in board.metrics}
    recalls = [metric for metric in board.metrics if metric.group == "recall at false alarms of"]
    assert [(metric.label, metric.about) for metric in recalls] == [("1%", "headline"), ("5%", "headline")]
    assert {metric.mark for metric in recalls} == {0.0}  # the baseline's
    assert ("AUROC", "all") in labels


def test_runs_of_lines_that_all_texts_have_are_left_out():
    texts = ["a\nb\nc\nmine\na\nb\nd\ne", "a\nb\nc\nd\ne\nf"]
    assert own_lines(texts[0], texts) == "[...]\nmine\n[...]"
    assert own_lines(texts[1], texts) == "[...]\nf"
    assert own_lines("a\nmine\nb\nc", texts) == "a\nmine\nb\nc"
    assert own_lines("one\nline", ["one\nline"]) == "one\nline"
    assert own_lines(texts[0], texts[:1]) == texts[0]


def test_what_all_texts_begin_with_is_left_out_and_code_keeps_its_form():
    shown = report().sections[0].anomalies[0]
    assert shown.text.startswith("[...]\n    own line ")
    assert shown.code


def test_the_heat_map_holds_the_auroc_of_each_site():
    (heat,) = report().sections[0].heat_maps
    assert heat.sites == ("a@last", "b@last")
    assert heat.detectors == ("good",)
    np.testing.assert_allclose(heat.values[0, 0] + heat.values[1, 0], 1.0)
    assert heat.values[0, 0] > 0.95


def test_detectors_that_were_left_out_are_named():
    assert report().sections[0].notes == ("left was left out: no data",)


def test_the_mark_of_a_column_is_the_baseline_against_which_verdicts_are_given():
    board = report().sections[0].leaderboard
    assert board is not None
    plain = board.rows[1].values
    marked = {metric.key: metric.mark for metric in board.metrics if metric.target is None}
    assert marked == {key: plain[key].value for key in marked}
