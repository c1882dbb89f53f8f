"""A folder is tried before the work; a file is whole or not there."""

from __future__ import annotations

import pytest

from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole


def test_a_folder_is_made_tried_and_left_empty(tmp_path):
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert not list(folder.iterdir())


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to '.*file/out'.*choose another --out"):
        writable_folder(tmp_path / "file" / "out")


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "a.json", "old")
    write_whole(tmp_path / "a.json", "néw")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "néw"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
