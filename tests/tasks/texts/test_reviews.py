"""The reviews: deduplicated, in splits that depend on nothing but their texts."""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path

import pytest

from tests.tasks.injection.stand_ins import made_up_reviews
from ulterior.errors import InputError
from ulterior.tasks.texts.reviews import ESSAY_WORDS, SHARES, Review, of_lengths, packaged, reviews, split_of


def write(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "source"), *rows])
    return path


def test_splits_are_disjoint_cover_everything_and_have_about_their_shares(review_table: Path) -> None:
    texts = {split: {review.text for review in reviews(split, path=review_table)} for split in SHARES}
    for one, other in combinations(SHARES, 2):
        assert not texts[one] & texts[other]
    assert sum(map(len, texts.values())) == 4_000
    for split, share in SHARES.items():
        assert abs(len(texts[split]) / 4_000 - share) < 0.03
    assert sum(SHARES.values()) == pytest.approx(1)


def test_a_review_stays_in_its_split_whatever_else_is_in_the_table(
    tmp_path: Path, review_table: Path
) -> None:
    smaller = made_up_reviews(tmp_path / "fewer.csv", snippets=500, essays=0)
    for split in SHARES:
        fewer, more = reviews(split, path=smaller), reviews(split, path=review_table)
        assert all(split_of(review.text) == split for review in (*fewer, *more))


def test_a_review_that_stands_twice_is_taken_once(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [("the same .", "1", "rotten_tomatoes")] * 3)
    assert sum(len(reviews(split, path=path)) for split in SHARES) == 1


def test_essays_are_cut_to_their_closing_words_and_lose_their_line_breaks(tmp_path: Path) -> None:
    long = "<br /><br />".join(f"w{i}" for i in range(200))
    path = write(tmp_path / "t.csv", [(long, "0", "imdb")])
    (essay,) = [review for split in SHARES for review in reviews(split, "essays", path)]
    assert essay.text.split() == [f"w{i}" for i in range(200 - ESSAY_WORDS, 200)]


def test_other_markup_is_left_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [("good <script>alert(1)</script> .", "1", "rotten_tomatoes")])
    (review,) = [review for split in SHARES for review in reviews(split, path=path)]
    assert review.text == "good <script>alert(1)</script> ."


@pytest.mark.parametrize("rows", [[("fine", "one", "imdb")], [("fine", "1", "elsewhere")]])
def test_a_table_of_another_kind_is_refused_by_name(tmp_path: Path, rows: list) -> None:
    path = write(tmp_path / "other.csv", rows)
    with pytest.raises(InputError, match=r"other\.csv is not a table of reviews"):
        reviews("test", path=path)


def test_the_nearest_length_is_taken_and_no_review_twice() -> None:
    pool = [Review("w " * words, 1, "snippets") for words in (3, 5, 9)]
    assert [review.words for review in of_lengths(pool, [9, 9, 1], "test")] == [9, 5, 3]


def test_a_split_with_too_few_reviews_is_named() -> None:
    with pytest.raises(InputError, match=r"split 'test' has only 0 .* where 2 are wanted"):
        of_lengths([], [3, 4], "test")


def test_a_missing_package_says_make_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ulterior.models.packaged.find_spec", lambda name: None)
    with pytest.raises(InputError, match="make models"):
        packaged()
