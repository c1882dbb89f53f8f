"""How a norm passes gradients back, for many gradients at one place of the stream.

A layer norm or a root-mean-square norm is ``c * x' / r(x) + b``, where x' is x, or x without its mean, and r the root
of the mean square of x' and a small constant. A gradient y behind it arrives in front as

    (w - x^ (x^ . w) / d) / r,    w = c * y, without its mean where x' has none,    x^ = x' / r

Everything but the term with x^ is linear in y and the same at every place, so that it can be folded into the matrix of
the projection behind the norm: then only one product and one multiply-add go over the gradients of all heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ulterior.circuits.wiring import gain
from ulterior.errors import InputError

__all__ = ["Norm", "law_of"]

_EXACT = (torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Norm:
    """A norm's law.

    Attributes:
        module: The norm.
        channels: What it multiplies each channel by ``[d]``; None for the identity, and where the law is not known.
        centred: Whether it takes the mean away first.
        eps: The constant beside the mean square.
    """

    module: nn.Module
    channels: Float[Tensor, "d"] | None = None
    centred: bool = False
    eps: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether it does nothing."""
        return isinstance(self.module, nn.Identity)

    def fold(self, matrix: Float[Tensor, "*h e d"]) -> Float[Tensor, "*h e d"]:
        """A matrix that gradients are multiplied by, with the norm's linear part behind it."""
        if self.channels is None:
            return matrix
        folded = matrix * self.channels.to(matrix.dtype)
        return folded - folded.mean(-1, keepdim=True) if self.centred else folded

    def scaled(self, x: Float[Tensor, "*t d"]) -> tuple[Float[Tensor, "*t d"], Float[Tensor, "*t 1"]]:
        """The places in front of the norm: each in units of its size, and one over that size."""
        if self.centred:
            x = x - x.mean(-1, keepdim=True)
        places = (x.pow(2).mean(-1, keepdim=True) + self.eps).rsqrt()
        return x * places, places

    def linear(self, x: Float[Tensor, "*t d"]) -> Float[Tensor, "*t d"]:
        """The norm with its scale held fixed: as large as its output without a bias, and linear in x.

        Raises:
            InputError: a norm whose law is not known.
        """
        if self.is_identity:
            return x
        if self.channels is None:
            raise InputError(
                f"the scale of {type(self.module).__name__} cannot be held fixed: its law is not known"
            )
        places = self.scaled(x.detach())[1]
        centred = x - x.mean(-1, keepdim=True) if self.centred else x
        return self.channels.to(x.dtype) * (centred * places)

    def back(
        self,
        y: Float[Tensor, "g t d"],
        x: Float[Tensor, "t d"] | None,
        fixed: bool = False,
    ) -> Float[Tensor, "g t d"]:
        """Gradients in front of the norm, in the memory of those behind it.

        Args:
            y: Behind it: folded and divided by the places' sizes already (``fold``, ``scaled``) where the law is known.
            x: What stands in front of it, ``scaled`` where the law is known.
            fixed: Whether the norm's scale counts as a constant.
        """
        if self.is_identity:
            return y
        assert x is not None
        if self.channels is not None:
            return (
                y
                if fixed
                else y.addcmul_(
                    x, (y @ x[:, :, None] if len(x) == 1 else _dots(y, x)), value=-1 / x.shape[-1]
                )
            )
        if fixed:
            raise InputError(
                f"the scale of {type(self.module).__name__} cannot be held fixed: its law is not known"
            )
        with torch.enable_grad():
            wide = x.expand(y.shape).detach().requires_grad_()
            return torch.autograd.grad(self.module.forward(wide), wide, y)[0]


def law_of(norm: nn.Module, x: Float[Tensor, "*t d"]) -> Norm:
    """The law of a norm, checked at one place; of an unknown one its gradients come from autograd.

    Args:
        norm: The norm.
        x: What stands in front of it somewhere. Places of padding may hold no numbers (all of Gemma 2's attention in
            double precision); the check takes one that does.
    """
    if isinstance(norm, nn.Identity):
        return Norm(norm)
    places = x.detach().flatten(0, -2)
    some = places[places.isfinite().all(1)][:1]
    if not len(some):
        return Norm(norm)
    if isinstance(norm, nn.LayerNorm) and norm.elementwise_affine and len(norm.normalized_shape) == 1:
        found = Norm(norm, norm.weight.detach(), True, norm.eps)
        bias = 0.0 if norm.bias is None else norm.bias.detach()
    else:
        try:
            channels, _ = gain(norm, some)
        except InputError:
            return Norm(norm)
        eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", 0.0))
        found, bias = Norm(norm, channels, False, float(eps)), 0.0
    with torch.no_grad():
        expected = norm.forward(some)
        close = torch.allclose(
            found.linear(some) + bias, expected, rtol=2e-2, atol=1e-3 * float(expected.abs().max())
        )
    return found if close else Norm(norm)


def _dots(y: Float[Tensor, "g t d"], x: Float[Tensor, "t d"]) -> Float[Tensor, "g t 1"]:
    return torch.einsum("gtd,td->gt", y, x)[..., None]
