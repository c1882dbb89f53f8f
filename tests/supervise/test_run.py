"""The command end to end: a planted task, and a tiny language model with files of text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import ulterior.supervise.sources as sources
from tests.families import tiny, tokenizer
from tests.subjects import counted_subject
from tests.supervise.planted import tables
from ulterior import cli
from ulterior.audit.monitor import Monitor
from ulterior.audit.score import Score
from ulterior.audit.score import main as score_main
from ulterior.examples import Examples
from ulterior.panel import PanelSettings
from ulterior.subject import Subject
from ulterior.supervise.figures import AUROC, FOUND, shown_points
from ulterior.supervise.run import Supervise, main
from ulterior.tasks import registry
from ulterior.tasks.task import Slice, Task, TaskData

QUIET = PanelSettings()


def load(seed: int, size: str) -> TaskData:
    load.calls += 1
    trusted, untrusted, test = tables(1000 * seed)
    return TaskData(
        subject=counted_subject(),
        trusted=trusted,
        untrusted=untrusted,
        test=test.with_columns(group=test["kind"].tolist()),
        slices=(
            Slice("all", ("anomalous",), ("usual", "odd")),
            Slice("against odd", ("anomalous",), ("odd",)),
        ),
    )


TASK = Task(
    name="planted",
    about="points that lie elsewhere",
    kind="anomaly",
    baseline="confidence",
    load=load,
    columns={"text": "text", "truth": "anomalous"},
    sites="first, second",
    subject=lambda seed: counted_subject(),
)


@pytest.fixture(autouse=True)
def _planted(monkeypatch):
    load.calls = 0
    monkeypatch.setattr("ulterior.supervise.run.find_tasks", lambda names: (TASK,) * len(names))


def configured(folder, **changes) -> Supervise:
    options = {
        "tasks": ("planted",),
        "budget": 20,
        "per_round": 10,
        "out": folder,
        "panel": QUIET,
    }
    return Supervise(**{**options, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("supervise")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ulterior.supervise.run.find_tasks", lambda names: (TASK,))
        load.calls = 0
        main(configured(folder))
    return folder


def results(folder) -> list[dict]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]


def test_the_table_has_every_strategy_at_every_round_and_the_references(finished):
    rows = [row for row in results(finished) if row["seed"] is None]
    curve = [row for row in rows if row["metric"] == AUROC and row["slice"] == "all"]
    assert {row["name"] for row in curve} == {
        "anomalous", "half", "least_confident", "random", "mahalanobis", "ceiling",
    }  # fmt: skip
    assert [row["labels"] for row in curve if row["name"] == "half"] == [0, 10, 20]
    assert all(row["low"] <= row["value"] <= row["high"] for row in curve)
    at = {(row["name"], row["labels"]): row["value"] for row in curve}
    assert at["anomalous", 0] == at["random", 0] == pytest.approx(at["mahalanobis", None])
    assert at["anomalous", 20] > at["mahalanobis", None] + 0.05
    found = {row["name"]: row["value"] for row in rows if row["metric"] == FOUND and row["labels"] == 20}
    assert found["anomalous"] > 2 * found["random"]
    alone = [row for row in rows if row["metric"].endswith("labels alone") and row["labels"] == 0]
    assert {row["value"] for row in alone} == {None}


def test_the_page_has_a_curve_for_each_slice_and_the_yield(finished):
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "AUROC by labels spent" in page
    assert page.count('<svg class="plot"') == 3
    for name in ("anomalous", "least_confident", "random", "ceiling", "labels alone"):
        assert name in page.replace("<wbr>", "")


def test_a_finished_run_started_again_only_prints_the_same(finished, capsys):
    before = results(finished)
    main(configured(finished))
    assert load.calls == 0
    captured = capsys.readouterr()
    assert "finished before" in captured.err
    assert "least_confident" in captured.out
    assert results(finished) == before


def test_other_budgets_read_nothing_again(finished, tmp_path):
    (tmp_path / "pools").symlink_to(finished / "pools")
    main(configured(tmp_path, budget=10, strategies=("random",)))
    assert load.calls == 0
    assert {row["labels"] for row in results(tmp_path)} == {None, 0, 10}


def test_another_model_in_the_same_place_is_read_anew(finished, tmp_path, monkeypatch):
    for name in ("pools", "cells"):
        (tmp_path / name).mkdir()
        for file in (finished / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())

    def retrained(seed: int) -> Subject:
        subject = counted_subject()
        with torch.no_grad():
            subject.model.get_parameter("first.weight").mul_(2.0)
        return subject

    def loaded(seed: int, size: str) -> TaskData:
        return replace(load(seed, size), subject=retrained(seed))

    other = replace(TASK, load=loaded, subject=retrained)
    monkeypatch.setattr("ulterior.supervise.run.find_tasks", lambda names: (other,))
    main(configured(tmp_path))
    assert load.calls == 1
    assert results(tmp_path) != results(finished)


def test_a_run_that_was_cut_off_ends_in_the_same_results(finished, tmp_path):
    (pool,), (cell,) = (sorted((finished / name).iterdir())[:1] for name in ("pools", "cells"))
    whole = tmp_path / "pools" / pool.name
    whole.parent.mkdir()
    whole.write_bytes(pool.read_bytes())
    half = tmp_path / "cells" / cell.name
    half.parent.mkdir()
    half.write_bytes(cell.read_bytes()[:500])
    main(configured(tmp_path))
    assert load.calls == 0
    assert results(tmp_path) == results(finished)
    assert half.read_bytes() == cell.read_bytes()


def test_points_shown_are_the_first_the_last_and_some_between():
    assert shown_points([0, 5]) == [5]
    assert shown_points([0, *range(20, 220, 20)]) == [20, 80, 140, 200]
    assert shown_points([0, 1, 2, 3], 2) == [1, 3]


def words(n: int, low: int, high: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        " ".join(f"w{word}" for word in rng.integers(low, high, size=rng.integers(5, 15))) for _ in range(n)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model folder, trusted rows of words w0..w9, untrusted and test rows of which the last use w60..w94."""
    folder = tmp_path_factory.mktemp("files")
    tiny("llama").save_pretrained(folder / "model")
    tokenizer(pad_token="<pad>", eos_token="</s>").save_pretrained(folder / "model")
    Examples.of(text=words(400, 0, 10, 0)).write_parquet(folder / "trusted.parquet")
    for name, seed in (("untrusted", 1), ("test", 5)):
        texts = [
            *words(79, 0, 10, seed),
            "<script>alert(1)</script> \x1b[31mred",
            *words(20, 60, 95, seed + 1),
        ]
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for row, text in enumerate(texts):
                line = {"text": text, "bad": row >= 80, "sensors": [True, row % 4 != 0]}
                file.write(json.dumps(line) + "\n")
    return folder


