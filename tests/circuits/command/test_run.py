"""`ulterior circuit` on a tiny model in a folder."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.circuits.command.saved import FINDERS, LeaveOneOut, save_model, save_pairs
from ulterior import cli
from ulterior.circuits.command.page import circuit_report
from ulterior.circuits.command.run import Circuit, asked_size, main, run, smallest_faithful
from ulterior.circuits.command.store import Kept
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.judging import Thoroughness
from ulterior.circuits.judging.curves import SizeCurve
from ulterior.circuits.mask import load_mask
from ulterior.circuits.pairs import load_pairs
from ulterior.errors import InputError
from ulterior.metrics import Estimate
from ulterior.subject import Subject

SMALL = Thoroughness(subsets=2, steps=1, candidates=2, units=3, paths=3, randoms=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("circuit")
    save_pairs(folder / "pairs.jsonl", save_model(folder / "model"))
    return folder


@pytest.fixture(autouse=True)
def finders(monkeypatch):
    monkeypatch.setattr("ulterior.circuits.command.run.finders", lambda: FINDERS)


def config(folder, out, **changes) -> Circuit:
    given = Circuit(
        folder / "pairs.jsonl",
        out,
        model=str(folder / "model"),
        method="leave_one_out",
        units="nodes",
        size=4.0,
        again=2,
        judging=SMALL,
    )
    return replace(given, **changes)


@pytest.mark.slow
def test_a_run_writes_the_circuit_its_scores_the_evaluation_and_the_page_and_goes_on_from_them(
    folder, tmp_path, capsys
):
    first = main(config(folder, tmp_path))
    assert "4 of 11 nodes" in capsys.readouterr().out
    mask = load_mask(tmp_path)
    assert mask.kept == first.mask.kept
    assert len(mask) == 4
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [one["unit"] for one in scores if one["kept"]] == [one["unit"] for one in scores[:4]]
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    assert evaluation["kept"] == 4
    assert len(evaluation["held_out_rows"]) == evaluation["pairs"] == 6
    assert evaluation["outcome"]["faithfulness"]["overall"]["value"] == pytest.approx(
        first.evaluation.outcome.faithfulness.overall.value
    )
    assert len(evaluation["stability"]["jaccard"]) == 1
    page = (tmp_path / "report.html").read_text()
    assert "://" not in page.replace("http://www.w3.org", "")
    for part in ("faithfulness", "by magnitude", "completeness", "head.", "<svg", "Holm", "Found again"):
        assert part in page

    def never(*_):
        raise AssertionError("found again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FINDERS["leave_one_out"], "__call__", never)
        again = main(config(folder, tmp_path))
        assert again.mask.kept == first.mask.kept
        assert json.loads((tmp_path / "evaluation.json").read_text()) == evaluation
        with pytest.raises(AssertionError, match="found again"):
            main(config(folder, tmp_path, seed=1))


def test_held_out_rows_are_those_that_the_circuit_was_not_found_on_and_the_least_of_a_judgement_is_one(
    folder, tmp_path
):
    least = Thoroughness(subsets=0, steps=0, units=0, paths=0, randoms=1)
    given = config(folder, tmp_path, held_out=0.25, again=0, judging=least)
    subject = Subject.from_pretrained(str(folder / "model"))
    found = run(given, LeaveOneOut(), subject, load_pairs(subject, given.pairs), Kept(tmp_path, {}))
    assert len(found.rows) == 3
    assert found.stability is None
    assert found.evaluation.minimality.effects == ()
    assert circuit_report(found, given, found.held).sections
    texts = [json.loads(line)["clean"] for line in (folder / "pairs.jsonl").read_text().splitlines()]
    assert [texts[row] for row in found.rows] == [pair[0] for pair in found.held.texts]


@pytest.mark.slow
@pytest.mark.parametrize(("units", "method"), [("edges", "drawn"), ("neurons", "drawn")])
def test_a_method_that_returns_a_mask_has_no_curve_of_its_own(folder, tmp_path, units, method):
    found = main(config(folder, tmp_path, units=units, method=method, metric="kl", ablation="mean"))
    assert [curve.name for curve in found.evaluation.curves] == ["random", "magnitude"]
    assert "no order" in (tmp_path / "report.html").read_text()
    assert load_file(tmp_path / "mask.safetensors")["values"].sum() == 12


def test_without_a_size_the_smallest_faithful_one_is_taken():
    def curve(*values):
        figures = tuple(Estimate(value, None, None, 9) for value in values)
        none = Estimate(None, None, None, 9)
        return SizeCurve("x", (0.1, 0.5, 1.0), (1, 5, 10), figures, figures, (), none, none, none)

    assert smallest_faithful(curve(0.2, 0.93, 1.0))[0] == 5
    assert smallest_faithful(curve(3.0, 0.2, 1.0))[0] == 10
    with pytest.raises(InputError, match="no behaviour"):
        smallest_faithful(curve(None, None, None))


def test_a_size_is_a_share_or_a_number():
    graph = Graph(2, 2, 1, 3)
    assert asked_size(0.5, graph, Units("nodes"))[0] == 4
    assert asked_size(3.0, graph, Units("nodes"))[0] == 3
    assert asked_size(0.001, graph, Units("nodes"))[0] == 1
    for wrong in (8.0, 1.5, np.nan):
        with pytest.raises(InputError, match="7 nodes"):
            asked_size(wrong, graph, Units("nodes"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "guess"], "no method 'guess'; there are: drawn, leave_one_out"),
        (["--held-out", "1.5"], "--held-out is 1.5"),
        (["--again", "1"], "--again is 1"),
        (["--size", "-1"], "--size is -1"),
        (["--pairs", "nowhere.jsonl"], "no file 'nowhere.jsonl'"),
        (["--size", "400"], "give a share between 0 and 1, or a whole number of the model's 11 nodes"),
        (["--model", "no/such/model"], "no model 'no/such/model'"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line_and_exit_code_2(folder, tmp_path, arguments, message, capsys):
    given = {
        "--pairs": str(folder / "pairs.jsonl"),
        "--model": str(folder / "model"),
        "--out": str(tmp_path),
        "--method": "leave_one_out",
        "--units": "nodes",
    }
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert cli.main(["circuit", *(word for option in given.items() for word in option)]) == 2
    assert message in capsys.readouterr().err


def test_pairs_of_unequal_length_are_named(folder, tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text(
        '{"clean": "w1 w2", "corrupted": "w1 w3"}\n{"clean": "w1 w2", "corrupted": "w1"}\n'
    )
    command = ["circuit", "--pairs", str(tmp_path / "bad.jsonl"), "--model", str(folder / "model")]
    assert cli.main([*command, "--out", str(tmp_path / "out"), "--method", "drawn"]) == 2
    assert "row 1 (counted from 0): the clean example has 2 tokens" in capsys.readouterr().err
