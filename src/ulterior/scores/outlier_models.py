"""Any detector of PyOD, as long as a row's score does not depend on the rows beside it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.score import Columns, moments_in, rows_of, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["FittedPyOD", "PyOD"]

_RANKS = "its tails are counted among trusted rows and the batch together"
_BATCH = "it compares the rows of a batch with one another"
# Known to let a row's score depend on the batch, and how; all others are tried.
_DEPENDS = {
    **dict.fromkeys(("ecod.ECOD", "copod.COPOD"), _RANKS),
    **dict.fromkeys(("sos.SOS", "cof.COF", "loci.LOCI", "lmdd.LMDD", "sod.SOD", "rgraph.RGraph"), _BATCH),
}
_PATH = re.compile(r"[a-z_][a-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
_TRIED = 16


@saved
@dataclass(frozen=True, init=False)
class PyOD:
    """The score of a detector of the library PyOD, fitted to standardised trusted rows.

    ``PyOD("knn.KNN", n_neighbors=3)``: module and class below ``pyod.models``, and what the class is to be given. The
    stored rows are kept, and the detector is fitted to them once more when a saved one first scores, under the same
    ``seed``: PyOD's own objects can only be pickled.

    A model whose score of a row changes with the rows beside it is refused: the known ones by name (ECOD and COPOD rank
    a row among its batch), any other where a few rows score otherwise alone than together.
    """

    model: str
    parameters: tuple[tuple[str, Any], ...]
    seed: int
    bound: int
    reference: str

    def __init__(
        self,
        model: str,
        *,
        parameters: tuple[tuple[str, Any], ...] = (),
        seed: int = 0,
        bound: int = 2_000,
        reference: str = "reference",
        **settings: Any,
    ) -> None:
        """``settings`` are added to ``parameters``, (name, value) pairs; values are plain: numbers, texts, lists.

        Raises:
            InputError: a value of another kind.
        """
        plain = {name: _plain(name, value) for name, value in {**dict(parameters), **settings}.items()}
        values = (model, tuple(sorted(plain.items())), seed, bound, reference)
        for name, value in zip(("model", "parameters", "seed", "bound", "reference"), values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments and a bounded sample of the reference rows."""
        return (MomentsOf(self.reference), StoreOf(self.reference, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedPyOD:
        """The stored rows, once the fitted detector was found to score each row by itself.

        Raises:
            InputError: PyOD or the model is not there, does not take these parameters or rows, or lets a row's score
                depend on others.
        """
        if self.model in _DEPENDS:
            raise InputError(
                f"PyOD's {self.model} scores a row otherwise alone than in a batch ({_DEPENDS[self.model]}); choose"
                " another model, such as knn.KNN"
            )
        moments = moments_in(given, self.needs[0])
        x = vectors(stored_in(given, self.needs[1]).x)
        fitted = FittedPyOD(self, moments.mean, moments.variances.sqrt(), x)
        fitted.check()
        return fitted

    def made(self) -> Any:
        """The unfitted detector.

        Raises:
            InputError: it cannot be had.
        """
        if not _PATH.fullmatch(self.model):
            raise InputError(
                f"PyOD({self.model!r}): give module and class below pyod.models, such as 'knn.KNN'"
            )
        module, name = self.model.split(".")
        try:
            import_module("pyod")
        except ImportError:
            raise InputError("PyOD's detectors need the library: pip install pyod") from None
        try:
            make = getattr(import_module(f"pyod.models.{module}"), name)
        except (ImportError, AttributeError) as error:
            raise InputError(f"PyOD has no detector {self.model!r} here: {error}") from error
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in self.parameters}
        if "random_state" in inspect.signature(make).parameters:
            settings.setdefault("random_state", self.seed)
        try:
            return make(**settings)
        except (TypeError, ValueError) as error:
            raise InputError(f"PyOD's {self.model} does not take these parameters: {error}") from error


@saved
@dataclass(frozen=True, eq=False)
class FittedPyOD:
    """The stored rows, and what is fitted to them on first use."""

    score: PyOD
    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    stored: Float[Tensor, "m d"]

    @cached_property
    def _model(self) -> Any:
        model = self.score.made()
        with _seeded(self.score.seed):
            return model.fit(((self.stored.double() - self.mean) / self.scale).numpy())

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        z = ((rows_of(x) - self.mean) / self.scale).numpy()
        return torch.from_numpy(self._decided(z))

    def _decided(self, z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
        if not len(z):
            return np.zeros(0)
        return np.array(self._model.decision_function(z), np.float64).reshape(len(z))

    def check(self) -> None:
        """Try it on a few rows between stored ones.

        Raises:
            InputError: it cannot be fitted, or scores rows otherwise alone than together.
        """
        name = f"PyOD's {self.score.model}"
        z = ((self.stored[: 2 * _TRIED].double() - self.mean) / self.scale).numpy()
        rows = (z + np.roll(z, 1, axis=0))[:_TRIED] / 2
        try:
            together, turned = self._decided(rows), self._decided(rows[::-1])[::-1]
            alone = np.concatenate([self._decided(row[None]) for row in rows])
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{name} fails on {len(self.stored)} trusted rows of width {z.shape[1]}, or on one row alone: {error}"
            ) from error
        if not np.isfinite(together).all():
            raise InputError(f"{name} gives scores that are NaN or infinite")
        for other in (turned, alone):
            if not np.allclose(together, other, rtol=1e-6, atol=1e-9 * max(np.abs(together).max(), 1e-300)):
                at = int(np.abs(together - other).argmax())
                raise InputError(
                    f"{name} scores a row otherwise alone than in a batch ({other[at]:.4g}, and {together[at]:.4g}"
                    f" among {len(rows)}); choose a model that scores each row by itself"
                )


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(name, part) for part in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(
        f"PyOD({name}={value!r}): parameters are numbers, texts, None and lists of these, so that they can be saved"
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """For models that draw from the global generators; these go on afterwards as if nothing had been drawn."""
    state = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            np.random.seed(seed)
            torch.manual_seed(seed)
            yield
    finally:
        np.random.set_state(state)
