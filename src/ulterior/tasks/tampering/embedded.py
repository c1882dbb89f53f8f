"""What the data sets share that bring predictors of their own: a base, adapters of it, their figures and their card.

A run's folder holds the base, and in `seeds/0`, `seeds/1`... an adapter of it for each seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.files import write_whole
from ulterior.measurement.card import figure, table
from ulterior.measurement.data import TamperingData, all_positive, checked_measurements
from ulterior.measurement.evaluate import measurement_metrics, predict
from ulterior.measurement.folder import TOKENIZER, load_predictor
from ulterior.measurement.recipe import Recipe
from ulterior.measurement.training import DONE, train_predictor
from ulterior.metrics import auroc

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "adapter",
    "claim",
    "fooled_table",
    "measure",
    "measured_once",
    "measured_table",
    "publish",
    "tokenizer_once",
]

FIGURES = "evaluation.json"
MEASURED = ("sensor_accuracy", "sensor_auroc", "all_auroc", "all_auroc_summed")
JUDGES = ("predictor", "ceiling", "surface")


def claim(path: Path, recipe: Mapping[str, Any]) -> None:
    """Write down what a folder is for.

    Raises:
        InputError: it is for something else.
    """
    text = json.dumps(recipe, indent=2, default=str) + "\n"
    if path.exists() and path.read_text() != text:
        raise InputError(
            f"'{path.parent}' holds a run of another recipe or seed (see {path.name}); choose another --out"
        )
    write_whole(path, text)


def adapter(
    base: Path, number: int, rows: Callable[[], TamperingData], recipe: Recipe, *, seed: int
) -> tuple[Path, dict[str, Any]]:
    """Train the adapter of one seed, or find it trained; `rows` are made only where they are needed.

    Returns:
        Its folder, and what ``train_predictor`` says of it.
    """
    folder = base / "seeds" / str(number)
    if not (folder / DONE).exists():
        train_predictor(rows(), base, folder, recipe, seed=seed)
        for file in (TOKENIZER, "tokenizer.json"):  # its base has them
            (folder / file).unlink(missing_ok=True)
    return folder, json.loads((folder / DONE).read_text())


def tokenizer_once(folder: Path, learned: Callable[[], PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    """The tokenizer that is kept in a folder, learned where there is none yet."""
    from transformers import PreTrainedTokenizerFast

    if (folder / "tokenizer.json").exists():
        return PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer = learned()
    tokenizer.save_pretrained(folder)
    return tokenizer


def publish(
    folder: Path,
    headline: str,
    base: Mapping[str, Any],
    recipe: Recipe,
    predictors: Mapping[str, Mapping[str, Any]],
    card: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """Write `metrics.json` and the card; the metrics.

    Args:
        folder: Of the base.
        headline: The split whose figures, of the first predictor, stand in front.
        base: What is said of the base.
        recipe: Of the adapters.
        predictors: What is said of each seed's, by its number.
        card: Makes the card's text of the metrics.
    """
    metrics = {
        "headline": predictors["0"]["splits"][headline],
        "weights": sum(weight.numel() for weight in load_predictor(folder)[0].parameters()),
        "base": base,
        "recipe": asdict(recipe),
        "predictors": predictors,
    }
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    write_whole(folder / "README.md", card(metrics))
    return metrics


def measured_once(
    folder: Path, asked: Mapping[str, Any], measured: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The figures of the predictor in a folder, which are kept there with what they answer."""
    path = folder / FIGURES
    question = json.loads(json.dumps(asked))
    if path.exists() and (known := json.loads(path.read_text()))["asked"] == question:
        return known["splits"]
    splits = measured()
    write_whole(path, json.dumps({"asked": question, "splits": splits}, indent=2) + "\n")
    return splits


def measure(folder: Path, learn: Examples, splits: Mapping[str, Examples]) -> dict[str, Any]:
    """How well a predictor measures and how thoroughly it is fooled, beside a ceiling and a surface baseline.

    The ceiling is a logistic regression, given the truth, on the hidden state at the last sensor's marker; the surface
    baseline one on TF-IDF of words and pairs of words. Both learn from untrusted all-positive training rows and
    are judged, like the predictor's own aggregate log-odds, on all-positive validation rows: real against fake.

    Args:
        folder: Holds the predictor.
        learn: Untrusted training rows; their truth is for the ceiling and the surface baseline.
        splits: Validation rows by the name of their split.

    Returns:
        For each split the measurement metrics and three `real_vs_fake` figures, each with value, low, high and n.
    """
    loaded = load_predictor(folder)
    learn = learn.where(all_positive(learn))
    probe = _regression(predict(*loaded, list(learn["text"])).hidden, learn["is_correct"])
    surface = _surface(learn)
    found: dict[str, Any] = {}
    for name, rows in splits.items():
        outputs = predict(*loaded, list(rows["text"]))
        every, real = all_positive(rows), rows["is_correct"].astype(bool)
        scores = {
            "predictor": outputs.aggregate_logits,
            "ceiling": probe(outputs.hidden),
            "surface": surface(list(rows["text"])),
        }
        found[name] = measurement_metrics(outputs, checked_measurements(rows)) | {
            "real_vs_fake": {
                which: asdict(auroc(score[every].astype(np.float64), real[every]))
                for which, score in scores.items()
            }
        }
    return found


def measured_table(predictors: Mapping[str, Mapping[str, Any]]) -> str:
    """The measurement figures of every predictor (by name: ``{"splits": ...}``) on every split, in Markdown."""
    return table(
        ["seed", "split", *MEASURED],
        [[who, name, *(figure(split[key]) for key in MEASURED)] for who, name, split in _splits(predictors)],
    )


def fooled_table(predictors: Mapping[str, Mapping[str, Any]]) -> str:
    """Real against fake by every predictor, its ceiling and the surface baseline, where a split holds both."""
    return table(
        ["seed", "split", *JUDGES],
        [
            [who, name, *(figure(split["real_vs_fake"][judge]) for judge in JUDGES)]
            for who, name, split in _splits(predictors)
            if split["real_vs_fake"]["predictor"]["value"] is not None
        ],
    )


def _splits(predictors: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    for who, found in predictors.items():
        for name, split in found["splits"].items():
            yield who, name.removeprefix("validation_"), split


def _regression(x: Float[np.ndarray, "n d"], y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Scores of a logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(y)) < 2:
        raise InputError("the ceiling needs real and fake all-positive rows to learn from; give it more rows")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
    return model.fit(x, y).decision_function


def _surface(learn: Examples) -> Callable[[list[str]], np.ndarray]:
    """Scores of a logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=2_000))
    return model.fit(list(learn["text"]), learn["is_correct"]).decision_function
