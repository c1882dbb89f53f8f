"""What was trained once is found again, equal to the bit; what differs in anything is trained anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ulterior.errors import InputError
from ulterior.tasks.classifiers.kept import kept_classifier
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
