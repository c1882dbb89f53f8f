"""The converted model, for slow tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ulterior.errors import InputError
from ulterior.models import resolve_model


@pytest.fixture
def real_model(real_reviews: Path) -> str:
    """Skipped where `make models` has not run."""
    try:
        return resolve_model()
    except InputError as error:
        pytest.skip(str(error))
