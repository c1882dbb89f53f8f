"""How the parts of a transformer are wired: what each part reads from the stream, and what it adds to it.

In every supported family the stream in front of a part is a constant plus the sum of what earlier parts added, and a
part reads that sum through a norm of its own. One line a family says where the projections and norms are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ulterior.architectures import Anatomy, find_anatomy, projection_weight
from ulterior.errors import InputError

__all__ = ["PARTS", "BlockWiring", "Projection", "Wiring", "find_wiring", "gain"]

PARTS: tuple[str, ...] = ("q", "k", "v")


@dataclass(frozen=True)
class _Wires:
    """Paths inside a block.

    Attributes:
        inward: The projections to queries, keys and values; one path where they are fused.
        layout: How a fused projection orders its outputs: ``stacked`` (all queries, all keys, all values),
            ``by_head`` (each head's query, key, value), or ``sharded`` (four shards, each query, value, key).
        norm: The norm in front of attention; None where there is none.
        mlp_norm: The norm in front of the feed-forward layer; None where there is none.
        after: The norm behind attention, in front of the stream; None where there is none.
        mlp_after: The same behind the feed-forward layer.
        down: The feed-forward layer's last projection, whose inputs are its neurons.
        parallel: Whether the feed-forward layer reads what attention reads; None: the configuration says.
    """

    inward: tuple[str, ...]
    norm: str | None
    mlp_norm: str | None
    down: str
    layout: str = "stacked"
    after: str | None = None
    mlp_after: str | None = None
    parallel: bool | None = False


_APART = tuple(f"self_attn.{part}_proj" for part in PARTS)
_LLAMA = _Wires(_APART, "input_layernorm", "post_attention_layernorm", "mlp.down_proj")
_GEMMA2 = _Wires(
    _APART,
    "input_layernorm",
    "pre_feedforward_layernorm",
    "mlp.down_proj",
    after="post_attention_layernorm",
    mlp_after="post_feedforward_layernorm",
)
_OLMO2 = _Wires(
    _APART,
    None,
    None,
    "mlp.down_proj",
    after="post_attention_layernorm",
    mlp_after="post_feedforward_layernorm",
)

# By the configuration's `model_type`.
_WIRES = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "smollm3"), _LLAMA),
    "phi3": _Wires(("self_attn.qkv_proj",), "input_layernorm", "post_attention_layernorm", "mlp.down_proj"),
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2,
    "olmo2": _OLMO2,
    "gpt2": _Wires(("attn.c_attn",), "ln_1", "ln_2", "mlp.c_proj"),
    "gpt_neox": _Wires(
        ("attention.query_key_value",),
        "input_layernorm",
        "post_attention_layernorm",
        "mlp.dense_4h_to_h",
        layout="by_head",
        parallel=None,
    ),
    "codegen": _Wires(("attn.qkv_proj",), "ln_1", "ln_1", "mlp.fc_out", layout="sharded", parallel=True),
    "gptj": _Wires(tuple(f"attn.{part}_proj" for part in PARTS), "ln_1", "ln_1", "mlp.fc_out", parallel=True),
    # Ours, of ``circuits/truth/model.py``: no norms at all.
    "compiled": _Wires(tuple(f"attn.{part}_proj" for part in PARTS), None, None, "mlp.down"),
}
_SHARDS = 4  # CodeGen's fused projection keeps the shards that it was trained in


@dataclass(frozen=True, eq=False)
class Projection:
    """A module that makes queries, keys or values, or all three.

    Attributes:
        module: What is hooked; its output's last axis is ``outputs``.
        rows: For each part that it makes, which of its outputs are each head's, ``[heads, width]``.
    """

    module: nn.Module
    rows: dict[str, Int[Tensor, "h e"]]

    @property
    def weight(self) -> Tensor:
        """Its matrix as ``[d, outputs]``."""
        return _matrix(self.module)


@dataclass(frozen=True, eq=False)
class BlockWiring:
    """One block's modules; see ``_Wires`` for what each is.

    Attributes:
        projections: One for each of q, k and v, or one for all.
        norm: In front of attention; the identity where a family has none, as for the other norm.
        outward: The attention's output projection.
        after: The norm behind attention, or None.
        mlp: The feed-forward layer.
        mlp_norm: In front of it.
        mlp_after: Behind it, or None.
        down: Its last projection.
        parallel: Whether the feed-forward layer does not see this block's attention.
    """

    projections: tuple[Projection, ...]
    norm: nn.Module
    outward: nn.Module
    after: nn.Module | None
    mlp: nn.Module
    mlp_norm: nn.Module
    mlp_after: nn.Module | None
    down: nn.Module
    parallel: bool

    @property
    def outward_weight(self) -> Tensor:
        """The attention's output matrix ``[heads * width, d]``."""
        return _matrix(self.outward)

    @property
    def outward_bias(self) -> Tensor | None:
        """What attention adds to the stream whatever its heads do, ``[d]``."""
        bias = getattr(self.outward, "bias", None)
        return None if bias is None else bias.detach()

    @property
    def down_weight(self) -> Tensor:
        """The feed-forward layer's last matrix ``[k, d]``."""
        return _matrix(self.down)

    @property
    def down_bias(self) -> Tensor | None:
        """What the feed-forward layer adds whatever its neurons do, ``[d]``."""
        bias = getattr(self.down, "bias", None)
        return None if bias is None else bias.detach()


@dataclass(frozen=True, eq=False)
class Wiring:
    """A transformer's blocks, and how many heads each has.

    Attributes:
        blocks: In order.
        first: The first block itself; its input is what the embedding adds.
        final: The norm in front of the logits.
        n_heads: Query heads a block.
        n_kv_heads: Heads of keys and values a block, each shared by ``n_heads / n_kv_heads`` query heads.
        width: Of the stream.
        n_neurons: Inputs of each block's ``down``.
    """

    blocks: tuple[BlockWiring, ...]
    first: nn.Module
    final: nn.Module
    n_heads: int
    n_kv_heads: int
    width: int
    n_neurons: int


def find_wiring(model: nn.Module) -> Wiring:
    """The wiring of the decoder in the model.

    Raises:
        InputError: no decoder of a known family, weights that cannot be read as matrices (quantised, offloaded,
            under an adapter that is not merged), or a layer whose additions to the stream cannot be told apart.
    """
    anatomy = find_anatomy(model)
    wires = _WIRES.get(anatomy.config.model_type) if anatomy else None
    if anatomy is None or wires is None:
        known = ", ".join(_WIRES)
        raise InputError(
            f"circuits are known of decoders of these families only: {known}; {type(model).__name__} holds none"
        )
    if getattr(anatomy.config, "add_cross_attention", False):
        raise InputError(
            "a model with cross-attention reads more than its own stream: circuits do not cover it"
        )
    n_heads = anatomy.n_heads
    n_kv = int(getattr(anatomy.config, "num_key_value_heads", None) or n_heads)
    blocks = tuple(_block(anatomy, wires, number, n_heads, n_kv) for number in range(len(anatomy.blocks)))
    return Wiring(
        blocks,
        anatomy.blocks[0],
        anatomy.final,
        n_heads,
        n_kv,
        blocks[0].outward_weight.shape[1],
        _matrix(blocks[0].down).shape[0],
    )


def _block(anatomy: Anatomy, wires: _Wires, number: int, n_heads: int, n_kv: int) -> BlockWiring:
    block = anatomy.blocks[number]
    parallel = anatomy.config.use_parallel_residual if wires.parallel is None else wires.parallel
    found = BlockWiring(
        projections=_projections(block, wires, n_heads, n_kv),
        norm=_norm(block, wires.norm),
        outward=anatomy.projections[number],
        after=block.get_submodule(wires.after) if wires.after else None,
        mlp=anatomy.mlps[number],
        mlp_norm=_norm(block, wires.mlp_norm),
        mlp_after=block.get_submodule(wires.mlp_after) if wires.mlp_after else None,
        down=block.get_submodule(wires.down),
        parallel=bool(parallel),
    )
    for after, bias in ((found.after, found.outward_bias), (found.mlp_after, found.down_bias)):
        if after is not None and bias is not None:
            raise InputError(
                f"block {number} norms a bias together with what its heads or neurons return, so that their shares"
                " of the stream are not known"
            )
    return found


def _projections(block: nn.Module, wires: _Wires, n_heads: int, n_kv: int) -> tuple[Projection, ...]:
    modules = [block.get_submodule(path) for path in wires.inward]
    heads = dict(zip(PARTS, (n_heads, n_kv, n_kv), strict=True))
    if len(modules) == len(PARTS):
        return tuple(
            Projection(module, {part: torch.arange(_outputs(module)).view(heads[part], -1)})
            for part, module in zip(PARTS, modules, strict=True)
        )
    (module,) = modules
    number = torch.arange(_outputs(module))
    if wires.layout == "by_head":
        rows: dict[str, Tensor] = dict(
            zip(PARTS, number.view(n_heads, len(PARTS), -1).unbind(1), strict=True)
        )
    elif wires.layout == "sharded":
        shards = number.view(_SHARDS, len(PARTS), n_heads // _SHARDS, -1).unbind(1)
        rows = {part: shard.flatten(0, 1) for part, shard in zip(("q", "v", "k"), shards, strict=True)}
    else:
        width = len(number) // sum(heads.values())
        cut = number.split([width * heads[part] for part in PARTS])
        rows = {part: one.view(-1, width) for part, one in zip(PARTS, cut, strict=True)}
    return (Projection(module, rows),)


def _norm(block: nn.Module, path: str | None) -> nn.Module:
    return block.get_submodule(path) if path else nn.Identity()


def _outputs(module: nn.Module) -> int:
    return _matrix(module).shape[1]


def _matrix(module: nn.Module) -> Tensor:
    weight = projection_weight(module)
    if weight is None:
        raise InputError(
            f"circuits need a projection's weights as a matrix; here is {type(module).__name__}: quantised, offloaded,"
            " or under an adapter that is not merged"
        )
    return weight


def gain(norm: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a root-mean-square norm multiplies its input by: for each channel ``[d]``, and for each place ``[..., 1]``.

    The norm of x is exactly ``channels * places * x``, so that the norm of a sum is the sum of its terms' shares.

    Raises:
        InputError: a norm of another kind, for which there are no such factors.
    """
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if eps is None or getattr(norm, "bias", None) is not None:
        raise InputError(f"the shares of a sum that {type(norm).__name__} norms are not known")
    ones = torch.ones(x.shape[-1], dtype=x.dtype, device=x.device)
    with torch.no_grad():
        channels: Any = (
            norm.forward(ones) * (1 + eps) ** 0.5
        )  # not a call, which hooks would take for the model's own
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    places = (wide.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
    return channels, places.to(x.dtype)
