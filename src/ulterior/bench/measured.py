"""How well the network behind a detector measures: what a method does to it should not make it a worse predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ulterior.examples import Examples
from ulterior.features.feature import Run, Values
from ulterior.features.reading import read
from ulterior.measurement.data import checked_measurements
from ulterior.measurement.evaluate import Outputs, measurement_metrics
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.measurement.two_heads import TwoHeaded
from ulterior.subject import Subject

__all__ = ["ALL", "MEASUREMENTS", "SENSORS", "measurement_aurocs"]

SENSORS, ALL = "sensor_auroc", "all_auroc"
MEASUREMENTS = (SENSORS, ALL)


@dataclass(frozen=True)
class _Said:
    """What a predictor says of an example: the sensors' log-odds, and last the aggregate's."""

    runs_model: bool = True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        sensors, aggregate = run.output.sensor_logits, run.output.aggregate_logits
        return {"said": torch.cat([sensors, aggregate[:, None]], dim=1).float()}


def measurement_aurocs(subject: Subject, rows: Examples) -> dict[str, dict[str, Any]]:
    """``sensor_auroc`` and ``all_auroc`` of a subject on rows that it was not trained on, as estimates.

    See ``ulterior.measurement.evaluate.measurement_metrics``. Of a network with two heads for "all measurements
    positive" it is the first that is judged.

    Args:
        subject: One whose model is no predictor of measurements has no such figures: an empty mapping.
        rows: With measurements of any kind.
    """
    network = subject.model.first if isinstance(subject.model, TwoHeaded) else subject.model
    if not isinstance(network, MeasurementPredictor):
        return {}
    measured = checked_measurements(rows)
    outputs = _outputs(replace(subject, model=network), rows, [len(row) for row in measured])
    figures = measurement_metrics(outputs, measured)
    return {name: figures[name] for name in MEASUREMENTS}


def _outputs(subject: Subject, rows: Examples, sensors: Sequence[int]) -> Outputs:
    present = np.arange(max(sensors)) < np.array(sensors)[:, None]
    logits, aggregate = np.full(present.shape, np.nan, np.float32), np.zeros(len(rows), np.float32)
    feature = _Said()
    for numbers, reading in read(subject, rows, [feature]):
        said = reading[feature]["said"]
        assert isinstance(said, torch.Tensor)
        # A batch is as wide as its example with the most sensors.
        logits[numbers, : said.shape[1] - 1] = said[:, :-1].numpy()
        aggregate[numbers] = said[:, -1].numpy()
    return Outputs(
        np.where(present, logits, np.nan), present, aggregate, np.zeros((len(rows), 0), np.float32)
    )
