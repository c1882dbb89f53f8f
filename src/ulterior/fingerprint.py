"""Tell one set of weights from another."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

SAMPLE = 64
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def fingerprint(model: nn.Module) -> str:
    """A hash of the weights: 32 hexadecimal digits.

    It covers, for every tensor of the state dict: its name, shape, dtype, 64 values evenly spread over it, and
    the sum of all its values' bit patterns. A sum of integers is the same on any device and in any order.

    Detected: other names, shapes or dtypes, and any change of values, were it one number of one layer (a change
    goes unseen only if it leaves the sample alone and its bit patterns cancel out, as when two equal-sized
    values swap places). Not detected: a change in code or configuration that leaves the weights alone, and
    values of tensors that are offloaded to disk.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        if not tensor.is_meta and tensor.numel():
            digest.update(_bits(tensor))
    return digest.hexdigest()[:32]


def _bits(tensor: Tensor) -> bytes:
    flat = tensor.detach().reshape(-1)
    bits = flat.view(_INTEGERS.get(flat.element_size(), torch.int8))
    step = max(1, len(bits) // SAMPLE)
    sample = bits[::step][:SAMPLE].to(torch.int64)
    return torch.cat([sample, bits.sum(dtype=torch.int64)[None]]).cpu().numpy().tobytes()
