"""What a detector costs in passes through the network, for each example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ulterior.detectors.detector import Detector
from ulterior.examples import Examples
from ulterior.features.feature import Feature, NeedsGradients, Run, RunsMore, Values
from ulterior.features.gradients import Output
from ulterior.features.reading import read
from ulterior.measurement.methods import Cost
from ulterior.subject import Subject

__all__ = ["FORWARD", "NOTHING", "reading_costs"]

NOTHING, FORWARD = Cost(0.0), Cost(1.0)


def reading_costs(
    detectors: Iterable[Detector], subject: Subject, examples: Examples, forward: Cost = FORWARD
) -> dict[str, Cost]:
    """What it costs to read one example, by detector; what several read in one pass counts for each of them.

    Args:
        detectors: Of one panel, whose features are ready to be read.
        subject: What they read.
        examples: Of these the first tells how wide an output is, where its gradients are asked for: each column is a
            backward pass.
        forward: What one run of the subject is in passes.
    """
    detectors = list(detectors)
    graded = [one.feature for one in detectors if isinstance(one.feature, NeedsGradients)]
    widths: dict[Output, int] = {}
    if graded:
        outputs = tuple(dict.fromkeys(output for feature in graded for output in feature.gradient_of))
        asked = _Widths(outputs, tuple(graded))
        ((_, reading),) = read(subject, examples.take([0]), [asked])
        found = reading[asked]["widths"]
        assert isinstance(found, torch.Tensor)
        widths = dict(zip(outputs, map(int, found[0].tolist()), strict=True))

    own = {
        name for one in detectors if isinstance(one.feature, RunsMore) for name in one.feature.own_backward_of
    }
    if own:
        asked = _Columns(tuple(sorted(own)))
        ((_, reading),) = read(subject, examples.take([0]), [asked])
        widths |= {
            name: values.shape[1]
            for name, values in reading[asked].items()
            if isinstance(values, torch.Tensor)
        }

    def cost(feature: Feature) -> Cost:
        outputs = feature.gradient_of if isinstance(feature, NeedsGradients) else ()
        more, again = (
            (feature.own_backward_of, feature.own_forwards) if isinstance(feature, RunsMore) else ((), 0)
        )
        backward = sum(widths[output] for output in (*outputs, *more))
        return Cost((1 + again) * forward.forward, forward.backward + backward)

    return {
        detector.name: cost(detector.feature) if detector.feature.runs_model else NOTHING
        for detector in detectors
    }


@dataclass(frozen=True)
class _Columns:
    """Some readouts themselves."""

    outputs: tuple[str, ...]
    runs_model: bool = True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        return {
            name: run.subject.readouts[name](run.output, run.batch).reshape(len(run.batch), -1).float()
            for name in self.outputs
        }


@dataclass(frozen=True)
class _Widths:
    """How many columns each output has of which gradients are taken."""

    outputs: tuple[Output, ...]
    features: tuple[Feature, ...]

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[Output, ...]:
        return self.outputs

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return tuple(dict.fromkeys(site for feature in self.features for site in feature.sites(subject)))

    def read(self, run: Run) -> dict[str, Values]:
        assert run.gradients is not None
        widths = [float(run.gradients.width(output)) for output in self.outputs]
        return {"widths": torch.tensor([widths] * len(run.batch))}
