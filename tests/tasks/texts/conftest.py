"""A folder of models of one's own, so that nothing is found that another test has kept."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
