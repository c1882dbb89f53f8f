"""``transformers.Trainer`` for measurement predictors: what it must do otherwise, and nothing else."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Sampler
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ulterior.errors import InputError
from ulterior.measurement.collator import Collator, Order, Row
from ulterior.measurement.frozen import Frozen, frozen_blocks, skipped, store_states
from ulterior.measurement.predictor import LossWeights, MeasurementPredictor, measurement_loss
from ulterior.measurement.recipe import Precision, Recipe
from ulterior.precision import bfloat16_is_fast

__all__ = [
    "Objective",
    "PredictorTrainer",
    "above_frozen_blocks",
    "arguments",
    "last_checkpoint",
    "trainer",
]

WEIGHTS, STATE = "trained.safetensors", "trainer_state.json"


class Objective(nn.Module):
    """The predictor with its loss: what the Trainer wraps for mixed precision and for several devices.

    Batches may bring the states that leave the blocks `frozen`.
    """

    def __init__(self, predictor: MeasurementPredictor, weights: LossWeights) -> None:
        super().__init__()
        self.predictor = predictor
        self.weights = weights
        self.frozen: Frozen | None = None

    def forward(
        self,
        input_ids: Tensor,
        text_mask: Tensor,
        sensor_positions: Tensor,
        measurements: Tensor,
        counted: Tensor,
        states: Float[Tensor, "n s d"] | None = None,
    ) -> dict[str, Tensor]:
        """The loss of a batch, under `loss`."""
        above = nullcontext() if states is None or self.frozen is None else skipped(self.frozen, states)
        with above:
            # No mask: padding stands on the right, where a causal model does not look, and attention without is faster.
            hidden = self.predictor.hidden(input_ids, None)
        tokens = self.weights.token > 0
        predictions = self.predictor.read(hidden, text_mask, sensor_positions, tokens)
        loss = measurement_loss(
            predictions,
            measurements,
            self.weights,
            present=sensor_positions >= 0,
            counted=counted,
            input_ids=input_ids,
            attention_mask=text_mask,
        )
        return {"loss": loss}


class PredictorTrainer(Trainer):
    """A Trainer with an order of rows that resumes exactly, and checkpoints that hold the trained weights alone.

    Weights are written as safetensors. The optimiser's state, the schedule and the random generators go through
    ``torch.save``, as the library has it; it reads them back with ``weights_only=True``, an unpickler that builds
    tensors and plain containers (and numpy's arrays, for the generators' state) and refuses everything else, and from
    a folder whose recipe was compared first. ``training_args.bin``, which would need the full unpickler, is not
    written.
    """

    def __init__(self, order: Order, **given: Any) -> None:
        super().__init__(**given)
        self._order = order
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(_Progress())
        self.add_callback(_Epochs(order))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        model: Any = self.model
        state = model.state_dict() if state_dict is None else state_dict
        kept = {name: state[name].detach().cpu().contiguous() for name in _trained(model)}
        save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        model = self.model if model is None else model
        stored = load_file(Path(resume_from_checkpoint) / WEIGHTS)
        if sorted(stored) != sorted(_trained(model)):
            raise InputError(f"'{resume_from_checkpoint}' holds other weights than those that are trained")
        model.load_state_dict(stored, strict=False)


def _trained(model: nn.Module) -> list[str]:
    """Names of the weights that are trained; tied ones once."""
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


class _Epochs(TrainerCallback):
    """Tells the order which epoch begins: the state counts epochs, fractions included."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._order.epoch = int(state.epoch or 0)


