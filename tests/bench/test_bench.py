"""The bench: resumable, complete, honest where a figure does not exist."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.subjects import counted_subject, points
from ulterior import cli
from ulterior.bench import run as bench_run
from ulterior.bench.cells import CellKey, read_cell
from ulterior.bench.run import Bench, run_bench
from ulterior.bench.table import AUROC, DIFFERENCE, FALSE_ALARMS
from ulterior.errors import InputError
from ulterior.examples import concat
from ulterior.panel import PanelSettings
from ulterior.subject import Subject
from ulterior.tasks.task import Slice, Task, TaskData

ROOT = Path(__file__).parent.parent.parent
LOADED: list[int] = []


def load(seed: int, size: str) -> TaskData:
    LOADED.append(seed)

    def rows(group, number, shift=0.0):
        n = 80 if size == "smoke" else 200
        made = points(n, 10 * seed + number, shift=shift, text=group)
        return made.with_columns(group=group, anomalous=[shift > 0.5] * n)

    return TaskData(
        subject=counted_subject(),
        trusted=rows("trusted", 0),
        untrusted=concat([rows("trusted", 1), rows("odd", 2, 1.0)]),
        test=concat([rows("trusted", 3), rows("benign <b>", 4, 0.02), rows("odd", 5, 1.0)]),
        slices=(Slice("odd", ("odd",), ("trusted", "benign <b>")), Slice("none", ("absent",), ("trusted",))),
        benign=("benign <b>",),
    )


TOY = Task(
    "toy",
    "planted shift",
    "anomaly",
    "confidence",
    load,
    {"text": "text", "truth": "anomalous"},
    "first",
    subject=lambda seed: counted_subject(),
)


@pytest.fixture
def toy(monkeypatch):
    LOADED.clear()
    monkeypatch.setattr(bench_run, "find_tasks", lambda names: (TOY,))
    return lambda out, **options: Bench(("toy",), size="smoke", out=out, panel=PanelSettings(), **options)


def without_seconds(rows):
    return [{name: value for name, value in vars(row).items() if name != "seconds"} for row in rows]


def test_the_table_has_every_detector_slice_and_control_and_finds_what_was_planted(toy, tmp_path):
    result = run_bench(toy(tmp_path, seeds=2))
    figures = {(row.detector, row.seed, row.slice, row.metric): row for row in result.rows}
    best = figures["pca_residual", None, "odd", AUROC]
    assert best.value > 0.95
    assert best.low < best.value <= best.high
    assert best.n == 480
    assert figures["pca_residual", None, "odd", DIFFERENCE].verdict == "better"
    assert ("confidence", None, "odd", DIFFERENCE) not in figures
    alarms = figures["mahalanobis", None, "trusted", FALSE_ALARMS]
    assert alarms.n == 160
    assert ("mahalanobis", None, "benign <b>", FALSE_ALARMS) in figures
    assert figures["mahalanobis", 0, "odd", AUROC].seed == 0
    detectors = {row.detector for row in result.rows}
    assert detectors >= {
        "quantum_entropy",
        "nearest_neighbours",
        "surface",
        "surface_length",
        "ceiling",
        "confidence",
    }


def test_a_slice_of_one_class_is_undefined_and_never_one_half(toy, tmp_path):
    rows = run_bench(toy(tmp_path)).rows
    none = [row for row in rows if row.slice == "none" and row.metric != FALSE_ALARMS]
    assert none
    assert all(row.value is None and row.low is None for row in none)
    assert {row.verdict for row in none if row.metric == DIFFERENCE} == {"undefined"}


def test_a_second_run_takes_the_cells_and_changes_nothing(toy, tmp_path):
    first = run_bench(toy(tmp_path, seeds=2))
    assert LOADED == [0, 1]
    again = run_bench(toy(tmp_path, seeds=2))
    assert LOADED == [0, 1]
    assert first.rows == again.rows
    more = run_bench(toy(tmp_path, seeds=3))
    assert LOADED == [0, 1, 2]
    assert {row.seed for row in more.rows} == {0, 1, 2, None}


def test_a_damaged_or_missing_cell_is_made_again_and_ends_in_the_same_results(toy, tmp_path):
    whole = run_bench(toy(tmp_path, seeds=2))
    first, second = sorted((tmp_path / "cells").iterdir())
    first.write_bytes(first.read_bytes()[:300])
    second.unlink()
    (tmp_path / "cells" / (second.name + ".partial")).write_bytes(b"half")
    again = run_bench(toy(tmp_path, seeds=2))
    assert LOADED == [0, 1, 0, 1]
    assert without_seconds(whole.rows) == without_seconds(again.rows)


def test_cells_that_were_made_with_other_weights_are_made_anew(toy, tmp_path, monkeypatch):
    first = run_bench(toy(tmp_path, seeds=2))

    def replaced(seed: int) -> Subject:
        subject = counted_subject()
        if seed == 1:
            with torch.no_grad():
                subject.model.get_parameter("first.weight").mul_(2.0)
        return subject

    def load_replaced(seed: int, size: str) -> TaskData:
        return replace(load(seed, size), subject=replaced(seed))

    retrained = replace(TOY, load=load_replaced, subject=replaced)
    monkeypatch.setattr(bench_run, "find_tasks", lambda names: (retrained,))
    again = run_bench(toy(tmp_path, seeds=2))
    assert LOADED == [0, 1, 1]
    assert [cell.about["fingerprint"] == counted_subject().fingerprint() for cell in again.cells["toy"]] == [
        True,
        False,
    ]
    figures = [
        {(row.detector, row.slice, row.metric): row.value for row in one.rows if row.seed == 1}
        for one in (first, again)
    ]
    assert figures[0] != figures[1]
    assert len({row.config for row in (*first.rows, *again.rows)}) == 1
    # Those of the first weights are still there, for whoever puts these back.
    monkeypatch.setattr(bench_run, "find_tasks", lambda names: (TOY,))
    assert run_bench(toy(tmp_path, seeds=2)).rows == first.rows
    assert LOADED == [0, 1, 1]


def test_a_task_that_cannot_make_its_subject_alone_is_loaded_to_know_its_weights(toy, tmp_path, monkeypatch):
    plain = replace(TOY, subject=None)
    assert plain.fingerprint(0, "smoke") == TOY.fingerprint(0, "smoke") == counted_subject().fingerprint()
    monkeypatch.setattr(bench_run, "find_tasks", lambda names: (plain,))
    cells = run_bench(toy(tmp_path)).cells["toy"]
    LOADED.clear()
    assert run_bench(toy(tmp_path)).cells["toy"][0].key == cells[0].key
    assert LOADED == [0]


def test_another_configuration_is_another_cell(toy, tmp_path):
    run_bench(toy(tmp_path))
    run_bench(toy(tmp_path, detectors=("mahalanobis",)))
    assert LOADED == [0, 0]
    key = CellKey("toy", "smoke", 0, ("a",), 0.3)
    assert key.config != CellKey("toy", "smoke", 0, ("b",), 0.3).config
    assert key.config == CellKey("toy", "smoke", 1, ("a",), 0.3).config
    assert read_cell(key, tmp_path) is None


def test_named_detectors_run_alone_but_for_the_baseline(toy, tmp_path):
    rows = run_bench(toy(tmp_path, detectors=("diagonal",))).rows
    assert {row.detector for row in rows} == {"diagonal", "confidence"}


def test_the_command_writes_results_and_a_page_that_escapes(toy, tmp_path, capsys):
    assert bench_run.main(toy(tmp_path)).rows
    assert "mahalanobis" in capsys.readouterr().out
    table = pq.read_table(tmp_path / "results.parquet")
    saved = json.loads((tmp_path / "results.json").read_text())
    assert table.num_rows == len(saved["rows"]) > 50
    assert {"task", "subject", "detector", "seed", "slice", "metric", "value", "low", "high", "n"} <= set(
        table.column_names
    )
    assert {"verdict", "seconds", "version", "config"} <= set(table.column_names)
    page = (tmp_path / "report.html").read_text()
    assert "benign &lt;b&gt;" in page
    assert "benign <b>" not in page


def test_what_cannot_be_run_is_one_line_and_exit_code_2(tmp_path, capsys):
    for arguments, message in (
        (["nothing"], "no task 'nothing'; there are: diamonds, "),
        (["diamonds", "--detectors", "mahalanobi"], "no detector 'mahalanobi' in this panel"),
        (["diamonds", "--seeds", "0"], "nothing to run: 0 seeds"),
    ):
        assert cli.main(["bench", *arguments, "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to"):
        run_bench(Bench(("diamonds",), out=tmp_path / "file" / "out"))


KILLED = """
import sys, time
from pathlib import Path
from tests.bench import test_bench
from ulterior.bench import run as bench_run
from ulterior.panel import PanelSettings
bench_run.find_tasks = lambda names: (test_bench.TOY,)
original = bench_run.run_cell
def slow(*arguments, **keywords):
    cell = original(*arguments, **keywords)
    print("cell", arguments[3].seed, flush=True)
    if arguments[3].seed == 1:
        time.sleep(60)
    return cell
