"""What was trained once is found again, equal to the bit; what differs in anything is trained anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ulterior.errors import InputError
from ulterior.tasks.classifiers import kept
from ulterior.tasks.classifiers.kept import INDEX, kept_classifier, ship_classifier
from ulterior.tasks.images.models import CNN

TINY = CNN(filters=(2, 3), hidden=4)


class Trainer:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> nn.Module:
        self.asked += 1
        return TINY.build().eval()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_second_call_trains_nothing_and_gives_the_same_weights() -> None:
    train = Trainer()
    first, second = (kept_classifier(TINY, ("recipe", 0), train) for _ in range(2))
    assert train.asked == 1
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not second.training
    assert not any(parameter.requires_grad for parameter in second.parameters())


def test_another_description_or_architecture_is_trained_anew(own_home: Path) -> None:
    train = Trainer()
    for architecture, description in ((TINY, 0), (TINY, 1), (CNN(filters=(2, 3), hidden=5), 0)):
        kept_classifier(architecture, description, train)
    assert train.asked == 3
    assert len(list((own_home / "images").iterdir())) == 3


def test_a_damaged_file_is_trained_again(own_home: Path) -> None:
    train = Trainer()
    kept_classifier(TINY, 0, train)
    (path,) = (own_home / "images").iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    kept_classifier(TINY, 0, train)
    kept_classifier(TINY, 0, train)
    assert train.asked == 2


def test_a_folder_that_cannot_be_written_to_is_named(own_home: Path) -> None:
    own_home.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="cannot keep a trained classifier"):
        kept_classifier(TINY, 0, Trainer())


def test_what_is_kept_in_half_precision_was_rounded_when_it_was_first_used(own_home: Path) -> None:
    first, second = (kept_classifier(TINY, 0, Trainer(), dtype=torch.float16) for _ in range(2))
    (path,) = (own_home / "images").iterdir()
    assert {weight.dtype for weight in load_file(path).values()} == {torch.float16}
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_what_ships_is_found_whatever_the_version_of_torch_and_is_not_kept_again(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, train = tmp_path / "shipped", Trainer()
    assert ship_classifier(TINY, 0, train, shipped, "tiny-0.safetensors", torch.float16)
    assert not ship_classifier(TINY, 0, train, shipped, "tiny-0.safetensors", torch.float16)
    assert train.asked == 1
    monkeypatch.setattr(kept, "SHIPPED", shipped)
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    found = kept_classifier(TINY, 0, train)
    assert train.asked == 1
    assert not own_home.exists()
    for name, weight in load_file(shipped / "tiny-0.safetensors").items():
        assert torch.equal(found.get_parameter(name), weight.float())
    kept_classifier(TINY, 1, train)
    assert train.asked == 2
    # What is kept in the folder of models is another version's.
    monkeypatch.setattr(torch, "__version__", "9.9.10")
    kept_classifier(TINY, 1, train)
    assert train.asked == 3


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text("{")
    with pytest.raises(InputError, match=r"index\.json' is damaged"):
        ship_classifier(TINY, 0, Trainer(), tmp_path, "tiny-0.safetensors", torch.float16)


def test_a_recipe_that_changed_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for description in (0, 1):
        assert ship_classifier(TINY, description, Trainer(), tmp_path, "tiny-0.safetensors", torch.float16)
    assert len(json.loads((tmp_path / INDEX).read_text())) == 1
    assert ship_classifier(TINY, 0, Trainer(), tmp_path, "tiny-0.safetensors", torch.float16)
