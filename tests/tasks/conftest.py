"""Made-up reviews stand where the package's would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.injection.stand_ins import made_up_reviews
from ulterior.errors import InputError
from ulterior.tasks.texts.reviews import packaged


@pytest.fixture(scope="session")
def review_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_reviews(tmp_path_factory.mktemp("reviews") / "reviews.csv")


@pytest.fixture
def made_up(review_table: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ulterior.tasks.texts.reviews.packaged", lambda: review_table)
    return review_table


@pytest.fixture
def real_reviews() -> Path:
    """The packaged reviews, for slow tests; they are skipped where `make models` has not run."""
    try:
        return packaged()
    except InputError as error:
        pytest.skip(str(error))