bench_run.run_cell = slow
bench_run.run_bench(bench_run.Bench(("toy",), size="smoke", seeds=3, out=Path(sys.argv[1]), panel=PanelSettings()))
"""


def test_kill_9_in_the_middle_loses_only_the_unfinished_cell(toy, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, str(script), str(out)], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "cell 1\n":
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(list((out / "cells").glob("*.parquet"))) == 1
    LOADED.clear()
    resumed = run_bench(toy(out, seeds=3))
    assert LOADED == [1, 2]
    whole = run_bench(toy(tmp_path / "whole", seeds=3))
    assert without_seconds(resumed.rows) == without_seconds(whole.rows)


def test_cells_come_back_as_they_were_written(toy, tmp_path):
    written = run_bench(toy(tmp_path)).cells["toy"][0]
    read = read_cell(written.key, tmp_path / "cells")
    assert read is not None
    for name, scores in written.scores.items():
        for part in ("site_scores", "site_p", "fused", "p"):
            np.testing.assert_array_equal(getattr(scores, part), getattr(read.scores[name], part))
    assert read.about == written.about


def test_data_and_a_predictor_of_ones_own_make_a_task(tmp_path):
    from ulterior.tasks.tampering.diamonds.data import DiamondsData
    from ulterior.tasks.tampering.diamonds.data import main as make
    from ulterior.tasks.tampering.diamonds.task import ASSETS

    make(DiamondsData(tmp_path / "rows.parquet", n=400, seed=4))
    own = {"data": str(tmp_path / "rows.parquet"), "predictor": str(ASSETS), "size": "smoke"}
    result = run_bench(Bench(**own, detectors=("trusted_probe",), out=tmp_path / "out"))
    assert list(result.cells) == ["diamonds"]
    assert {row.detector for row in result.rows} == {"trusted_probe", "untrusted_baseline"}
    assert result.cells["diamonds"][0].key.source.startswith(str(tmp_path / "rows.parquet"))
    with pytest.raises(InputError, match="--data and --predictor go together"):
        run_bench(Bench(data="x", out=tmp_path / "out"))
    with pytest.raises(InputError, match="nothing to run: 1 seeds of 0 tasks"):
        run_bench(Bench(out=tmp_path / "out"))


def test_detectors_that_cost_backward_passes_run_only_where_they_are_named():
    tampering = replace(TOY, kind="tampering", columns={**TOY.columns, "outcome": "o", "measurements": "m"})
    costly = {"least_common_ancestor", "attribution_mahalanobis"}
    assert not costly & {detector.name for detector in bench_run.task_panel(tampering, ())}
    assert costly < {detector.name for detector in bench_run.task_panel(tampering, sorted(costly))}
    with pytest.raises(InputError, match="no detector 'least_common_ancestor'"):
        bench_run.task_panel(TOY, ["least_common_ancestor"])
