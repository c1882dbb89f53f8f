from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.families import CONFIGS, DECODERS, ENCODERS, texts, tiny, tokenizer
from ulterior.capture import capture
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.activations import activations
from ulterior.features.feature import Feature, Tokens, Values
from ulterior.features.outputs import outputs
from ulterior.features.reading import WINDOW, read
from ulterior.features.text import text
from ulterior.readouts import CAUSAL, CLASSES
from ulterior.subject import Subject
from ulterior.tokens import Side, token_collate

LENGTHS = (3, 17, 1, 9, 9, 30, 2)


def subject_of(family: str, padding: Side = "right", **options) -> Subject:
    readouts = CLASSES if family in ENCODERS else CAUSAL
    subject = Subject.from_tokenizer(
        tiny(family), tokenizer(pad_token="<pad>"), readouts=readouts, options=options
    )
    return replace(subject, collate=token_collate(tiny(family), padding=padding))


def gathered(
    subject: Subject, examples: Examples, features: Sequence[Feature], **how
) -> dict[str, np.ndarray]:
    """All values by key in the order of the examples; tokens as one array an example."""
    found: dict[str, list] = {}
    for rows, reading in read(subject, examples, features, **how):
        for values in reading.values():
            for key, value in values.items():
                column = found.setdefault(key, [None] * len(examples))
                for place, row in enumerate(rows):
                    column[row] = one_of(value, place)
    return {key: stacked(column) for key, column in found.items()}


def one_of(value: Values, place: int):
    if isinstance(value, Tokens):
        return value.values[value.owner == place].numpy()
    return value[place].numpy() if isinstance(value, torch.Tensor) else value[place]


def stacked(column: list) -> np.ndarray:
    if any(not isinstance(value, np.ndarray) or value.ndim == 2 for value in column):
        array = np.empty(len(column), dtype=object)
        array[:] = column
        return array
    return np.stack(column)


