"""A trojan in a tiny classifier of made-up reviews, trained once for all tests, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tasks.texts.stand_ins import TINY
from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.text.recipe import TextRecipe
from ulterior.tasks.trojans.text.triggers import Word

RECIPE = TextRecipe(Trojan(Word(), 0.1, cover=0.1), TINY, Training(steps=100, batch=64, rate=1e-2))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, review_table: Path) -> Iterator[TextRecipe]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTERIOR_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr("ulterior.tasks.texts.reviews.packaged", lambda: review_table)
        yield RECIPE
