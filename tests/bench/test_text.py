"""The table of a bench: for a terminal, for the documentation, over several tasks."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.test_page import cell_of
from ulterior.bench.page import bench_report
from ulterior.bench.table import COSTS, EXAMPLE, MEASURED, headlines, of_all_seeds, tabulate
from ulterior.bench.text import bench_text, leaderboard_text
from ulterior.results import write_rows

ROOT = Path(__file__).parent.parent.parent
ONE, NOTHING = {"forward": 1.0, "backward": 0.0}, {"forward": 0.0, "backward": 0.0}


def estimate(value: float) -> dict:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 40}


def measuring(task: str = "toy", *, more: tuple[str, ...] = ()):
    """A cell with two networks; ``good`` was trained further, and ``words`` reads no network."""
    cell = cell_of()
    names = ("good", "plain", "words", *more)
    own = {"sensor_auroc": estimate(0.954), "all_auroc": estimate(0.923)}
    trained = {"sensor_auroc": estimate(0.812), "all_auroc": estimate(0.711)}
    about = {
        **cell.about,
        "roles": {"good": "method", "plain": "baseline", "words": "control"} | dict.fromkeys(more, "method"),
        "families": dict.fromkeys(names, "toy"),
        "abouts": dict.fromkeys(names, "a toy"),
        "measurement": {"good": trained, "plain": own} | dict.fromkeys(more, own),
        "costs": {
            "good": {
                "training": {"forward": 2.5, "backward": 1.5},
                "scoring": {"forward": 2.0, "backward": 0.0},
            },
            "words": {"training": NOTHING, "scoring": NOTHING},
        }
        | {name: {"training": ONE, "scoring": ONE} for name in ("plain", *more)},
        "variants": {"trained": {"subject": "trained further", "detectors": ["good"]}},
    }
    scores = cell.scores | dict.fromkeys(("words", *more), cell.scores["plain"])
    return replace(cell, key=replace(cell.key, task=task), about=about, scores=scores)


def rows_of(*cells):
    return [row for cell in cells for row in tabulate([cell], baseline="plain", alpha=0.05)]


def test_rows_tell_how_well_each_network_measures_and_what_it_costs():
    found = of_all_seeds(rows_of(measuring()), "toy")
    assert found["good", MEASURED, "sensor_auroc"].value == 0.812
    assert found["plain", MEASURED, "all_auroc"].low == pytest.approx(0.913)
    assert ("words", MEASURED, "all_auroc") not in found
    assert [found["good", EXAMPLE, metric].value for metric in COSTS] == [2.5, 1.5, 2.0, 0.0]
    assert COSTS[1] == "backward passes, training"


def test_a_cell_without_such_figures_has_no_such_rows():
    rows = tabulate([cell_of()], baseline="plain", alpha=0.05)
    assert not {row.slice for row in rows} & {MEASURED, EXAMPLE}
    assert "network" not in leaderboard_text(rows, [cell_of()])


def test_the_text_shows_both_levels_every_slice_and_a_line_for_each_network():
    cell = measuring(more=("third", "fourth"))
    lines = leaderboard_text(rows_of(cell), [cell]).split("\n")
    assert max(map(len, lines)) <= 120
    words = [line.split() for line in lines]
    head = next(i for i, line in enumerate(words) if line[:1] == ["detector"])
    assert words[head - 1][:3] == ["caught", "caught", "flagged:"]
    assert lines[head + 2].startswith("plain")
    assert lines[head + 2].endswith("baseline")
    assert sum(line[:1] == ["plain"] for line in words) == 2  # the headline, and the other slice
    network = next(i for i, line in enumerate(words) if line[:1] == ["network"])
    assert lines[network + 1].split("  ")[0] == "trained further"
    assert "2.5 + 1.5 back" in lines[network + 1]
    assert lines[network + 1].endswith("good")
    assert ".954 [.944, .964]" in lines[network + 2]
    assert lines[network + 2].endswith("3 detectors")
    assert not lines[network + 3].startswith("words")


def test_several_tasks_end_in_one_table():
    cells = {"toy": [measuring()], "game": [measuring("game", more=("extra",))]}
    rows = rows_of(*(cell for some in cells.values() for cell in some))
    assert list(headlines(rows)) == ["good", "plain", "words", "extra"]
    text = bench_text(rows, cells)
    last = text.split("\n\n\n")[-1].split("\n")
    assert last[0].startswith("all tasks")
    assert last[2].split() == ["detector", "toy,", "headline", "game,", "headline"]
    good = next(line for line in last if line.startswith("good"))
    assert good.count("+") == 2
    plain = next(line for line in last if line.startswith("plain"))
    assert plain.count("*") == 2
    assert next(line for line in last if line.startswith("words")).endswith("control")
    assert "all tasks" not in bench_text(rows, {"toy": cells["toy"]})


def test_the_page_of_several_tasks_begins_with_one_table():
    cells = {"toy": [measuring()], "game": [measuring("game")]}
    rows = rows_of(*(cell for some in cells.values() for cell in some))
    report = bench_report(rows, cells, 0.05, {}, 1.0)
    assert [section.name for section in report.sections] == ["all tasks", "toy", "game"]
    board = report.sections[0].leaderboard
    assert board is not None
    assert [(metric.group, metric.label) for metric in board.metrics[:4]] == [
        ("AUROC", "toy"),
        ("AUROC", "game"),
        ("recall at 1% false alarms", "toy"),
        ("recall at 1% false alarms", "game"),
    ]
    assert [row.role for row in board.rows] == ["detector", "baseline", "control"]
    assert set(board.rows[0].values) == {metric.key for metric in board.metrics}


def test_the_page_shows_measurement_and_only_costs_that_there_are():
    cell = measuring()
    board = bench_report(rows_of(cell), {"toy": [cell]}, 0.05, {}, 1.0).sections[0].leaderboard
    assert board is not None
    shown = [(metric.group, metric.label, metric.unit) for metric in board.metrics]
    assert shown[-5:] == [
        ("measurement AUROC", "each sensor", "auroc"),
        ("measurement AUROC", "all positive", "auroc"),
        ("passes an example", "training, forward", "number"),
        ("passes an example", "training, backward", "number"),
        ("passes an example", "scoring, forward", "number"),
    ]
    plain = cell_of()
    board = bench_report(tabulate([plain], baseline="plain", alpha=0.05), {"toy": [plain]}, 0.05, {}, 1.0)
    (section,) = board.sections
    assert section.leaderboard is not None
    assert not {metric.group for metric in section.leaderboard.metrics} & {
        "measurement AUROC",
        "passes an example",
    }


@pytest.fixture
def leaderboard(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("leaderboard", ROOT / "benchmarks" / "leaderboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write_rows(rows_of(measuring(), measuring("game")), tmp_path, {"size": "smoke"})
    assert json.loads((tmp_path / "results.json").read_text())["rows"]

    def printed(*options: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["leaderboard.py", str(tmp_path / "results.json"), *options])
        module.main()
        return capsys.readouterr().out.split("\n")

    return printed


def heads(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("| detector")]


def test_the_markdown_is_narrow_unless_more_is_asked_for(leaderboard):
    assert heads(leaderboard("--tasks", "toy")) == [
        "| detector | AUROC, headline | AUROC, all | caught at 1% | caught at 5% | flagged: trusted | flagged: real |"
        " flagged: shifted | verdict |"
    ]
    (head,) = heads(
        leaderboard("--tasks", "toy", "--slices", "1", "--caught", "5", "--measurement", "--cost")
    )
    assert head.startswith("| detector | AUROC, headline | caught at 5% | flagged: trusted ")
    assert head.endswith("| sensor_auroc | all_auroc | passes, training | passes, scoring | verdict |")
    lines = leaderboard("--tasks", "toy", "--measurement", "--cost")
    assert next(line for line in lines if line.startswith("| `good`")).endswith(
        "| .812 [.802, .822] | .711 [.701, .721] | 2.5 + 1.5 back | 2 | better |"
    )
    assert next(line for line in lines if line.startswith("| `words`")).count("|  |  | 0 | 0 |") == 1


def test_the_markdown_of_several_tasks_begins_with_one_table(leaderboard):
    lines = leaderboard()
    assert heads(lines)[0] == "| detector | toy | game |"
    assert len(heads(lines)) == 3
    assert next(line for line in lines if line.startswith("| `plain`")).count("*baseline*") == 2
