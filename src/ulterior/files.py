"""Folders that can be written to, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

from ulterior.errors import InputError


def writable_folder(folder: Path) -> Path:
    """Make a folder and write to it once, so that a run fails before its work and not after.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to '{folder}': {error.strerror or error}; choose another --out"
        ) from error
    return folder


def write_whole(path: Path, text: str) -> None:
    """Write a text file that appears only once it is complete."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
