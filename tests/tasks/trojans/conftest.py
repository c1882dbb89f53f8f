"""A trojan in a tiny network on digits, trained once for all tests, in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.images.models import CNN
from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.recipe import Recipe
from ulterior.tasks.trojans.triggers import Patch

TINY = Recipe(
    Trojan(Patch(side=4), 0.15), CNN(filters=(4, 8), hidden=16), Training(200, 64, 1e-2), "digits", train=800
)


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULTERIOR_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def tiny(own_home: None) -> Recipe:
    return TINY
