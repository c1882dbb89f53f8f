"""What is in the wheel, and that it runs where nothing else is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ulterior

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_weights_the_template_and_the_wordings_and_stays_small(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "ulterior/assets/diamonds/model.safetensors",
        "ulterior/assets/diamonds/tokenizer.json",
        "ulterior/assets/functions/model.safetensors",
        "ulterior/assets/functions/seeds/4/adapter_model.safetensors",
        "ulterior/assets/injection/adapter_model.safetensors",
        "ulterior/report/template.html.j2",
        "ulterior/report/style.css",
        "ulterior/report/script.js",
        "ulterior/tasks/injection/lines/test.txt",
    ):
        assert needed in names
    assert not [name for name in names if name.startswith("tests") or ".pyc" in name]
    assert wheel.stat().st_size < 20 * 2**20


def test_the_wheel_installs_in_an_empty_environment_and_answers(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "empty")], check=True)
    python = tmp_path / "empty" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    command = tmp_path / "empty" / "bin" / "ulterior"
    said = subprocess.run(
        [str(command), "--version"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert said.stdout == f"ulterior {ulterior.__version__}\n"
    helped = subprocess.run(
        [str(command), "--help"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert "ulterior audit" in helped.stdout