def one_by_one(family: str, examples: Examples, sites: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """The slow reference: each example alone, not padded, no mask, no positions given."""
    model, found = tiny(family), []
    for written in examples["text"]:
        ids = tokenizer()(written, return_tensors="pt")["input_ids"]
        with torch.no_grad(), capture(model, sites) as captured:
            logits = model(ids).logits
        found.append({site: captured[site][0].numpy() for site in sites} | {"logits": logits[0].numpy()})
    return found


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("family", CONFIGS)
def test_features_depend_on_neither_batch_nor_neighbours_nor_padding_side(family: str, padding: Side) -> None:
    examples = Examples.of(text=texts(*LENGTHS))
    subject = subject_of(family, padding)
    features = [activations("*", at=at) for at in ("last", "mean", "all", 0)]
    reference = one_by_one(family, examples, subject.sites())
    for budget in (1, 64, 10_000):
        found = gathered(subject, examples, [*features, outputs()], batch_tokens=budget)
        for row, alone in enumerate(reference):
            for site in subject.sites():
                close(found[f"{site}@last"][row], alone[site][-1])
                close(found[f"{site}@0"][row], alone[site][0])
                close(found[f"{site}@mean"][row], alone[site].mean(0))
                close(found[f"{site}@all"][row], alone[site])
            logits = torch.tensor(alone["logits"], dtype=torch.float64)
            if family in DECODERS:
                first, second = logits[-1].topk(2).values
                expected = first - second
            else:
                assert len(logits) == 2
                expected = (logits[0] - logits[1]).abs()
            if not (family in ENCODERS and padding == "left"):  # their heads read what stands first
                close(found["outputs"][row], expected.numpy())


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_logits_at_the_last_position_alone_equal_those_of_the_whole(family: str) -> None:
    examples = Examples.of(text=texts(*LENGTHS))
    whole = gathered(subject_of(family, "left"), examples, [outputs("behaviour")])
    alone = gathered(subject_of(family, "left", logits_to_keep=1), examples, [outputs("behaviour")])
    np.testing.assert_allclose(alone["outputs"], whole["outputs"], rtol=1e-6, atol=1e-6)


class Counting(nn.Module):
    """Counts the forward passes and remembers which rows went through."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.seen: list[float] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += x[:, 0].tolist()
        return self.inner(x)


def numbered(n: int) -> Examples:
    x = np.zeros((n, 3), dtype=np.float32)
    x[:, 0] = np.arange(n)
    return Examples.of(x=x, text=[f"row {row}" for row in range(n)])


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 60), budget=st.integers(1, 70))
def test_every_example_goes_through_the_model_once_however_many_features_read(n: int, budget: int) -> None:
    model = Counting()
    features = [activations("inner"), activations("inner", at="mean"), outputs(), outputs("logits"), text()]
    rows = []
    for batch, reading in read(Subject.from_arrays(model), numbered(n), features, batch_tokens=budget):
        assert len(reading) == len(features)
        assert len(batch) <= budget
        rows += batch.tolist()
    assert sorted(rows) == list(range(n))
    assert sorted(model.seen) == list(range(n))


def test_rows_stay_aligned_across_windows() -> None:
    n = WINDOW + 5
    examples = numbered(n)
    found = gathered(Subject.from_arrays(Counting()), examples, [text(), outputs("logits")])
    assert found["text"].tolist() == examples["text"].tolist()
    model = Counting()
    found = gathered(Subject.from_arrays(model), examples, [activations("inner")])
    with torch.no_grad():
        close(found["inner@last"], model.inner(torch.tensor(examples["x"]).float()).numpy())


def test_longest_examples_of_a_window_run_first_and_no_batch_exceeds_the_budget() -> None:
    subject, widths, rows = subject_of("llama"), [], []
    counted = tiny("llama").register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    try:
        examples = Examples.of(text=texts(*range(1, 31)))
        for batch, _ in read(subject, examples, [outputs()], batch_tokens=60):
            rows += batch.tolist()
    finally:
        counted.remove()
    assert [width for _, width in widths] == sorted((width for _, width in widths), reverse=True)
    assert all(n * width <= 60 for n, width in widths)
    assert rows == list(range(29, -1, -1))


def test_the_model_does_not_run_for_features_of_the_text_alone() -> None:
    model = Counting()
    found = gathered(Subject.from_arrays(model), numbered(5), [text()])
    assert found["text"].tolist() == [f"row {row}" for row in range(5)]
    assert model.seen == []


def test_values_are_ordinary_float32_copies_also_of_a_bfloat16_model() -> None:
    model = type(tiny("llama"))(tiny("llama").config).to(torch.bfloat16)
    subject = Subject.from_tokenizer(model, tokenizer(pad_token="<pad>"))
    features = [activations("resid.*,head.0.*", at=at) for at in ("last", "mean", "all")]
    for _, reading in read(subject, Examples.of(text=texts(4, 5)), [*features, outputs()]):
        for values in reading.values():
            for value in values.values():
                tensor = value.values if isinstance(value, Tokens) else value
                assert isinstance(tensor, torch.Tensor)
                assert tensor.dtype == torch.float32
                assert not tensor.is_inference()
                assert tensor.is_contiguous()
                assert tensor.untyped_storage().nbytes() <= tensor.numel() * 4


class Poisoned(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.poison = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.poison(torch.where(x == 7.0, self.value, x))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("at", ["last", "all"])
def test_a_value_that_is_not_finite_is_told_with_its_site_and_row(value: float, at: str) -> None:
    subject = Subject.from_arrays(Poisoned(value))
    with pytest.raises(
        InputError, match=r"row 7 \(counted from 0\): the value at 'poison@.*' is NaN or infinite"
    ):
        list(read(subject, numbered(20), [activations("poison", at=at)], batch_tokens=3))


def test_batches_are_small_on_a_processor_unless_told_otherwise() -> None:
    subject, examples = subject_of("llama"), Examples.of(text=texts(*[40] * 30))
    assert [len(rows) for rows, _ in read(subject, examples, [outputs()])] == [25, 5]
    assert [len(rows) for rows, _ in read(subject, examples, [outputs()], batch_tokens=10_000)] == [30]


def test_no_examples_is_an_error() -> None:
    with pytest.raises(InputError, match="no examples"):
        list(read(Subject.from_arrays(Counting()), numbered(3).take([]), [outputs()]))


def test_a_bad_row_is_named_by_its_number_in_the_whole_table() -> None:
    subject = subject_of("llama")
    written: list[str | None] = ["w1"] * (WINDOW + 3)
    written[WINDOW + 1] = None
    with pytest.raises(
        InputError, match=rf"row {WINDOW + 1} \(counted from 0\): column 'text' holds nothing"
    ):
        list(read(subject, Examples.of(text=written), [outputs()], batch_tokens=100_000))


def test_hooks_are_gone_between_batches_and_grad_mode_is_the_callers_own() -> None:
    model = Counting()
    for _ in read(Subject.from_arrays(model), numbered(9), [activations("inner")], batch_tokens=2):
        assert not model.inner._forward_hooks
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_progress_is_silent_away_from_a_terminal_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    subject = Subject.from_arrays(Counting())
    list(read(subject, numbered(9), [outputs()], progress="fit"))
    assert capsys.readouterr().err == ""
    list(read(subject, numbered(9), [outputs()], progress="fit", show=True))
    shown = capsys.readouterr().err
    assert "fit" in shown
    assert "9/9" in shown
