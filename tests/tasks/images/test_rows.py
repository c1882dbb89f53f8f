"""Images are dealt out without overlap, and stand in a table to the bit."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ulterior.errors import InputError
from ulterior.tasks.images.rows import COLUMN, Rows, deal, still_right, table


class Brightness(nn.Module):
    """Class 1 where an image is bright."""

    def forward(self, x: Tensor) -> Tensor:
        light = x.flatten(1).mean(1) - 0.5
        return torch.stack([-light, light], 1)


def test_parts_share_no_row_and_have_their_sizes() -> None:
    parts = deal(100, {"train": 30, "trusted": 20, "test": 50}, 0)
    assert {name: len(part) for name, part in parts.items()} == {"train": 30, "trusted": 20, "test": 50}
    for one, other in combinations(parts.values(), 2):
        assert not set(one.tolist()) & set(other.tolist())
    assert sorted(torch.cat([*parts.values()]).tolist()) == list(range(100))


def test_the_first_part_is_the_same_whatever_else_is_wanted() -> None:
    alone = deal(100, {"train": 70}, 3)["train"]
    assert len(alone) == 50
    assert torch.equal(alone, deal(100, {"train": 70, "test": 10}, 3)["train"])
    assert not torch.equal(alone, deal(100, {"train": 70}, 4)["train"])


def test_a_small_data_set_gives_every_part_the_same_share_of_its_wish() -> None:
    parts = deal(100, {"train": 60, "trusted": 100, "test": 300}, 0)
    assert {name: len(part) for name, part in parts.items()} == {"train": 50, "trusted": 12, "test": 37}
    with pytest.raises(InputError, match="10 images are too few for the part 'trusted'"):
        deal(10, {"train": 60, "trusted": 1, "test": 300}, 0)


def rows(n: int = 6, **changes: object) -> Rows:
    x = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x[::2], x[1::2] = 0.2 * x[::2], 1 - 0.2 * x[1::2]
    return Rows(**{"x": x, "label": torch.arange(n) % 2, **changes})  # pyright: ignore


def test_a_table_holds_the_pixels_to_the_bit_and_says_what_is_in_a_row() -> None:
    plain = rows(label=torch.tensor([0, 1, 0, 1, 1, 0]))
    marked = rows(2, group="marked", words="patch", anomalous=True, columns={"cue": np.array([4, 5])})
    made = table(Brightness(), [plain, marked], ("dark", "bright"), "photo")
    assert made[COLUMN].shape == (8, 16)
    torch.testing.assert_close(
        torch.tensor(made[COLUMN], dtype=torch.float32),
        torch.cat([plain.x, marked.x]).flatten(1),
        rtol=0,
        atol=0,
    )
    assert made["predicted"].tolist() == [0, 1] * 4
    assert made["text"][0] == "photo dark, predicted dark"
    assert made["text"][4] == "photo bright, predicted dark"
    assert made["text"][7] == "photo bright, patch, predicted bright"
    assert made["group"].tolist() == ["trusted"] * 6 + ["marked"] * 2
    assert made["anomalous"].tolist() == [False] * 6 + [True] * 2
    assert made["cue"].tolist()[-2:] == [4, 5]


def test_only_rows_that_the_model_gets_right_are_kept_with_all_that_is_known_of_them() -> None:
    given = rows(label=torch.tensor([0, 1, 1, 0, 0, 1]), words=list("abcdef"), columns={"cue": np.arange(6)})
    kept = still_right(Brightness(), given)
    assert list(kept.words) == ["a", "b", "e", "f"]
    assert kept.columns is not None
    assert kept.columns["cue"].tolist() == [0, 1, 4, 5]
    assert torch.equal(kept.x, given.x[[0, 1, 4, 5]])


def test_a_group_without_rows_is_no_error() -> None:
    assert len(table(Brightness(), [rows(), rows(0)], ("a", "b"))) == 6
