"""The examples of CONTRIBUTING.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.subjects import counted_subject, points
from ulterior.bench.cells import CellKey
from ulterior.bench.running import run_cell
from ulterior.detectors.catalogue import anomaly_panel
from ulterior.panel import PanelSettings, fit_panel

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(heading: str) -> dict:
    """Names that the Python block below a heading defines."""
    block = re.search(rf"## {heading}\n.*?```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert block, heading
    names: dict = {"__name__": f"contributing_{heading.split()[-1]}"}
    import sys
    import types

    # Dataclasses look their module up.
    module = types.ModuleType(names["__name__"])
    sys.modules[names["__name__"]] = module
    exec(compile(block.group(1), heading, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def test_the_detector_of_the_guide_is_fitted_and_finds_a_planted_shift():
    detector = example("Add a detector")["distance"]("first")
    panel = fit_panel([detector], counted_subject(), points(300, 0))
    far = panel.score(counted_subject(), points(50, 1, shift=20.0))["distance"]
    near = panel.score(counted_subject(), points(50, 2))["distance"]
    assert far.fused.mean() > near.fused.mean()


def test_the_feature_of_the_guide_reads_what_it_says():
    transformers = pytest.importorskip("transformers")
    import torch

    from ulterior.capture import capture
    from ulterior.features.feature import Run
    from ulterior.subject import Batch, Subject

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.randint(0, 50, (3, 7))
    batch = Batch({"input_ids": ids}, torch.ones_like(ids, dtype=torch.bool), {"last": torch.full((3, 1), 6)})
    subject = Subject("llama", model, lambda _: [], lambda _: batch, {"behaviour": lambda output, _: output})
    feature = example("Add a feature")["Norms"]()
    with capture(model, feature.sites(subject)) as captured, torch.no_grad():
        output = model(**batch.inputs, output_hidden_states=True)
        values = feature.read(Run(points(3, 0), batch, captured, output, subject))
    assert list(values) == ["norm.resid.0", "norm.resid.1"]
    np.testing.assert_allclose(
        values["norm.resid.0"][:, 0], output.hidden_states[1][:, -1].norm(dim=-1), rtol=1e-6
    )


def test_the_task_of_the_guide_runs_in_the_bench():
    task = example("Add a task")["TASK"]
    panel = anomaly_panel(task.sites, task.at, columns=task.columns)
    key = CellKey(task.name, "smoke", 0, tuple(map(repr, panel)), 0.3)
    cell = run_cell(task, task.load(0, "smoke"), panel, key, PanelSettings())
    assert set(cell.scores) == {detector.name for detector in panel}
    rows, labels = cell.slice("shifted")
    assert len(rows) == 180
    assert labels.sum() == 60
