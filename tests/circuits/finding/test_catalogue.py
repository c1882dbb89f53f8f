from __future__ import annotations

import pytest

from ulterior.circuits.finding.catalogue import FINDERS
from ulterior.circuits.finding.finder import Finder


@pytest.mark.parametrize("name", FINDERS)
def test_every_finder_has_the_one_signature_and_the_name_that_it_is_found_by(name):
    finder = FINDERS[name]()
    assert isinstance(finder, Finder)
    assert finder.name == name
