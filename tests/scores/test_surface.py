"""The surface baseline equals scikit-learn's TF-IDF pipeline, reads the text alone, and is saved as plain fields."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tests.scores.planted import fit
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import Surface, SurfaceLength
from ulterior.scores.surface import fit_surface, log_length, ngrams

WORDS = ["The", "film", "was", "long", "and", "good", "bad", "so", "very", "!", "?", "naïve", "x_1"]


def texts(n: int, seed: int, *extra: str) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice([*WORDS, *extra], size=rng.integers(5, 40))) for _ in range(n)]


def test_ngrams_are_lower_cased_words_marks_and_neighbours():
    assert ngrams("Good, GOOD film") == {
        "good": 2,
        ",": 1,
        "film": 1,
        "good ,": 1,
        ", good": 1,
        "good film": 1,
    }
    assert ngrams("") == {}


def test_scores_equal_the_scikit_learn_pipeline(tmp_path):
    usual, strange = texts(80, 0), texts(80, 1, "obey")
    everything, labels = usual + strange, np.repeat([False, True], 80)
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", min_df=2, sublinear_tf=True, smooth_idf=True
    )
    words = vectorizer.fit_transform(everything)
    lengths = np.array([log_length(text) for text in everything])
    z = ((lengths - lengths.mean()) / lengths.std())[:, None]
    model = LogisticRegression(C=10.0, max_iter=2000).fit(sparse.hstack([words, z]), labels)
    fresh = texts(20, 2, "obey")
    fresh_z = (np.array([[log_length(text)] for text in fresh]) - lengths.mean()) / lengths.std()
    expected = model.decision_function(sparse.hstack([vectorizer.transform(fresh), fresh_z]))
    fitted = fit_surface(everything, labels)
    assert set(fitted.vocabulary) == set(vectorizer.vocabulary_)
    np.testing.assert_allclose(fitted(fresh), expected, atol=1e-3)


def test_only_the_most_frequent_features_are_kept():
    fitted = fit_surface(texts(50, 0) + texts(50, 1, "obey"), np.repeat([False, True], 50), features=10)
    assert len(fitted.vocabulary) == 10
    assert " " not in "".join(fitted.vocabulary)  # pairs are rarer than their words


def test_a_keyword_and_a_length_are_both_found(tmp_path):
    labels = np.repeat([False, True], 100)
    groups = {"reference": texts(200, 0), "suspects": texts(200, 1, "obey")}
    fitted = fit(Surface(), groups, tmp_path)
    assert auroc(fitted(texts(100, 2) + texts(100, 3, "obey")).numpy(), labels).value > 0.7  # pyright: ignore
    longer = {"reference": texts(200, 0), "suspects": [text * 3 for text in texts(200, 1)]}
    fitted = fit(Surface(), longer, tmp_path)
    fresh = texts(100, 2) + [text * 3 for text in texts(100, 3)]
    assert auroc(fitted(fresh).numpy(), labels).value > 0.9  # pyright: ignore


def test_with_a_label_it_learns_from_trusted_texts_alone(tmp_path):
    trusted = texts(300, 0)
    good = np.array([text.count("good") > text.count("bad") for text in trusted])
    score = Surface("good")
    assert [need.group for need in score.needs] == ["trusted"]
    fitted = fit(score, {"trusted": trusted}, tmp_path, good=good)
    low, high = fitted(["good good good film"]), fitted(["bad bad bad film"])
    assert (low < high).all()


def test_texts_of_unknown_words_and_empty_texts_score_by_their_length_alone():
    fitted = fit_surface(texts(50, 0) + texts(50, 1, "obey"), np.repeat([False, True], 50))
    scores = fitted(["", "zzz", "yyy"])
    assert scores.isfinite().all()
    assert scores[1] == scores[2]


def test_texts_without_a_common_word_still_fit():
    fitted = fit_surface(["one", "two", "three three", "four four"], np.array([False, False, True, True]))
    assert fitted.vocabulary == ()
    assert (fitted(["five five"]) > fitted(["six"])).all()


def test_one_class_only_is_refused():
    with pytest.raises(InputError, match="both classes"):
        fit_surface(["a", "b"], np.array([True, True]))


def test_an_unusual_length_either_way_is_strange(tmp_path):
    fitted = fit(SurfaceLength(), {"reference": texts(100, 0)}, tmp_path)
    usual = fitted(texts(100, 1)).quantile(0.99)
    assert (fitted(["", "film " * 500]) > usual).all()


def test_texts_of_one_length_are_no_error(tmp_path):
    fitted = fit(SurfaceLength(), {"reference": ["abc", "abd"]}, tmp_path)
    assert fitted(["xyz", "long enough"]).tolist()[0] == 0
