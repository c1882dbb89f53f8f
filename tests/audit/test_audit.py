"""An audit end to end, on a tiny language model in a folder and files of text."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.families import tiny, tokenizer
from ulterior import cli
from ulterior.audit.monitor import Monitor
from ulterior.audit.score import Score
from ulterior.audit.score import main as score_main
from ulterior.errors import InputError
from ulterior.examples import Examples, load_examples

NASTY = '<script>alert(1)</script> {{ 7 * 7 }} "quoted" \x1b[31mred'


def words(n: int, low: int, high: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        " ".join(f"w{word}" for word in rng.integers(low, high, size=rng.integers(5, 15))) for _ in range(n)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model folder, trusted rows of words w0..w9, untrusted rows of which the last 20 use w60..w94."""
    folder = tmp_path_factory.mktemp("audit")
    tiny("llama").save_pretrained(folder / "model")
    tokenizer(pad_token="<pad>", eos_token="</s>").save_pretrained(folder / "model")
    Examples.of(text=words(400, 0, 10, 0)).write_parquet(folder / "trusted.parquet")
    untrusted = [*words(79, 0, 10, 1), NASTY, *words(20, 60, 95, 2)]
    with (folder / "untrusted.jsonl").open("w", encoding="utf-8") as file:
        for row, text in enumerate(untrusted):
            file.write(json.dumps({"text": text, "label": int(row >= 79)}) + "\n")
    return folder


@pytest.fixture(scope="module")
def audited(place):
    arguments = ["audit", "--model", str(place / "model"), "--trusted", str(place / "trusted.parquet")]
    arguments += ["--untrusted", str(place / "untrusted.jsonl"), "--alpha", "0.05", "--label", "label"]
    assert cli.main([*arguments, "--out", str(place / "out")]) == 0
    return place / "out"


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_planted_anomalies_are_flagged_and_usual_rows_are_not(audited):
    lines = lines_of(audited / "scores.jsonl")
    assert [line["row"] for line in lines] == list(range(100))
    flagged = np.array([line["flagged"] for line in lines])
    assert flagged[80:].mean() > 0.8
    assert flagged[:79].mean() < 0.2
    assert set(lines[0]["detectors"]) >= {"mahalanobis", "quantum_entropy", "confidence", "surface"}
    assert len(lines[99]["sites"]) == 2
    assert all(site.startswith("resid.") for site in lines[99]["sites"])


def test_a_detector_that_was_fitted_on_what_it_judges_says_so(place, tmp_path, capsys):
    arguments = [
        "--model",
        str(place / "model"),
        "--trusted",
        str(place / "trusted.parquet"),
        "--alpha",
        "0.05",
    ]
    arguments += ["--untrusted", str(place / "untrusted.jsonl"), "--out", str(tmp_path / "out")]
    assert cli.main(["audit", *arguments, "--decide", "quantum_entropy"]) == 0
    assert (
        "note: quantum_entropy was fitted on the untrusted examples that it judges here"
        in capsys.readouterr().out
    )


