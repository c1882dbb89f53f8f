"""The bounded store keeps the same rows however they arrive, on a disk that may be full."""

from __future__ import annotations

import gc
import os
import resource
import signal
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulterior.errors import InputError
from ulterior.scores import Stored, StoreFitter, StoreOf, TextFitter
from ulterior.scores.store import hashes


def vectors(row_numbers: np.ndarray) -> torch.Tensor:
    """A vector for each row number, that tells which one it is."""
    return torch.stack([torch.as_tensor(row_numbers).float(), torch.as_tensor(row_numbers).float() ** 2], 1)


def stored(shards: list[list[np.ndarray]], bound: int, scratch) -> Stored:
    """Each shard streams its batches of row numbers; then all are merged."""
    whole = StoreFitter(2, bound, scratch)
    for batches in shards:
        fitter = StoreFitter(2, bound, scratch)
        for numbers in batches:
            fitter.update(vectors(numbers), numbers)
        whole.merge(fitter)
        fitter.close()
    return whole.finish()


def the_smallest_hashes(row_numbers: np.ndarray, bound: int) -> np.ndarray:
    keys = hashes(row_numbers, np.zeros_like(row_numbers))
    return np.sort(row_numbers[np.argsort(keys)[:bound]])


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(0, 80), max_size=5),
    st.integers(0, 1000),
    st.sampled_from([1, 7, 40, 80, 200]),
    st.integers(1, 4),
)
def test_streaming_batch_and_merged_shards_keep_the_same_rows(tmp_path_factory, cut, seed, bound, n_shards):
    scratch = tmp_path_factory.getbasetemp()
    numbers = np.random.default_rng(seed).permutation(1000)[:80]
    batches = np.split(numbers, sorted(cut))
    found = stored([batches[i::n_shards] for i in range(n_shards)], bound, scratch)
    np.testing.assert_array_equal(found.rows, the_smallest_hashes(numbers, bound))
    assert isinstance(found.x, torch.Tensor)
    torch.testing.assert_close(found.x, vectors(found.rows))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 30), max_size=4), st.sampled_from([1, 5, 30]))
def test_texts_are_kept_like_vectors(cut, bound):
    numbers = np.random.default_rng(0).permutation(30)
    streamed, merged = TextFitter(bound), TextFitter(bound)
    for batch in np.split(numbers, sorted(cut)):
        streamed.update([f"text {i}" for i in batch], batch)
        shard = TextFitter(bound)
        shard.update([f"text {i}" for i in batch], batch)
        merged.merge(shard)
    for found in (streamed.finish(), merged.finish()):
        np.testing.assert_array_equal(found.rows, the_smallest_hashes(numbers, bound))
        assert found.x == tuple(f"text {i}" for i in found.rows)


def test_several_vectors_of_one_row_are_told_apart_and_keep_their_order(tmp_path):
    numbers = np.repeat(np.arange(50), 3)
    x = torch.stack([torch.as_tensor(numbers).float(), torch.arange(150).float()], 1)
    whole, streamed = StoreFitter(2, 60, tmp_path), StoreFitter(2, 60, tmp_path)
    whole.update(x, numbers)
    for start in range(0, 150, 9):
        streamed.update(x[start : start + 9], numbers[start : start + 9])
    one, other = whole.finish(), streamed.finish()
    assert len(one) == 60
    assert len(np.unique(one.rows)) > 30
    assert isinstance(one.x, torch.Tensor)
    assert isinstance(other.x, torch.Tensor)
    assert torch.equal(one.x, other.x)
    np.testing.assert_array_equal(one.x[:, 0], one.rows)
    assert (one.x[1:, 1] > one.x[:-1, 1]).all()


def test_the_sample_is_uniform_over_the_rows(tmp_path):
    chosen = stored([[np.arange(20_000)]], 2_000, tmp_path).rows
    counts = np.bincount(chosen // 2_000, minlength=10)
    # Hypergeometric: mean 200, standard deviation 12.7.
    assert np.abs(counts - 200).max() < 4 * 12.7


def test_hashes_of_neighbouring_numbers_differ_in_half_of_their_bits():
    keys = hashes(np.arange(1000), np.zeros(1000, np.int64))
    flipped = np.array([bin(int(a ^ b)).count("1") for a, b in pairwise(keys)])
    assert abs(flipped.mean() - 32) < 0.5
    assert len(np.unique(keys)) == 1000


def test_a_store_grows_on_disk_only_as_it_fills_and_leaves_nothing_behind(tmp_path):
    fitter = StoreFitter(8, 100_000, tmp_path)
    fitter.update(torch.ones(10, 8), np.arange(10))
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == 1024 * 8 * 4
    fitter.update(torch.ones(3000, 8), np.arange(10, 3010))
    assert path.stat().st_size < 2 * 3010 * 8 * 4
    sample = fitter.finish()
    assert not list(tmp_path.iterdir())
    assert isinstance(sample.x, torch.Tensor)
    assert sample.x.sum() == 3010 * 8
    del sample, fitter
    gc.collect()


def test_a_store_that_is_not_wanted_any_more_removes_its_file(tmp_path):
    fitter = StoreFitter(8, 100, tmp_path)
    fitter.update(torch.ones(10, 8), np.arange(10))
    fitter.close()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write to the folder .*file"):
        StoreOf("trusted").start(8, tmp_path / "file")


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_behind(tmp_path):
    fitter = StoreFitter(512, 20_000, tmp_path)
    fitter.update(torch.ones(10, 512), np.arange(10))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot keep .* MB of activations in"):
            fitter.update(torch.ones(3000, 512), np.arange(10, 3010))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(tmp_path.iterdir())


def test_where_the_system_cannot_reserve_space_zeros_are_written_instead(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    numbers = np.arange(3000)
    found = stored([[numbers[:1000], numbers[1000:]]], 5000, tmp_path)
    assert isinstance(found.x, torch.Tensor)
    torch.testing.assert_close(found.x, vectors(numbers))


def test_an_empty_group_and_an_impossible_bound_are_refused(tmp_path):
    with pytest.raises(InputError, match="'suspects' has no rows"):
        StoreOf("suspects").start(3, tmp_path).finish()
    with pytest.raises(InputError, match="at least 1"):
        StoreOf("trusted", 0).start(3, tmp_path)
