"""What `import ulterior` offers, what it costs, and which way imports point."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ulterior

SOURCE = Path(ulterior.__file__).parent


def test_every_public_name_is_there_and_listed_once():
    assert sorted(set(ulterior.__all__)) == sorted(ulterior.__all__)
    for name in ulterior.__all__:
        assert getattr(ulterior, name) is not None
    assert set(ulterior._HOME_OF) == set(ulterior.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ulterior.nothing  # noqa: B018


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys, ulterior.cli as cli; cli.main(['--help']); cli.main(['--version']);"
        "print([name for name in ('torch', 'transformers', 'numpy', 'tyro') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert f"ulterior {ulterior.__version__}" in done.stdout
    assert "ulterior audit" in done.stdout


# A folder or file -> what it may never import, and so what never depends on what.
FORBIDDEN = {
    "errors.py": ("ulterior",),
    "serialise.py": ("ulterior.features", "ulterior.scores", "ulterior.subject", "ulterior.panel"),
    "metrics.py": (
        "ulterior.features",
        "ulterior.scores",
        "ulterior.subject",
        "ulterior.panel",
        "ulterior.tasks",
    ),
    "calibration.py": (
        "ulterior.features",
        "ulterior.scores",
        "ulterior.subject",
        "ulterior.panel",
        "ulterior.tasks",
    ),
    "sandbox": (
        "ulterior.features",
        "ulterior.scores",
        "ulterior.subject",
        "ulterior.measurement",
        "ulterior.tasks",
    ),
    "scores": (
        "ulterior.features",
        "ulterior.subject",
        "ulterior.detectors",
        "ulterior.panel",
        "ulterior.tasks",
    ),
    "report": (
        "ulterior.features",
        "ulterior.scores",
        "ulterior.subject",
        "ulterior.panel",
        "ulterior.bench",
    ),
    "features": (
        "ulterior.reweighted",
        "ulterior.scores",
        "ulterior.detectors",
        "ulterior.panel",
        "ulterior.tasks",
        "ulterior.bench",
    ),
    "circuits": (
        "ulterior.features",
        "ulterior.scores",
        "ulterior.detectors",
        "ulterior.panel",
        "ulterior.tasks",
        "ulterior.bench",
        "ulterior.audit",
    ),
    "reweighted": (
        "ulterior.scores",
        "ulterior.detectors",
        "ulterior.panel",
        "ulterior.tasks",
        "ulterior.bench",
        "ulterior.audit",
    ),
    "subject.py": (
        "ulterior.reweighted",
        "ulterior.features",
        "ulterior.scores",
        "ulterior.detectors",
        "ulterior.panel",
        "ulterior.tasks",
    ),
    "detectors": (
        "ulterior.reweighted",
        "ulterior.tasks",
        "ulterior.panel",
        "ulterior.bench",
        "ulterior.audit",
    ),
    "tasks": ("ulterior.detectors", "ulterior.panel", "ulterior.bench", "ulterior.audit", "ulterior.report"),
    "panel.py": ("ulterior.tasks", "ulterior.bench", "ulterior.audit", "ulterior.report"),
    "bench": ("ulterior.audit",),
    "audit": ("ulterior.bench", "ulterior.tasks"),
}


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("place", FORBIDDEN)
def test_imports_point_one_way(place):
    path = SOURCE / place
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert files
    for file in files:
        wrong = [name for name in imported(file) if name.startswith(FORBIDDEN[place])]
        assert not wrong, f"{file.relative_to(SOURCE)} imports {wrong}"
