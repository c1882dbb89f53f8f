"""Which number formats this machine computes quickly."""

from __future__ import annotations

import torch

__all__ = ["bfloat16_is_fast"]


def bfloat16_is_fast(device: str = "cpu") -> bool:
    """Whether products of bfloat16 matrices run at least about as fast as those of float32.

    A CPU without 512-bit vectors has no instructions for them: there they are emulated, thirty times as slowly as
    float32 (2.4 against 76 GFLOP/s on one core of an AVX2 machine). CUDA devices have them from compute capability 8.0.
    """
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return (
        bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) if torch.backends.mkldnn.is_available() else False
    )
