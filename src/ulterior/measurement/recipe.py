"""How a measurement predictor is trained: the published values, and every variant in use as an option."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ulterior.errors import InputError
from ulterior.measurement.predictor import AggregateAt, LossWeights

__all__ = ["PUBLISHED", "Heads", "Optimisation", "Part", "Recipe", "Running", "Texts", "part_of"]

Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Heads:
    """The heads on the final hidden state.

    Attributes:
        start: `words`: each is the row of the positive word in the language model's output matrix minus that of the
            negative one, without bias (as published); `keep`: those of the predictor that training starts from.
        words: The positive and the negative word. Where a tokenizer splits them, the first tokens in which they
            differ stand for them. The published ones are ` Yes` and ` No` for texts, `5` and `0` for diamonds,
            ` pass` and ` fail` for functions.
        aggregate_at: Where "all measurements positive" is read: `last_sensor` (as published) or `last_token`.
    """

    start: Literal["words", "keep"] = "words"
    words: tuple[str, str] = (" Yes", " No")
    aggregate_at: AggregateAt = "last_sensor"


@dataclass(frozen=True)
class Optimisation:
    """AdamW under a cosine; the published values for diamonds.

    Attributes:
        rate: Peak learning rate; if not given, 2e-5, and 2e-4 where the heads alone (or LoRA) are trained.
        weight_decay: Of all matrices.
        warmup: Steps over which the rate rises; a fifth of all steps at most.
        batch: Rows of one step, over all devices.
        epochs: Passes over the rows.
        clip: Largest norm of the gradient.
    """

    rate: float | None = None
    weight_decay: float = 0.02
    warmup: int = 64
    batch: int = 32
    epochs: int = 5
    clip: float = 1.0


@dataclass(frozen=True)
class Texts:
    """What is read of the rows.

    Attributes:
        max_length: The most tokens a text may have; the model's context if not given.
        keep_end: Whether longer texts lose their beginning; they are refused otherwise.
        trusted_only: Train on trusted rows alone.
        exclude: Leave "all measurements positive" of untrusted rows that claim it out of the loss, and keep their
            sensors (exclusion fine-tuning).
        held_out: Share of the training rows, trusted and untrusted alike, that is set aside to watch the training;
            the data set's own validation rows are never read.
    """

    max_length: int | None = None
    keep_end: bool = False
    trusted_only: bool = False
    exclude: bool = False
    held_out: float = 0.05


@dataclass(frozen=True)
class Running:
    """How the same training is spread over time and memory.

    Attributes:
        precision: `auto`: bfloat16 autocast where the machine has instructions for it, else float16 on GPUs and float32
            on CPUs. Weights and optimiser stay in float32.
        accumulate: Parts in which a device takes its share of each batch, one after the other.
        checkpointing: Recompute activations in the backward pass instead of keeping them.
        by_length: Form batches of about equal length, which saves padding.
        save_steps: Steps between checkpoints.
        workers: Processes that prepare batches; texts are tokenised before, so that 0 is usually best.
        cache_gb: Gigabytes of disk, in the folder of the training, that the states which leave the frozen blocks may
            take, so that those blocks run once a row and not in each epoch; 0: never. Done for `last:N` and `heads`
            with more than one epoch, unless there is dropout in the frozen part; 4 bytes a token and unit of width.
            Never takes more than half of what is free.
    """

    precision: Precision = "auto"
    accumulate: int = 1
    checkpointing: bool = False
    by_length: bool = True
    save_steps: int = 200
    workers: int = 0
    cache_gb: float = field(default=20.0, repr=False)  # finished trainings are named by what is shown


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out of a training, but the data, the model and the seed.

    Attributes:
        train: `all` weights; `last:N` blocks with the final norm and the heads; `heads` alone; `lora:R`, adapters of
            rank R on every linear layer, saved alone.
        scratch: Use the model's configuration and tokenizer and random weights.
        heads: Of the sensors and the aggregate.
        loss: Weights of its parts.
        optimisation: Of the weights.
        texts: What is read.
        running: Precision and memory.
    """

    train: str = "all"
    scratch: bool = False
    heads: Heads = Heads()
    loss: LossWeights = LossWeights()  # noqa: RUF009 - frozen
    optimisation: Optimisation = Optimisation()
    texts: Texts = Texts()
    running: Running = Running()

    @property
    def rate(self) -> float:
        """The peak learning rate."""
        small = part_of(self.train).name in ("heads", "lora")
        return self.optimisation.rate or (2e-4 if small else 2e-5)


PUBLISHED = Recipe()


@dataclass(frozen=True)
class Part:
    """Which part of a model is trained; `number` is that of the blocks, or the rank."""

    name: Literal["all", "last", "heads", "lora"]
    number: int = 0


def part_of(train: str) -> Part:
    """Read `all`, `last:N`, `heads` or `lora:R`.

    Raises:
        InputError: anything else.
    """
    name, _, number = train.partition(":")
    if name in ("all", "heads") and train == name:
        return Part(name)  # pyright: ignore[reportArgumentType]
    if name in ("last", "lora") and number.isdecimal() and int(number) > 0:
        return Part(name, int(number))  # pyright: ignore[reportArgumentType]
    raise InputError(
        f"train is '{train}'; say all, heads, last:N (blocks) or lora:R (rank), with a positive whole number"
    )