class _Progress(TrainerCallback):
    """One bar on the error stream, instead of lines on the output."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="training predictor", unit="step"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        shown = {name: f"{logs[name]:.3f}" for name in ("loss", "eval_loss") if name in (logs or {})}
        if self._bar is not None and shown:
            self._bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()


def arguments(recipe: Recipe, folder: Path, seed: int, rows: int, held_out: int) -> TrainingArguments:
    """The recipe in the Trainer's words; also joins the other processes of a launcher, if there are any."""
    running, chosen = recipe.running, recipe.optimisation
    gpu = torch.cuda.is_available()
    precision = _precision(running.precision)
    args = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=chosen.epochs,
        learning_rate=recipe.rate,
        weight_decay=chosen.weight_decay,
        max_grad_norm=chosen.clip,
        lr_scheduler_type="cosine",
        gradient_accumulation_steps=running.accumulate,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not gpu and not torch.backends.mps.is_available(),
        seed=seed,
        data_seed=seed,
        save_steps=running.save_steps,
        save_total_limit=1,  # an older checkpoint goes when the next is complete
        logging_steps=20,
        eval_strategy="epoch" if held_out else "no",
        prediction_loss_only=True,
        label_names=["measurements"],
        remove_unused_columns=False,
        dataloader_num_workers=running.workers,
        dataloader_pin_memory=gpu,
        # Every weight that is trained gets a gradient in every step; looking for others costs a pass over the graph.
        ddp_find_unused_parameters=False,
        logging_nan_inf_filter=False,  # it waits for the device in every step
        disable_tqdm=True,
        report_to="none",
        log_level="error",
    )
    share = chosen.batch // (args.world_size * running.accumulate)
    if share < 1 or share * args.world_size * running.accumulate != chosen.batch:
        raise InputError(
            f"a batch of {chosen.batch} rows cannot be divided by {args.world_size} processes times"
            f" {running.accumulate} parts (accumulate)"
        )
    # Without a launcher, which gives each GPU its own process, one GPU is used: the Trainer's other way (threads) would
    # multiply the batch.
    args._n_gpu = min(args.n_gpu, 1)
    args.per_device_train_batch_size = share
    args.per_device_eval_batch_size = 2 * share
    steps = -(-rows // chosen.batch) * chosen.epochs
    args.warmup_steps = min(chosen.warmup, steps // 5)
    return args


def trainer(
    predictor: MeasurementPredictor,
    recipe: Recipe,
    args: TrainingArguments,
    rows: list[Row],
    held_out: list[Row],
    pad_id: int,
    seed: int,
) -> PredictorTrainer:
    """The Trainer of a predictor whose trained part has been chosen."""
    if recipe.running.checkpointing:
        _recompute(predictor.lm)
    lengths = [len(row.tokens.ids) for row in rows]
    return PredictorTrainer(
        Order(lengths, recipe.optimisation.batch, seed, recipe.running.by_length),
        model=Objective(predictor, recipe.loss),
        args=args,
        train_dataset=rows,
        eval_dataset=sorted(held_out, key=lambda row: len(row.tokens.ids)) or None,
        data_collator=Collator(pad_id),
    )


@contextmanager
def above_frozen_blocks(running: PredictorTrainer, recipe: Recipe, path: Path) -> Iterator[None]:
    """Inside, steps and evaluations begin above the frozen blocks, where that is possible and saves time.

    Args:
        running: Whose rows are replaced by such that have their states.
        recipe: Says how much disk the states may take.
        path: The file that holds them; it is gone afterwards. Seen by all processes of a launcher.
    """
    objective: Any = running.model
    accelerator: Any = running.accelerator
    learned: Any = running.train_dataset
    aside: Any = running.eval_dataset or []
    rows: list[Row] = [*learned, *aside]
    if accelerator.is_main_process:
        path.unlink(missing_ok=True)  # left by a process that was killed
    # In one epoch every row is read once: nothing to gain.
    if recipe.running.cache_gb > 0 and recipe.optimisation.epochs > 1:
        with accelerator.autocast():
            frozen = frozen_blocks(objective.predictor.lm)
    else:
        frozen = None
    if frozen is None or not _fits(frozen, rows, recipe.running.cache_gb, path.parent, accelerator):
        yield
        return
    try:
        texts = [row.tokens for row in rows]
        batch = running.args.per_device_eval_batch_size
        stored = store_states(objective.predictor.lm, frozen, texts, path, batch, accelerator)
        rows = [replace(row, states=states) for row, states in zip(rows, stored, strict=True)]
        running.train_dataset = rows[: len(learned)]  # pyright: ignore[reportAttributeAccessIssue]
        running.eval_dataset = rows[len(learned) :] or None  # pyright: ignore[reportAttributeAccessIssue]
        objective.frozen = frozen
        yield
    finally:
        objective.frozen = None
        if accelerator.is_main_process:
            path.unlink(missing_ok=True)


def _fits(frozen: Frozen, rows: list[Row], limit: float, folder: Path, accelerator: Any) -> bool:
    """Whether the states may be stored; the first process decides, as the disk is another a moment later."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = frozen.token_bytes * sum(len(row.tokens.ids) for row in rows) / 1e9
    free = shutil.disk_usage(folder).free / 1e9
    verdict = [needed <= min(limit, free / 2)]
    broadcast_object_list(verdict)
    if not verdict[0] and accelerator.is_main_process:
        print(
            f"the frozen blocks run in every epoch: their states would take {needed:.1f} GB, and may take"
            f" {limit:g} (--cache-gb) of {free:.1f} that are free, of which at most half",
            file=sys.stderr,
        )
    return verdict[0]


def last_checkpoint(folder: Path) -> str | None:
    """The latest checkpoint that was written to its end: the state of the Trainer is its last file."""
    steps = {}
    for state in folder.glob(f"checkpoint-*/{STATE}"):
        try:
            steps[int(json.loads(state.read_text())["global_step"])] = state.parent
        except (ValueError, KeyError):
            continue
    return str(steps[max(steps)]) if steps else None


def _recompute(lm: Any) -> None:
    # Renamed in later releases of the library; the old name warns there.
    enable = getattr(lm, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _precision(asked: Precision) -> Precision:
    if asked != "auto":
        return asked
    if torch.cuda.is_available():
        return "bf16" if bfloat16_is_fast("cuda") else "fp16"
    return "bf16" if bfloat16_is_fast("cpu") and not torch.backends.mps.is_available() else "fp32"