def test_further_detectors_are_named_kept_in_the_monitor_and_score_in_a_fresh_process(place, tmp_path):
    names = ["mahalanobis", "lof", "ted", "layer_consistency", "mean_attribution", "likelihood_ratio"]
    model, untrusted = str(place / "model"), place / "untrusted.jsonl"
    arguments = ["audit", "--model", model, "--trusted", str(place / "trusted.parquet"), "--alpha", "0.05"]
    arguments += ["--untrusted", str(untrusted), "--cross-fit", "True", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--detectors", *names]) == 0
    asked = untrusted.read_text(encoding="utf-8").splitlines()[-3:]
    command = [sys.executable, "-m", "ulterior", "score", "--monitor", str(tmp_path / "out" / "monitor")]
    done = subprocess.run(command, input="\n".join(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in map(json.loads, done.stdout.splitlines()):
        assert set(line["detectors"]) == set(names)
        assert line["detectors"]["mahalanobis"] <= 0.05


def test_the_report_escapes_what_people_write(audited):
    page = (audited / "report.html").read_text(encoding="utf-8")
    assert "alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "\x1b" not in page


def test_a_reloaded_monitor_scores_the_same_bit_for_bit(audited, place):
    monitor = Monitor.load(audited / "monitor")
    subject = monitor.open_subject()
    assert monitor.options.dtype == "float32", (
        "what `auto` was resolved to, for machines that resolve it otherwise"
    )
    untrusted = load_examples(place / "untrusted.jsonl")
    scores = monitor.score(subject, untrusted)
    for row, line in enumerate(lines_of(audited / "scores.jsonl")):
        for name, p in line["detectors"].items():
            assert scores[name].p[row] == p
        # Other neighbours in the batch: the last digits of float32 differ.
        assert scores["mahalanobis"].fused[row] == pytest.approx(line["score"], rel=1e-3)
    saved_again = audited / "again"
    monitor.save(saved_again)
    again = Monitor.load(saved_again).score(subject, untrusted)
    for name in scores:
        np.testing.assert_array_equal(scores[name].fused, again[name].fused)


@pytest.mark.parametrize("batch", [None, 7])
def test_score_answers_every_line_in_order_from_standard_input(audited, place, batch, capsys, monkeypatch):
    lines = (place / "untrusted.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[70:]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(lines)))
    score_main(Score(audited / "monitor", "-", batch=batch))
    scored = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"] for line in scored] == list(range(30))
    expected = lines_of(audited / "scores.jsonl")[70:]
    assert [line["flagged"] for line in scored] == [line["flagged"] for line in expected]
    assert [line["p"] for line in scored] == [line["p"] for line in expected]


def test_score_reads_parquet_too(audited, place, capsys):
    assert (
        cli.main(["score", "--monitor", str(audited / "monitor"), "--input", str(place / "trusted.parquet")])
        == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 400


def test_score_works_in_a_process_that_did_nothing_else(audited):
    command = [sys.executable, "-m", "ulterior", "score", "--monitor", str(audited / "monitor")]
    lines = '{"text": "w1 w2 w3"}\n{"text": "w70 w71 w72 w73"}\n'
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["row"] for line in done.stdout.splitlines()] == [0, 1]


def test_score_answers_the_good_lines_before_it_names_a_bad_one(audited, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.stdin", io.StringIO('{"text": "w1 w2"}\n{"text": "w3"}\nnot json\n{"text": "w4"}\n')
    )
    assert cli.main(["score", "--monitor", str(audited / "monitor"), "--batch", "8"]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert "line 3 of standard input is not JSON" in printed.err


def test_score_answers_the_good_rows_of_a_batch_before_it_names_one_that_is_too_long(
    audited, capsys, monkeypatch
):
    long = " ".join(["w1"] * 70)
    monkeypatch.setattr("sys.stdin", io.StringIO(f'{{"text": "w1 w2"}}\n{{"text": "{long}"}}\n'))
    assert cli.main(["score", "--monitor", str(audited / "monitor"), "--batch", "8"]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert "row 1 (counted from 0)" in printed.err
    assert "70 tokens" in printed.err


def test_a_monitor_refuses_another_model(audited, place, capsys):
    other = tiny("llama")
    import copy

    changed = copy.deepcopy(other)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.mul_(1.01)
    changed.save_pretrained(place / "changed")
    tokenizer(pad_token="<pad>", eos_token="</s>").save_pretrained(place / "changed")
    arguments = ["score", "--monitor", str(audited / "monitor"), "--input", str(place / "untrusted.jsonl")]
    assert cli.main([*arguments, "--model", str(place / "changed")]) == 2
    assert "this monitor was fitted on another model" in capsys.readouterr().err


def test_a_half_written_or_damaged_monitor_is_named(audited, tmp_path):
    with pytest.raises(InputError, match="no monitor in"):
        Monitor.load(tmp_path)
    Monitor.load(audited / "monitor").save(tmp_path / "m")
    (tmp_path / "m" / "monitor.json").rename(tmp_path / "kept.json")
    with pytest.raises(InputError, match="half-written"):
        Monitor.load(tmp_path / "m")
    (tmp_path / "kept.json").rename(tmp_path / "m" / "monitor.json")
    tensors = tmp_path / "m" / "monitor.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:200])
    with pytest.raises(InputError, match="is damaged"):
        Monitor.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--column", "body"], "no column 'body' in"),
        (["--label", "lable"], "did you mean 'label'"),
        (["--label", "text"], "must hold 0 (usual) and 1 (anomalous) alone"),
        (["--sites", "reside.*"], "reside.*"),
        (["--alpha", "0.001"], "a false-alarm rate of 0.001 needs 1499 held-out trusted examples"),
        (["--alpha", "2"], "expected a false-alarm rate between 0 and 1"),
        (["--decide", "surfase"], "--decide surfase is not among the detectors"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--trusted", "absent.csv"], "no file 'absent.csv'"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(place, tmp_path, capsys, change, message):
    given = {
        "--model": str(place / "model"),
        "--trusted": str(place / "trusted.parquet"),
        "--untrusted": str(place / "untrusted.jsonl"),
        "--out": str(tmp_path / "out"),
        change[0]: change[1],
    }
    assert cli.main(["audit", *(word for pair in given.items() for word in pair)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("ulterior: ")
    assert message in error


def test_an_unwritable_folder_fails_before_the_work(place, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    arguments = ["--model", str(place / "model"), "--trusted", str(place / "trusted.parquet")]
    arguments += ["--untrusted", str(place / "untrusted.jsonl"), "--out", str(blocked / "out")]
    assert cli.main(["audit", *arguments]) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_exit_code_2(place, tmp_path):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    arguments = [
        "--model",
        str(place / "model"),
        "--trusted",
        str(place / "trusted.parquet"),
        "--alpha",
        "0.05",
    ]
    arguments += ["--untrusted", str(place / "untrusted.jsonl"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "ulterior", "audit", *arguments],
        capture_output=True,
        text=True,
        preexec_fn=little_room,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "ulterior: cannot" in done.stderr.strip().splitlines()[-1]


def test_labels_of_one_class_leave_the_metric_undefined(place, tmp_path):
    same = [{"text": text, "label": 0} for text in words(30, 0, 10, 5)]
    path = tmp_path / "same.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in same))
    arguments = [
        "--model",
        str(place / "model"),
        "--trusted",
        str(place / "trusted.parquet"),
        "--alpha",
        "0.05",
    ]
    arguments += ["--untrusted", str(path), "--label", "label", "--out", str(tmp_path / "out")]
    assert cli.main(["audit", *arguments]) == 0
    assert "undefined" in (tmp_path / "out" / "report.html").read_text()


def test_chats_are_audited_through_the_template_and_shown_as_turns(place, tmp_path, capsys):
    words_only = tokenizer(pad_token="<pad>", eos_token="</s>")
    words_only.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    tiny("llama").save_pretrained(tmp_path / "model")
    words_only.save_pretrained(tmp_path / "model")

    def write(name, texts):
        chats = [
            [{"role": "system", "content": "w1 w2"}, {"role": "user", "content": text}] for text in texts
        ]
        (tmp_path / name).write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
        return str(tmp_path / name)

    arguments = ["audit", "--model", str(tmp_path / "model"), "--column", "messages", "--alpha", "0.05"]
    arguments += ["--trusted", write("trusted.jsonl", words(400, 0, 10, 0))]
    arguments += ["--untrusted", write("new.jsonl", [*words(20, 0, 10, 1), *words(5, 60, 95, 2)])]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "role" not in printed
    assert words(5, 60, 95, 2)[0][:20] in printed
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "system" in page
    scored = lines_of(tmp_path / "out" / "scores.jsonl")
    assert sum(line["flagged"] for line in scored[20:]) >= 4
