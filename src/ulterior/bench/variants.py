"""Methods that need another subject than the task's own: a network trained further, or one that is asked twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ulterior.bench.reweighted import reweighted_variants
from ulterior.bench.variant import Built, Variant
from ulterior.detectors.catalogue import untrusted_baseline
from ulterior.detectors.detector import Detector
from ulterior.detectors.tampering import contrast_panel
from ulterior.errors import InputError
from ulterior.features.outputs import outputs
from ulterior.measurement.contrast import FINAL, contrast_subject
from ulterior.measurement.folder import load_predictor
from ulterior.measurement.methods import METHODS, Cost, Method, method_subject, train_method
from ulterior.scores.choice import ChosenHead
from ulterior.tasks.task import Task, TaskData

__all__ = ["AskTwice", "TrainFurther", "tampering_variants", "task_variants"]

TRAINED = "network training"


@dataclass(frozen=True)
class TrainFurther:
    """Train the task's predictor further by one of the methods, or find it trained in the folder.

    ``truth``: column of the true outcome, which ceilings read.
    """

    method: Method
    truth: str = "is_correct"

    def __call__(self, data: TaskData, folder: Path, seed: int) -> Built:
        """The trained network.

        Raises:
            InputError: the task hands over no predictor, or no untrusted examples.
        """
        if data.predictor is None or data.untrusted is None:
            raise InputError(
                "the task has no measurement predictor with untrusted examples to train further on"
            )
        trained = train_method(
            self.method,
            data.predictor,
            data.trusted,
            data.untrusted,
            folder,
            seed=seed,
            base=data.base,
            truth=self.truth,
        )
        return Built(method_subject(trained), trained.cost)


@dataclass(frozen=True)
class AskTwice:
    """Ask the task's predictor twice, with either of the task's statements; ``site``: where states are read."""

    site: str = FINAL

    def __call__(self, data: TaskData, folder: Path, seed: int) -> Built:
        """The predictor over pairs.

        Raises:
            InputError: the task hands over no predictor or no statements.
        """
        if data.predictor is None or data.contrast is None:
            raise InputError("the task has no measurement predictor with two statements to contrast")
        predictor, tokenizer, description = load_predictor(data.predictor)
        subject = contrast_subject(
            predictor, tokenizer, data.contrast, description=description, site=self.site, name="asked twice"
        )
        return Built(subject, reading=Cost(2.0), measures=data.subject)


def tampering_variants(columns: Mapping[str, str]) -> tuple[Variant, ...]:
    """Every method that trains the network, and contrast pairs; ``columns`` names text, outcome and truth."""
    trained = tuple(
        Variant(
            method.name,
            method.about,
            TrainFurther(method, columns["outcome"]),
            _two_heads(method, columns["truth"]) if method.kind == "apart" else (_believed(method),),
        )
        for method in METHODS.values()
    )
    about = "the predictor reads each text with a good and with a bad end"
    return (*trained, Variant("contrast", about, AskTwice(), contrast_panel(columns)))


def task_variants(task: Task, size: str) -> tuple[Variant, ...]:
    """The variants that a task has: those of other weights, and of a predictor of measurements those that train it."""
    tampering = task.kind == "tampering"
    others = reweighted_variants(task.sites, tampering=tampering, brief=size == "smoke")
    return (*(tampering_variants(task.columns) if tampering else ()), *others)


def _believed(method: Method) -> Detector:
    """What the trained network says, taken at its word."""
    role = "ceiling" if method.truth else "method"
    return replace(untrusted_baseline(), name=method.name, about=method.about, family=TRAINED, role=role)


def _two_heads(method: Method, truth: str) -> tuple[Detector, ...]:
    feature = outputs("heads")
    oracle = f"the heads of {method.name}, the truth chooses"
    return (
        Detector(method.name, feature, ChosenHead(), TRAINED, method.about),
        Detector(
            f"{method.name}_oracle", feature, ChosenHead("oracle", truth), TRAINED, oracle, role="oracle"
        ),
    )
