"""The one pass: every example goes through the model once, whatever is read from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from tqdm import tqdm

from ulterior.capture import Captured, capture
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.feature import (
    Feature,
    FeatureError,
    NeedsGradients,
    Prepares,
    Run,
    Tokens,
    Values,
    not_finite,
    unprepared,
)
from ulterior.features.gradients import GradientError, backward, graph_from_inputs
from ulterior.subject import Batch, Encoded, RowError, Subject, device_of

# Examples that are encoded and sorted by length at a time: enough to cut even batches, few enough to forget.
WINDOW = 2048
# Tokens a batch by kind of device. On two CPU cores, a 135M decoder took 30% less time with 1,024 than with 4,096.
CPU_TOKENS, ACCELERATOR_TOKENS = 1024, 16_384
# A batch whose graph is kept holds the activations of all layers, and a gradient for each, so it is smaller.
GRAPH_SHARE = 2
# No batch has more rows than this, however short they are.
MAX_ROWS = 1024

Reading = dict[Feature, dict[str, Values]]


def read(
    subject: Subject,
    examples: Examples,
    features: Sequence[Feature],
    *,
    batch_tokens: int | None = None,
    progress: str | None = None,
    show: bool | None = None,
    device: torch.device | str | None = "cpu",
) -> Iterator[tuple[Int[np.ndarray, " n"], Reading]]:
    """Run the subject once over the examples and read all features from that pass.

    Batches hold examples of like length, longest first within a window, so rows come in another order than they
    were given: each batch says which rows it holds. An example's features do not depend on the batches.

    Where a feature needs gradients, the forward keeps its graph, and each column of the outputs that are to be
    differentiated costs one backward pass, whatever the number of features; the model's parameters get no gradient.

    Args:
        subject: The model under examination.
        examples: At least one.
        features: What to read; the union of their sites is captured.
        batch_tokens: Size of a forward batch in tokens, padding included. By default what a device is fast at:
            a processor's caches like small batches, an accelerator large ones; half of it where graphs are kept.
        progress: Name of a progress bar with rate and time left; none if not given.
        show: Whether to draw that bar; by default only on a terminal.
        device: Where values go; None leaves them where the model computed them.

    Yields:
        Row numbers ``[n]`` and, for each feature, its values by key: float32 tensors ``[n, d]``, ``Tokens``, or
        text, rows in the order of the row numbers.

    Raises:
        InputError: no examples.
        RowError: examples that cannot be encoded, or activations that are NaN or infinite (with their site and rows).
        FeatureError: a feature that this subject cannot give.
    """
    if len(examples) == 0:
        raise InputError("there are no examples to read; at least one is needed")
    features = list(dict.fromkeys(features))
    sites = tuple(dict.fromkeys(site for feature in features for site in _sites(feature, subject)))
    if batch_tokens is None:
        batch_tokens = CPU_TOKENS if device_of(subject.model).type == "cpu" else ACCELERATOR_TOKENS
        batch_tokens //= GRAPH_SHARE if any(isinstance(one, NeedsGradients) for one in features) else 1
    runs_model = any(feature.runs_model for feature in features)
    with tqdm(
        total=len(examples),
        desc=progress,
        unit="example",
        disable=progress is None or (None if show is None else not show),
    ) as bar:
        for start in range(0, len(examples), WINDOW):
            window = examples.take(np.arange(start, min(start + WINDOW, len(examples))))
            encoded = _encode(subject, window, start) if runs_model else None
            for rows in _batches(encoded, len(window), batch_tokens):
                taken = window.take(rows)
                try:
                    reading = _read_batch(
                        subject, taken, [encoded[row] for row in rows] if encoded else [], features, sites
                    )
                    _check_finite(reading)
                except RowError as error:
                    raise error.among(rows + start) from None
                yield rows + start, {feature: _moved(values, device) for feature, values in reading.items()}
                bar.update(len(rows))


def begin(
    subject: Subject, examples: Examples, features: Sequence[Feature], **how: Any
) -> tuple[Iterator[tuple[Int[np.ndarray, " n"], Reading]], dict[Feature, str]]:
    """Begin a read with those of the features that this subject can give.

    What a subject cannot give shows in the first batch, which is read at once, and again for each time that it fails.

    Args:
        subject: The model under examination.
        examples: At least one.
        features: What to read, if possible.
        how: What else ``read`` takes.

    Returns:
        What ``read`` yields of the features that remain, and why the others cannot be read.
    """
    left, refused = list(dict.fromkeys(features)), {}
    while left:
        stream = read(subject, examples, left, **how)
        try:
            first = next(stream)
        except FeatureError as error:
            refused |= dict.fromkeys(error.features, str(error))
            left = [feature for feature in left if feature not in error.features]
        else:
            return chain([first], stream), refused
    return iter(()), refused


def _sites(feature: Feature, subject: Subject) -> tuple[str, ...]:
    if isinstance(feature, Prepares):
        raise unprepared(feature)
    with _blamed(feature):
        return feature.sites(subject)


@contextmanager
def _blamed(feature: Feature) -> Iterator[None]:
    """Say of an error inside which feature cannot be read, unless it is about single examples."""
    try:
        yield
    except (RowError, FeatureError):
        raise
    except InputError as error:
        raise FeatureError([feature], str(error)) from error


def _encode(subject: Subject, window: Examples, start: int) -> list[Encoded]:
    try:
        return subject.encode(window)
    except RowError as error:
        raise error.shifted(start) from None


def _batches(encoded: Sequence[Encoded] | None, n: int, budget: int) -> Iterator[Int[np.ndarray, " n"]]:
    """Rows of each batch, longest first (what does not fit in memory fails at once, not at the end)."""
    if encoded is None:
        yield np.arange(n)
        return
    costs = np.array([example.cost for example in encoded])
    order = np.argsort(-costs, kind="stable")
    begin = 0
    while begin < n:
        size = int(np.clip(budget // costs[order[begin]], 1, MAX_ROWS))
        yield order[begin : begin + size]
        begin += size


def _read_batch(
    subject: Subject,
    examples: Examples,
    encoded: Sequence[Encoded],
    features: Sequence[Feature],
    sites: Sequence[str],
) -> Reading:
    if not encoded:
        run, reading = Run(examples, Batch({}), Captured({}), None, subject), {}
        for feature in features:
            with _blamed(feature):
                reading[feature] = feature.read(run)
        return reading
    batch = subject.collate(encoded)
    run, reading = _run(subject, examples, batch, features, sites), {}
    # Outside inference mode, so that the values are ordinary tensors for whoever takes them.
    with torch.no_grad():
        for feature in features:
            with _blamed(feature):
                reading[feature] = _cut(feature.read(run))
    return reading


def _run(
    subject: Subject, examples: Examples, batch: Batch, features: Sequence[Feature], sites: Sequence[str]
) -> Run:
    steep = [feature for feature in features if isinstance(feature, NeedsGradients)]
    if not steep:
        with _captured(subject, features, sites) as captured:
            return Run(examples, batch, captured, subject.run(batch), subject)
    outputs = tuple(dict.fromkeys(name for feature in steep for name in feature.gradient_of))
    of_feature = {feature: feature.sites(subject) for feature in steep}
    differentiated = tuple(dict.fromkeys(chain.from_iterable(of_feature.values())))
    with torch.inference_mode(False), torch.enable_grad(), graph_from_inputs(subject.model, batch) as rooted:
        with _captured(subject, features, sites) as captured:
            try:
                output = subject.run(rooted, grad=True)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # without a graph it may run; if not, that run says why
                raise FeatureError(
                    steep, f"the forward pass cannot keep a graph: {str(error).splitlines()[0]}"
                ) from error
        try:
            gradients = backward(subject, batch, output, captured, outputs, differentiated)
        except GradientError as error:
            guilty = [
                one for one in steep if error.output in one.gradient_of or error.site in of_feature[one]
            ]
            raise FeatureError(guilty, str(error)) from error
    return Run(examples, batch, captured, output, subject, gradients)


@contextmanager
def _captured(subject: Subject, features: Sequence[Feature], sites: Sequence[str]) -> Iterator[Captured]:
    with ExitStack() as stack:
        try:
            captured = stack.enter_context(capture(subject.model, sites))
        except InputError:
            for feature in features:
                with _blamed(feature), capture(subject.model, feature.sites(subject)):
                    pass
            raise
        yield captured


def _cut(values: dict[str, Values]) -> dict[str, Values]:
    """Values that a reader may keep: a graph that hung on them would keep the whole batch."""
    return {
        key: value.detach() if isinstance(value, Tensor) and value.requires_grad else value
        for key, value in values.items()
    }


def _check_finite(reading: Reading) -> None:
    tensors = [
        (key, value)
        for values in reading.values()
        for key, value in values.items()
        if not isinstance(value, list)
    ]
    # x * 0 is 0 for every finite x and NaN for all others: one number a key, one look at the device.
    sums = [(_tensor(value) * 0).sum() for _, value in tensors]
    if not sums:
        return
    finite = torch.stack([total.to(sums[0].device) for total in sums]).isfinite().tolist()
    for (key, value), is_finite in zip(tensors, finite, strict=True):
        if not is_finite:
            bad = (~torch.isfinite(_tensor(value)).all(1)).nonzero()[:, 0]
            owners = value.owner[bad.to(value.owner.device)] if isinstance(value, Tokens) else bad
            raise RowError(owners.unique().tolist(), not_finite("value", key))


def _tensor(value: Tensor | Tokens) -> Tensor:
    return value.values if isinstance(value, Tokens) else value


def _moved(values: dict[str, Values], device: torch.device | str | None) -> dict[str, Values]:
    return values if device is None else {key: _to(value, device) for key, value in values.items()}


def _to(value: Values, device: torch.device | str) -> Values:
    if isinstance(value, Tokens):
        return Tokens(value.values.to(device), value.owner.to(device))
    return value if isinstance(value, list) else value.to(device)
