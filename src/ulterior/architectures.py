"""Where each family of transformers keeps the parts that sites name: one line a family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ulterior.sites import canonical_sites


@dataclass(frozen=True)
class Family:
    """Where models of one family keep their parts.

    Attributes:
        blocks: Path of the list of blocks inside the bare transformer.
        projection: Path of the attention's output projection inside a block.
        mlp: Path, inside a block, of the module whose output is what the feed-forward layer adds.
        final: Path of the last norm inside the bare transformer; None where a family has none.
        encoder: Whether tokens see both ways and heads read the first token, so that padding belongs on the right.
        positions_after_padding: Whether position numbers start after the padding token's id (RoBERTa).
    """

    blocks: str
    projection: str
    mlp: str = "mlp"
    final: str | None = None
    encoder: bool = False
    positions_after_padding: bool = False


_LLAMA = Family("layers", "self_attn.o_proj", final="norm")
_GPTJ = Family("h", "attn.out_proj", final="ln_f")
_BERT = Family("encoder.layer", "attention.output.dense", "output.dense", encoder=True)
_ROBERTA = replace(_BERT, positions_after_padding=True)

# By the configuration's `model_type`.
FAMILIES = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3_text": _LLAMA,
    "olmo2": _LLAMA,
    "phi3": _LLAMA,
    "smollm3": _LLAMA,
    "gpt2": Family("h", "attn.c_proj", final="ln_f"),
    "gpt_neox": Family("layers", "attention.dense", final="final_layer_norm"),
    "codegen": _GPTJ,
    "gptj": _GPTJ,
    "compiled": Family("blocks", "attn.o_proj", final="final"),
    "bert": _BERT,
    "electra": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": Family("transformer.layer", "attention.out_lin", "ffn", encoder=True),
}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The parts of one transformer, found.

    Attributes:
        family: Where its family keeps things.
        config: The transformer's configuration.
        blocks: The blocks in order.
        projections: Their attention output projections; the input is the heads side by side.
        mlps: Their feed-forward layers.
        final: The last norm, or the last block where there is none.
        n_heads: Attention heads a block (query heads, where keys are shared).
        first_position: The number of the first token's position.
    """

    family: Family
    config: Any
    blocks: tuple[nn.Module, ...]
    projections: tuple[nn.Module, ...]
    mlps: tuple[nn.Module, ...]
    final: nn.Module
    n_heads: int
    first_position: int

    @property
    def context(self) -> int | None:
        """The most tokens that the model can take, if its configuration says so."""
        limit = getattr(self.config, "max_position_embeddings", None)
        return None if limit is None else int(limit) - self.first_position


def find_anatomy(model: nn.Module) -> Anatomy | None:
    """The transformer in (or wrapped by) the model, or None if it holds none of a known family.

    The search walks down the children, so a language model inside another module is found; of several, the
    first one counts.
    """
    for module in model.modules():
        config = getattr(module, "config", None)
        family = FAMILIES.get(getattr(config, "model_type", None) or "")
        blocks = _child(module, family.blocks) if family else None
        if family and isinstance(blocks, nn.ModuleList) and len(blocks):
            return _anatomy(module, config, family, tuple(blocks))
    return None


def available_sites(model: nn.Module) -> tuple[str, ...]:
    """The canonical sites of a known transformer, the module paths of anything else, in the model's order."""
    anatomy = find_anatomy(model)
    return canonical_sites(len(anatomy.blocks), anatomy.n_heads) if anatomy else module_paths(model)


def module_paths(model: nn.Module) -> tuple[str, ...]:
    """The paths of all modules inside the model."""
    return tuple(path for path, _ in model.named_modules() if path)


def projection_weight(projection: nn.Module) -> Tensor | None:
    """The projection's matrix as ``[in, out]``; None if it cannot be read as one (quantised, offloaded)."""
    weight = getattr(projection, "weight", None)
    if not isinstance(weight, Tensor) or not weight.is_floating_point() or weight.is_meta or weight.ndim != 2:
        return None
    weight = weight.detach()
    if type(projection) is nn.Linear:
        return weight.T
    # GPT-2 stores its projections transposed; by name, so that transformers need not be imported for it.
    return weight if type(projection).__name__ == "Conv1D" else None


def _anatomy(base: nn.Module, config: Any, family: Family, blocks: tuple[nn.Module, ...]) -> Anatomy:
    return Anatomy(
        family=family,
        config=config,
        blocks=blocks,
        projections=tuple(block.get_submodule(family.projection) for block in blocks),
        mlps=tuple(block.get_submodule(family.mlp) for block in blocks),
        final=base.get_submodule(family.final) if family.final else blocks[-1],
        n_heads=int(config.num_attention_heads),
        first_position=_padding_index(base) + 1 if family.positions_after_padding else 0,
    )


def _padding_index(base: nn.Module) -> int:
    embeddings: Any = base.get_submodule("embeddings")
    return int(embeddings.padding_idx)


def _child(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None