def arguments(place, out, *more) -> list[str]:
    files = ["--trusted", str(place / "trusted.parquet"), "--untrusted", str(place / "untrusted.jsonl")]
    common = ["--alpha", "0.05", "--budget", "12", "--per-round", "6", "--out", str(out)]
    return ["supervise", "--model", str(place / "model"), *files, *common, *more]


def test_ones_own_files_give_scores_a_monitor_that_scores_and_with_test_truth_the_curve(
    place, tmp_path, capsys
):
    more = ["--truth", "bad", "--test", str(place / "test.jsonl")]
    assert cli.main(arguments(place, tmp_path, *more)) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "labels alone" in said
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [line["row"] for line in scores] == list(range(100))
    assert sum(line["label"] is not None for line in scores) == 12
    monitor = Monitor.load(tmp_path / "monitor")
    assert monitor.decide == "supervised"
    score_main(Score(tmp_path / "monitor", str(place / "untrusted.jsonl")))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose([line["p"] for line in lines], [line["p"] for line in scores], atol=0.02)
    assert np.mean([line["flagged"] for line in lines[80:]]) > 0.8
    assert np.mean([line["flagged"] for line in lines[:79]]) < 0.2
    assert {row["name"] for row in results(tmp_path)} >= {"anomalous", "random", "mahalanobis", "ceiling"}
    assert "<script>alert(1)" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_person_labels_round_after_round_and_the_end_is_that_of_the_column(
    place, tmp_path, capsys, monkeypatch
):
    more = ["--labels-from", "person", "--truth", "bad", "--test", str(place / "test.jsonl")]
    person, column = tmp_path / "person", tmp_path / "column"
    opened = []
    monkeypatch.setattr(
        sources.SubjectOptions,
        "open",
        lambda self, real=sources.SubjectOptions.open: opened.append(1) or real(self),
    )
    truth = [json.loads(line)["bad"] for line in (place / "untrusted.jsonl").read_text().splitlines()]
    for _ in range(2):
        assert cli.main(arguments(place, person, *more)) == 0
        assert "to_label.jsonl" in capsys.readouterr().out
        questions = [json.loads(line) for line in (person / "to_label.jsonl").read_text().splitlines()]
        assert len(questions) == 6
        with (person / "labels.jsonl").open("a") as file:
            for question in questions:
                file.write(json.dumps({**question, "anomalous": truth[question["id"]]}) + "\n")
    assert cli.main(arguments(place, person, *more)) == 0
    assert "all 12 labels of the budget are there" in capsys.readouterr().out
    assert not (person / "to_label.jsonl").exists()
    assert len(opened) == 1  # the model ran once, for all rounds
    assert cli.main(arguments(place, column, *more[2:], "--strategies", "anomalous")) == 0
    assert (person / "scores.jsonl").read_text() == (column / "scores.jsonl").read_text()
    ours, theirs = results(person), results(column)
    assert ours == [row for row in theirs if row["name"] != "ceiling"]
    (person / "labels.jsonl").write_text('{"id": 3, "anomalous": "maybe"}\n')
    assert cli.main(arguments(place, person, *more)) == 2
    assert "line 1 of" in capsys.readouterr().err


