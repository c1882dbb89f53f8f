"""Two classifiers of texts, each described by a value from which it can be built again, and their tokenizers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ulterior.loading import quiet
from ulterior.models.packaged import MINILM, PackagedFolder
from ulterior.subject import Subject
from ulterior.tokens import TextInputs

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerBase

__all__ = [
    "SMALL",
    "Cased",
    "Encoder",
    "Pretrained",
    "Small",
    "TextClassifier",
    "classifier_subject",
    "token_numbers",
]

PAD, UNKNOWN, CLASS, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
LIMIT = 128
"""The most tokens of a text that are read; no review of the tasks has more."""


@dataclass(frozen=True)
class Small:
    """A BERT trained from scratch, whose words are those of its training texts.

    Attributes:
        width: Of the residual stream.
        layers: Their number.
        heads: In each layer; divides ``width``.
        vocabulary: The most words that it knows; rarer ones are one unknown word.
        least: How often a word must stand in the training texts to be known.
        dropout: While it is trained.
        classes: How many there are.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    vocabulary: int = 6_000
    least: int = 2
    dropout: float = 0.3
    classes: int = 2

    name = "small encoder"
    """What a subject is called."""

    lower = True
    """Whether capital letters are read as small ones."""

    kept_as = torch.float32
    """How what was learned is kept."""

    def build(self) -> TextClassifier:
        """With fresh weights, from torch's global generator."""
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=2 * self.width,
            max_position_embeddings=LIMIT,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=0.0,
            pad_token_id=0,
        )
        return TextClassifier(BertModel(config, add_pooling_layer=False), self.classes)

    def plain(self, model: nn.Module) -> nn.Module:
        """The classifier as it is: nothing is added to it while it learns."""
        return model

    def tokenizer(self, texts: Sequence[str]) -> PreTrainedTokenizerBase:
        """One token for each word or punctuation mark; the most frequent words of the texts."""
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.normalizers import Lowercase
        from tokenizers.pre_tokenizers import BertPreTokenizer
        from tokenizers.processors import BertProcessing
        from transformers import PreTrainedTokenizerFast

        split = BertPreTokenizer()
        counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(self._read(text)))
        # Ties in the order of the alphabet, so that the order of the texts makes no difference.
        often = sorted(counts, key=lambda word: (-counts[word], word))
        words = [word for word in often if counts[word] >= self.least]
        special = [PAD, UNKNOWN, CLASS, END]
        known = {word: i for i, word in enumerate([*special, *words][: self.vocabulary])}
        inner: Any = Tokenizer(WordLevel(known, unk_token=UNKNOWN))
        inner.pre_tokenizer = split
        if self.lower:
            inner.normalizer = Lowercase()
        inner.post_processor = BertProcessing((END, known[END]), (CLASS, known[CLASS]))
        return PreTrainedTokenizerFast(
            tokenizer_object=inner, pad_token=PAD, unk_token=UNKNOWN, cls_token=CLASS, sep_token=END
        )

    def _read(self, text: str) -> str:
        return text.lower() if self.lower else text


@dataclass(frozen=True)
class Cased(Small):
    """A small BERT that tells capital letters from small ones."""

    lower = False


@dataclass(frozen=True)
class Pretrained:
    """A pretrained BERT whose upper layers are adapted by matrices of low rank (LoRA; Hu et al., arXiv 2106.09685).

    Attributes:
        source: Which.
        adapted: Upper layers that are adapted; those below, and the embeddings, stay as they are.
        rank: Of what is added to each matrix of an adapted layer.
        classes: How many there are.
    """

    source: PackagedFolder = MINILM
    adapted: int = 3
    rank: int = 4
    classes: int = 2

    name = "MiniLM"

    kept_as = torch.float16
    """How what was learned is kept: it is small enough to ship."""

    def build(self) -> TextClassifier:
        """The pretrained weights with fresh adapters, which add nothing yet, under a fresh head.

        Raises:
            InputError: the package is not installed.
        """
        from peft import LoraConfig, get_peft_model
        from transformers import BertModel

        folder = self.source.path()
        with quiet():
            encoder = BertModel.from_pretrained(
                folder, add_pooling_layer=False, dtype=torch.float32, use_safetensors=True
            )
        layers = len(encoder.encoder.layer)
        adapters = LoraConfig(
            r=self.rank,
            lora_alpha=2 * self.rank,
            target_modules=["query", "key", "value", "dense"],
            layers_to_transform=list(range(layers - self.adapted, layers)),
            layers_pattern="layer",
        )
        model = TextClassifier(encoder, self.classes, hidden=False)
        model.encoder = get_peft_model(encoder, adapters).eval()
        return model

    def plain(self, model: nn.Module) -> nn.Module:
        """The same classifier with its adapters added to the weights that they adapt: a BERT like any other."""
        adapted: Any = model.get_submodule("encoder")
        model.encoder = adapted.merge_and_unload()
        return model.eval().requires_grad_(False)

    def tokenizer(self, texts: Sequence[str]) -> PreTrainedTokenizerBase:
        """Its own, whatever the texts."""
        from transformers import AutoTokenizer

        with quiet():
            return AutoTokenizer.from_pretrained(self.source.path())


Encoder = Small | Pretrained
SMALL = Small()


class TextClassifier(nn.Module):
    """An encoder, the mean of its final states over a text's tokens, a hidden layer where there is one, and logits
    ``[n, classes]``."""

    def __init__(self, encoder: BertModel, classes: int, *, hidden: bool = True) -> None:
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder: Any = encoder
        layer = (nn.Dropout(encoder.config.hidden_dropout_prob), nn.Linear(width, width), nn.Tanh())
        self.hidden = nn.Sequential(*layer) if hidden else nn.Identity()
        self.head = nn.Linear(width, classes)

    def forward(
        self, input_ids: Int[Tensor, "n s"], attention_mask: Int[Tensor, "n s"] | None = None
    ) -> Float[Tensor, "n classes"]:
        """Without a mask, token 0 is padding, on the right, and columns that hold nothing else are left out."""
        if attention_mask is None:
            mask = input_ids != 0
            width = int(mask.sum(1).max())
            input_ids, attention_mask = input_ids[:, :width], mask[:, :width].long()
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask[:, :, None].to(states)
        return self.head(self.hidden((weight * states).sum(1) / weight.sum(1)))


def token_numbers(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Int[Tensor, "n s"]:
    """The tokens of each text, padded on the right with 0."""
    rows = tokenizer(list(texts), truncation=True, max_length=LIMIT)["input_ids"]
    width = max(map(len, rows), default=1)
    return torch.tensor([row + [0] * (width - len(row)) for row in rows]).reshape(-1, width)


def classifier_subject(model: nn.Module, tokenizer: PreTrainedTokenizerBase, name: str) -> Subject:
    """A classifier as a subject; its behaviour is how far the most likely class leads."""
    from ulterior.readouts import CLASSES

    return Subject.from_tokenizer(
        model,
        tokenizer,
        name=name,
        readouts=CLASSES,
        text=TextInputs("text", chat=False, max_length=LIMIT, overlong="truncate"),
    )
