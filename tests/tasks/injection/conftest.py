"""Made-up reviews stand where the package's would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.injection.stand_ins import made_up_reviews
from ulterior.errors import InputError
from ulterior.models import resolve_model
from ulterior.tasks.injection.reviews import packaged


@pytest.fixture(scope="session")
def review_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_reviews(tmp_path_factory.mktemp("reviews") / "reviews.csv")


@pytest.fixture
def made_up(review_table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ulterior.tasks.injection.reviews.packaged", lambda: review_table)
    return review_table


@pytest.fixture
def real_reviews() -> Path:
    """The packaged reviews, for slow tests; they are skipped where `make models` has not run."""
    try:
        return packaged()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def real_model(real_reviews: Path) -> str:
    """The converted model, likewise."""
    try:
        return resolve_model()
    except InputError as error:
        pytest.skip(str(error))
