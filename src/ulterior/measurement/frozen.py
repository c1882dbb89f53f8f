"""Frozen blocks run once a row: the states that leave them wait on disk, and training begins above them.

Where only the upper blocks of a language model are trained, or none, the lower ones give the same states in every
epoch. A first pass computes and stores them. In the steps each frozen block lets its input through, and the last of
them returns what was stored; embeddings, masks and positions are made by the model as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from ulterior.architectures import find_anatomy
from ulterior.measurement.batches import pad
from ulterior.measurement.markers import Marked
from ulterior.subject import device_of

__all__ = ["Frozen", "StoredStates", "frozen_blocks", "skipped", "store_states"]


@dataclass(frozen=True, eq=False)
class Frozen:
    """The blocks below the first one that is trained, and what the last of them returns.

    Attributes:
        blocks: One or more, in the model's order.
        width: Of the hidden state.
        dtype: Of the hidden state.
        parts: Length of the tuple whose first part is the hidden state; None for blocks that return that alone.
    """

    blocks: tuple[nn.Module, ...]
    width: int
    dtype: torch.dtype
    parts: int | None

    @property
    def token_bytes(self) -> int:
        """Bytes that the state of one token takes."""
        return self.width * self.dtype.itemsize


@dataclass(frozen=True)
class StoredStates:
    """Where the states of one row lie: `tokens` of them, from the byte `offset` of a file on.

    The file is opened anew for each reading, so that rows can be sent to the processes that prepare batches.
    """

    path: Path
    offset: int
    tokens: int
    width: int
    dtype: torch.dtype

    def read(self) -> Float[Tensor, "s d"]:
        """The states, from disk."""
        size = self.tokens * self.width * self.dtype.itemsize
        stored = np.fromfile(self.path, np.uint8, size, offset=self.offset)
        return torch.from_numpy(stored).view(self.dtype).view(self.tokens, self.width)


def frozen_blocks(lm: Any) -> Frozen | None:
    """The lowest blocks whose states are the same in every epoch; None where there are none.

    Nothing that runs up to the end of them may be trained (an adapter counts) or random: a model with dropout in that
    part has none. Runs one token, to see what the last of them returns; the dtype is that of the autocast under which
    this is called.

    Args:
        lm: A causal language model of ``transformers`` whose trained weights have been chosen; of a family that
            ``find_anatomy`` knows, else the answer is None.
    """
    anatomy = find_anatomy(lm)
    if anatomy is None or anatomy.family.encoder:
        return None
    trained = (any(weight.requires_grad for weight in block.parameters()) for block in anatomy.blocks)
    depth = next((number for number, found in enumerate(trained) if found), len(anatomy.blocks))
    upper = {part for top in (*anatomy.blocks[depth:], anatomy.final) for part in top.modules()}
    lower = [part for part in lm.base_model.modules() if part not in upper]
    if depth == 0 or any(_is_trained(part) or _is_random(part) for part in lower):
        return None
    blocks = anatomy.blocks[:depth]
    found = _run_up_to(lm, blocks[-1], torch.zeros(1, 1, dtype=torch.long, device=device_of(lm)))
    hidden = _hidden(found)
    return Frozen(blocks, hidden.shape[-1], hidden.dtype, len(found) if isinstance(found, tuple) else None)


@contextmanager
def skipped(frozen: Frozen, states: Float[Tensor, "n s d"]) -> Iterator[None]:
    """Inside, the model runs as if `states` had left its frozen blocks, which cost nothing.

    The blocks stay where they are, so that whatever a model reads from them besides (`attention_type`) is there; only
    what they compute is exchanged.
    """

    def form(hidden: Tensor) -> Any:
        return hidden if frozen.parts is None else (hidden, *[None] * (frozen.parts - 1))

    def lets_through(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return form(hidden_states)

    def stands_in(*args: Any, **kwargs: Any) -> Any:
        return form(states)

    before = [vars(block).get("forward") for block in frozen.blocks]  # an instance may have one of its own
    try:
        for block in frozen.blocks:
            block.forward = stands_in if block is frozen.blocks[-1] else lets_through
        yield
    finally:
        for block, own in zip(frozen.blocks, before, strict=True):
            vars(block).pop("forward", None)
            if own is not None:
                block.forward = own


def store_states(
    lm: Any, frozen: Frozen, texts: Sequence[Marked], path: Path, batch: int, accelerator: Any
) -> list[StoredStates]:
    """Run the frozen blocks over all texts, and write the states that leave the last of them to one file.

    Under a launcher every process calls this and computes its share; the file must be one that all of them see.

    Args:
        lm: The language model, on the device where it is to run.
        frozen: Its frozen blocks.
        texts: Of one token at least.
        path: The file, which is made anew and takes ``frozen.token_bytes`` for each token. Its folder is there.
        batch: Texts at a time.
        accelerator: The ``accelerate.Accelerator`` of the training: its number format and its processes.

    Returns:
        Where the states of each text lie.
    """
    lengths = [len(text.ids) for text in texts]
    offsets = np.concatenate([[0], np.cumsum(lengths)]) * frozen.token_bytes
    if accelerator.is_main_process:
        with path.open("wb") as file:
            file.truncate(int(offsets[-1]))
    accelerator.wait_for_everyone()
    # Longest first: if memory does not suffice, this is known at once.
    order = np.argsort(lengths, kind="stable")[::-1]
    starts = range(accelerator.process_index * batch, len(order), accelerator.num_processes * batch)
    device, last = device_of(lm), frozen.blocks[-1]
    with (
        path.open("r+b") as file,
        tqdm(
            total=len(texts), desc="frozen blocks", unit="row", disable=not accelerator.is_main_process
        ) as bar,
    ):
        for start in starts:
            rows = order[start : start + batch]
            # No mask: padding stands on the right, as in the training.
            ids = pad([texts[row] for row in rows]).input_ids.to(device)
            with accelerator.autocast():
                states = _hidden(_run_up_to(lm, last, ids)).to(frozen.dtype).cpu()
            for row, state in zip(rows, states, strict=True):
                file.seek(int(offsets[row]))
                file.write(state[: lengths[row]].contiguous().view(torch.uint8).numpy().data)
            bar.update(min(len(rows) * accelerator.num_processes, len(texts) - bar.n))
    accelerator.wait_for_everyone()
    return [
        StoredStates(path, int(offset), length, frozen.width, frozen.dtype)
        for offset, length in zip(offsets[:-1], lengths, strict=True)
    ]


class _Reached(Exception):  # noqa: N818 - none
    """Ends a forward pass; holds what the last block that counts returned."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


def _run_up_to(lm: Any, last: nn.Module, ids: Int[Tensor, "n s"]) -> Any:
    """What a block returns, without the pass above it."""

    def stop(module: nn.Module, args: Any, output: Any) -> None:
        raise _Reached(output)

    hook = last.register_forward_hook(stop)
    try:
        with torch.no_grad():
            lm.base_model(input_ids=ids, attention_mask=None, use_cache=False)
    except _Reached as reached:
        return reached.output
    finally:
        hook.remove()
    raise RuntimeError(f"the last frozen block, a {type(last).__name__}, did not run")


def _hidden(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _is_trained(module: nn.Module) -> bool:
    return any(weight.requires_grad for weight in module.parameters(recurse=False))


def _is_random(module: nn.Module) -> bool:
    # Attention keeps the probability of its dropout as a number of some name with "drop" in it.
    numbers = {name: value for name, value in vars(module).items() if isinstance(value, (int, float))}
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return numbers["p"] > 0
    return any("drop" in name and value > 0 for name, value in numbers.items())
