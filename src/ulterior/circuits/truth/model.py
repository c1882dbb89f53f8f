"""The transformer that programs are compiled to: no norms, no biases in the stream, attention to what went before."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["CompiledTransformer", "Shape"]


@dataclass(frozen=True)
class Shape:
    """Sizes of a compiled transformer.

    Attributes:
        vocabulary: Tokens.
        length: The most tokens of a sequence.
        width: Of the stream.
        layers: Blocks.
        heads: Heads a block.
        head: Width of a head's queries, keys and values.
        neurons: Neurons a block.
    """

    vocabulary: int
    length: int
    width: int
    layers: int
    heads: int
    head: int
    neurons: int


class CompiledTransformer(nn.Module):
    """A decoder in the layout that ``ulterior.architectures`` knows as ``compiled``; its weights start at zero.

    ``block.attn`` projects to queries, keys and values without biases, scores are not scaled, and ``block.mlp`` has
    one hidden layer of ReLUs. The final norm is the identity.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.config = SimpleNamespace(
            model_type="compiled",
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            num_hidden_layers=shape.layers,
            hidden_size=shape.width,
            vocab_size=shape.vocabulary,
            max_position_embeddings=shape.length,
            pad_token_id=0,
        )
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.length, shape.width)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.final = nn.Identity()
        self.unembed = nn.Linear(shape.width, shape.vocabulary, bias=False)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the tokens."""
        return self.tokens

    def forward(self, input_ids: Int[Tensor, "n s"], attention_mask: Tensor | None = None) -> SimpleNamespace:
        """Logits ``[n, s, vocabulary]``; batches are padded on the right, so that the mask changes nothing real."""
        x = self.tokens(input_ids) + self.positions.weight[: input_ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return SimpleNamespace(logits=self.unembed(self.final(x)))


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attn = _Attention(shape)
        self.mlp = _FeedForward(shape)

    def forward(self, x: Float[Tensor, "n s d"]) -> Float[Tensor, "n s d"]:
        x = x + self.attn(x)
        return x + self.mlp(x)


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        inner = shape.heads * shape.head
        self.q_proj = nn.Linear(shape.width, inner, bias=False)
        self.k_proj = nn.Linear(shape.width, inner, bias=False)
        self.v_proj = nn.Linear(shape.width, inner, bias=False)
        self.o_proj = nn.Linear(inner, shape.width, bias=False)

    def forward(self, x: Float[Tensor, "n s d"]) -> Float[Tensor, "n s d"]:
        q, k, v = (
            projection(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        after = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        pattern = (q @ k.transpose(2, 3)).masked_fill(after, -torch.inf).softmax(3)
        return self.o_proj((pattern @ v).transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.width, shape.neurons)
        self.act = nn.ReLU()
        self.down = nn.Linear(shape.neurons, shape.width)

    def forward(self, x: Float[Tensor, "n s d"]) -> Float[Tensor, "n s d"]:
        return self.down(self.act(self.up(x)))