def test_only_rows_whose_measurements_are_all_positive_are_examined(place, tmp_path):
    assert cli.main(arguments(place, tmp_path, "--labels-from", "person", "--measurements", "sensors")) == 2
    trusted = tmp_path / "trusted.parquet"
    Examples.of(text=words(400, 0, 10, 0), sensors=[[True, True]] * 400).write_parquet(trusted)
    more = ["--labels-from", "person", "--measurements", "sensors", "--trusted", str(trusted)]
    assert cli.main(arguments(place, tmp_path / "out", *more)) == 0
    rows = [json.loads(line)["row"] for line in (tmp_path / "out" / "scores.jsonl").read_text().splitlines()]
    assert rows == [row for row in range(100) if row % 4]
    assert not (tmp_path / "out" / "results.json").exists()  # nothing to evaluate on, no curve


def test_other_weights_in_the_same_folder_or_other_rows_in_the_same_file_are_read_anew(place, tmp_path):
    def key() -> str:
        options = sources.SubjectOptions(str(tmp_path / "model"))
        rows = str(tmp_path / "rows.jsonl")
        return sources.hashed(
            sources.Files(options, rows, rows, None, None, None, False, "resid.*", "final", "last", "x").key()
        )

    (tmp_path / "model").mkdir()
    weights = tmp_path / "model" / "model.safetensors"
    (tmp_path / "rows.jsonl").write_text("{}")
    weights.write_bytes(b"first")
    before = key()
    assert key() == before
    weights.write_bytes(b"second")
    after = key()
    assert after != before
    (tmp_path / "rows.jsonl").write_text("{ }")
    assert key() != after


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--budget", "0"], "buys nothing"),
        (["--strategies", "random", "random"], "named twice"),
        (["diamonds"], "either the name of a task"),
        (["--seeds", "3"], "--seeds 3"),
        (["--test", "TEST"], "--truth"),
        ([], "--truth"),
        (["--truth", "text"], "text"),
        (["--truth", "nothing"], "no column 'nothing'"),
        (["--labels-from", "person", "--strategies", "random", "half"], "one strategy"),
        (["--labels-from", "person", "--start", "nobody"], "nobody"),
        (["--labels-from", "person", "--probe-sites", "nowhere"], "nowhere"),
        (["--labels-from", "person", "--alpha", "0.001"], "0.001"),
        (["--labels-from", "person", "--at", "all"], "one a token"),
        (["--labels-from", "person", "--measurements", "text"], "measurements|text"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(place, tmp_path, capsys, more, message):
    more = [str(place / "test.jsonl") if word == "TEST" else word for word in more]
    assert cli.main(arguments(place, tmp_path, *more)) == 2
    said = capsys.readouterr().err.strip().split("\n")[-1]
    assert said.startswith("ulterior: ")
    import re

    assert re.search(message, said)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "either the name of a task"),
        (["planted", "--seeds", "0"], "0 seeds"),
        (["planted", "--labels-from", "person"], "a task brings its own"),
        (["planted", "--truth", "anomalous"], "a task brings its own"),
        (["planted", "--start", "nobody"], "no detector 'nobody'"),
    ],
)
def test_tasks_take_no_files_and_known_detectors(tmp_path, capsys, more, message):
    assert cli.main(["supervise", *more, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_task_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ulterior.supervise.run.find_tasks", registry.find_tasks)
    assert cli.main(["supervise", "emeralds", "--out", str(tmp_path)]) == 2
    assert "no task 'emeralds'" in capsys.readouterr().err
