from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ulterior.bench.circuit_page import method_rows
from ulterior.bench.circuits import BenchCircuits, CircuitCell, main, method, method_names, run_cell
from ulterior.circuits.truth.catalogue import truths
from ulterior.errors import InputError
from ulterior.metrics import Estimate

SKIP = next(one for one in truths() if one.name == "skip")


@pytest.mark.parametrize("name", ["eap", "activation_patching"])
def test_exact_methods_find_a_circuit_of_one_head_and_it_is_faithful_and_complete(name):
    cell = run_cell(SKIP, name, 0, n=12)
    assert cell.auroc is not None
    assert cell.auroc.value == 1.0
    assert cell.precision == 1.0
    assert set(cell.kept) == SKIP.edges
    assert cell.faithfulness is not None
    assert cell.faithfulness.value == pytest.approx(1.0, abs=1e-4)
    assert cell.complement is not None
    assert cell.complement.value == pytest.approx(0.0, abs=1e-4)


def test_a_control_does_not_find_it():
    found = [run_cell(SKIP, "random", seed, n=4).auroc for seed in range(6)]
    assert 0.2 < np.mean([one.value for one in found if one is not None]) < 0.8


def test_a_method_that_does_not_run_on_a_model_says_why():
    cell = run_cell(SKIP, "relp", 0, n=4)
    assert cell.auroc is None or not cell.refused
    assert bool(cell.refused) == (cell.auroc is None)


def test_the_command_builds_a_truth_once_writes_its_folder_and_goes_on_where_it_stopped(
    tmp_path, capsys, monkeypatch
):
    built = []

    def build():
        built.append(1)
        return SKIP.build()

    monkeypatch.setattr("ulterior.bench.circuits.truths", lambda: (replace(SKIP, build=build),))
    config = BenchCircuits(("skip",), ("eap", "random"), seeds=2, pairs=8, out=tmp_path, progress=False)
    first = main(config)
    assert len(first) == 4
    assert "eap" in capsys.readouterr().out
    written = json.loads((tmp_path / "results.json").read_text())
    assert len(written["cells"]) == 4
    assert (
        "<svg" in (tmp_path / "report.html").read_text() or "heat" in (tmp_path / "report.html").read_text()
    )
    again = main(config)
    # Seconds are measured, so that equal ones were read again.
    assert [one.seconds for one in again] == [one.seconds for one in first]
    assert len(built) == 1


def test_rows_take_the_median_of_circuits_and_compare_seeds():
    def cell(truth: str, seed: int, value: float, kept: tuple[str, ...]) -> CircuitCell:
        one = Estimate(value, value, value, 9)
        return CircuitCell(truth, "compiled", "eap", seed, one, 1.0, one, one, one, kept, 1.0)

    cells = [
        cell("a", 0, 0.5, ("x", "y")),
        cell("a", 1, 0.7, ("x", "z")),
        cell("b", 0, 1.0, ("x",)),
        cell("b", 1, 1.0, ("x",)),
        cell("c", 0, 0.9, ("x",)),
        cell("c", 1, 0.9, ("x",)),
    ]
    (row,) = method_rows(cells)
    assert row.auroc.value == pytest.approx(0.9)
    assert row.least == pytest.approx(0.6)
    assert row.stability == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert row.truths == 3


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="no method 'magic'"):
        method("magic")
    with pytest.raises(InputError, match="no known circuit 'magic'"):
        main(BenchCircuits(("magic",), out=tmp_path))
    assert "path_patching" not in method_names()
