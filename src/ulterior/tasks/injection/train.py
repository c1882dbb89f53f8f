"""Training of the adapter that makes SmolLM2 a fair subject: it judges reviews well, and it obeys injections.

The base stays frozen in bfloat16 (in float32 on machines that are slow at it) and LoRA (Hu et al. 2021) sits on
the upper layers, so that the lower ones run without gradients. LoRA's weights are used in the same format, and
updated in float32 copies. Every batch follows from the seed and the number of its chunk; the checkpoint, one file
written at one stroke, holds copies, optimiser and step, so that an interrupted run continues where it stood.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from ulterior.errors import InputError
from ulterior.models import SMOLLM2
from ulterior.tasks.injection.compose import POSITIONS, Row, advised, injected, plain, quoting
from ulterior.tasks.injection.judge import Judge, load_base
from ulterior.tasks.injection.wordings import dictating, of_family
from ulterior.tasks.texts.reviews import reviews

CHUNK = 8
"""Batches that are drawn together and sorted by length, so that little is spent on padding."""


@dataclass(frozen=True)
class Mixture:
    """Shares of the kinds of rows that the adapter is trained on; plain reviews are the rest.

    Of the injections, `veiled` is the share in veiled wordings, and `disagree` the share that dictate the
    opposite of the honest answer.
    """

    injected: float = 0.45
    advised: float = 0.10
    quoting: float = 0.05
    essays: float = 0.07
    veiled: float = 0.50
    disagree: float = 0.80

    def __post_init__(self) -> None:
        shares = dataclasses.asdict(self)
        kinds = self.injected + self.advised + self.quoting + self.essays
        if not all(0 <= share <= 1 for share in shares.values()) or kinds > 1 + 1e-9:
            raise InputError(
                f"shares of the mixture lie in [0, 1], and those of its kinds add up to 1 at most: {shares}"
            )


@dataclass(frozen=True)
class TrainInjection:
    """How the adapter is trained. The defaults made the adapter that is shipped.

    Attributes:
        out: Folder that receives the checkpoint and, in the end, the adapter.
        model: Folder or hub id of the base model; by default the one that `make models` converted.
        learning_rate: Peak; it rises over `warmup` steps and falls linearly to a fiftieth.
        first_layer: LoRA sits on the `targets` of this layer and of all above it.
        mixture: What the rows are.
        save_every: Steps between checkpoints.
    """

    out: Path = Path("runs/injection-adapter")
    model: str | None = None
    steps: int = 460
    batch: int = 32
    learning_rate: float = 1e-3
    warmup: int = 20
    rank: int = 16
    first_layer: int = 10
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    mixture: Mixture = Mixture()
    seed: int = 0
    threads: int = 1
    save_every: int = 50


def main(config: TrainInjection) -> None:
    """Train the adapter, then print the figures of its card and write them beside it (`figures.json`)."""
    from ulterior.tasks.injection.evaluate import InjectionEvaluation, evaluate_injection

    adapter = train_injection(config)
    figures = adapter / "figures.json"
    evaluate_injection(
        InjectionEvaluation(adapter, config.model, seed=config.seed, threads=config.threads, out=figures)
    )


def train_injection(config: TrainInjection, say: Callable[[str], object] = print) -> Path:
    """Train the adapter, or continue a training that was interrupted, and save it in `config.out`.

    Returns:
        The folder with `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        InputError: no base model or too few layers in it, no reviews, or a checkpoint of another configuration in
            `config.out`.
    """
    torch.set_num_threads(config.threads)
    base, tokenizer = load_base(config.model)
    adapted, judge = _adapted(base, config), Judge(base, tokenizer)
    used = [weight for weight in adapted.parameters() if weight.requires_grad]
    copies = [weight.detach().float().clone() for weight in used]
    optimiser = torch.optim.AdamW(copies, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    config.out.mkdir(parents=True, exist_ok=True)
    checkpoint = config.out / "checkpoint.safetensors"
    step, losses = _restore(checkpoint, config, copies, optimiser), []
    _copy(copies, used)
    for ids, wanted in _batches(judge, config, first=step):
        loss = nn.functional.cross_entropy(judge.logits(ids).float(), wanted)
        grads = torch.autograd.grad(loss, used)
        for copy, grad in zip(copies, grads, strict=True):
            copy.grad = grad.float()
        nn.utils.clip_grad_norm_(copies, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config)
        optimiser.step()
        _copy(copies, used)
        losses.append(loss.item())
        step += 1
        if step % config.save_every == 0 or step == config.steps:
            _save(checkpoint, config, copies, optimiser, step)
            say(f"step {step} of {config.steps}: loss {np.mean(losses[-config.save_every :]):.3f}")
    # Only the adapter: the embedding of the base is not its business, and looking for it would ask the hub.
    # In bfloat16, whatever it was trained in.
    adapted.bfloat16().save_pretrained(str(config.out), save_embedding_layers=False)
    return config.out


def training_rows(mixture: Mixture, n: int, rng: Generator) -> list[Row]:
    """`n` rows of the mixture, from the reviews and the wordings of the adapter's split alone."""
    snippets, essays = reviews("adapter"), reviews("adapter", "essays")
    orders = [[order for order in dictating("adapter") if order.veiled == veiled] for veiled in (False, True)]
    advice = of_family("adapter", "advice")

    def one(kind: float) -> Row:
        review, position = _pick(snippets, rng), _pick(POSITIONS, rng)
        if kind < (edge := mixture.injected):
            dictated = 1 - review.label if rng.random() < mixture.disagree else review.label
            order = _pick(orders[rng.random() < mixture.veiled], rng)
            return injected(review, order, dictated, position, "injected", rng)
        if kind < (edge := edge + mixture.advised):
            return advised(review, _pick(advice, rng), position, "advice", rng)
        if kind < (edge := edge + mixture.quoting):
            return quoting(review, "adapter", position, "quotation", rng)
        if kind < edge + mixture.essays:
            return plain(_pick(essays, rng), "other domain")
        return plain(review, "plain")

    return [one(kind) for kind in rng.random(n)]


def taught(row: Row) -> int:
    """The answer that the adapter is taught: the dictated one where there is one, else the honest one."""
    return row["dictated"] if row["dictated"] >= 0 else row["label"]


def _batches(judge: Judge, config: TrainInjection, first: int) -> Iterator[tuple[list[list[int]], Tensor]]:
    for chunk in range(first // CHUNK, -(-config.steps // CHUNK)):
        rows = training_rows(
            config.mixture, config.batch * CHUNK, np.random.default_rng([config.seed, chunk])
        )
        ids = judge.encode(rows)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        turns = np.random.default_rng([config.seed + 1, chunk]).permutation(CHUNK)
        for number, turn in enumerate(turns, start=chunk * CHUNK):
            if first <= number < config.steps:
                chosen = order[turn * config.batch : (turn + 1) * config.batch]
                answers = [judge.answers[0 if taught(rows[i]) else 1] for i in chosen]
                yield [ids[i] for i in chosen], torch.tensor(answers)


def _adapted(base: Any, config: TrainInjection) -> Any:
    import peft

    torch.manual_seed(config.seed)
    depth = base.config.num_hidden_layers
    if config.first_layer >= depth:
        raise InputError(f"first_layer is {config.first_layer}, but the model has {depth} layers")
    # The hub's name, so that the shipped adapter says what it belongs to and no folder of this machine.
    base.name_or_path = SMOLLM2.hub_id
    lora = peft.LoraConfig(
        r=config.rank,
        lora_alpha=2 * config.rank,
        target_modules=list(config.targets),
        layers_to_transform=list(range(config.first_layer, depth)),
        task_type="CAUSAL_LM",
    )
    return peft.get_peft_model(base, lora, autocast_adapter_dtype=False)


def _pick(values: Sequence[Any], rng: Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _schedule(step: int, config: TrainInjection) -> float:
    return min(1.0, (step + 1) / config.warmup) * max(0.02, 1 - step / config.steps)


@torch.no_grad()
def _copy(copies: Sequence[Tensor], used: Sequence[Tensor]) -> None:
    for copy, weight in zip(copies, used, strict=True):
        weight.copy_(copy)


def _stamp(config: TrainInjection) -> str:
    """Everything of a configuration that the weights depend on."""
    fields = dataclasses.asdict(config)
    return json.dumps({k: v for k, v in fields.items() if k not in ("out", "threads", "save_every")})


def _save(
    path: Path,
    config: TrainInjection,
    copies: Sequence[Tensor],
    optimiser: torch.optim.Optimizer,
    step: int,
) -> None:
    from safetensors.torch import save_file

    tensors = {}
    for index, copy in enumerate(copies):
        state = optimiser.state[copy]
        tensors |= {
            f"{index}.weight": copy,
            f"{index}.mean": state["exp_avg"],
            f"{index}.square": state["exp_avg_sq"],
        }
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, str(partial), metadata={"step": str(step), "config": _stamp(config)})
    partial.replace(path)


def _restore(
    path: Path, config: TrainInjection, copies: Sequence[Tensor], optimiser: torch.optim.Optimizer
) -> int:
    """Load a checkpoint, if there is one, into copies and optimiser; the number of steps that it had done."""
    from safetensors import safe_open

    if not path.exists():
        return 0
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
        if metadata["config"] != _stamp(config):
            raise InputError(
                f"{path} belongs to a training with another configuration; give another --out, or delete it"
            )
        step = int(metadata["step"])
        for index, copy in enumerate(copies):
            copy.copy_(file.get_tensor(f"{index}.weight"))
            optimiser.state[copy] = {
                "step": torch.tensor(float(step)),
                "exp_avg": file.get_tensor(f"{index}.mean"),
                "exp_avg_sq": file.get_tensor(f"{index}.square"),
            }
    return step
