"""Training of measurement predictors from any causal language model, through ``transformers.Trainer``."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole
from ulterior.fingerprint import fingerprint
from ulterior.measurement.collator import Row, RowsOfText, sensors_of, training_rows
from ulterior.measurement.data import TamperingData
from ulterior.measurement.evaluate import measurement_metrics, predict
from ulterior.measurement.folder import Description, load_predictor, save_predictor
from ulterior.measurement.initialisation import Source, Start, context_of, start_from
from ulterior.measurement.markers import mark
from ulterior.measurement.recipe import PUBLISHED, Recipe, part_of
from ulterior.measurement.trainable import choose_trainable
from ulterior.tokens import pad_id_of

if TYPE_CHECKING:
    from ulterior.measurement.trainer import PredictorTrainer

__all__ = ["DONE", "train_predictor"]

CLAIM, DONE, CHECKPOINTS, STATES = "recipe.json", "training.json", "checkpoints", "states.bin"


def train_predictor(
    data: TamperingData, model: Source, out: str | Path, recipe: Recipe = PUBLISHED, *, seed: int = 0
) -> dict[str, Any]:
    """Train a measurement predictor and save it in `out`; goes on where an earlier call was interrupted.

    Reads text and measurements of the trusted and untrusted rows. Neither `data.validation` nor any truth is read.
    Under a launcher (``torchrun``, ``accelerate launch``) every process calls this; the first alone writes.

    Args:
        data: Rows with measurements.
        model: Hub id or folder of a causal language model or of a measurement predictor, or a model and its tokenizer.
        out: Receives the predictor (see ``save_predictor``), `recipe.json` and `training.json`.
        recipe: How it is trained.
        seed: Of the rows that are set aside, their order, random weights and dropout.

    Returns:
        `rows`, `held_out`: how many were trained on and set aside; `steps`, `train_loss`, `trained_weights`, `weights`;
        and `held_out_metrics`, of the stored predictor on the rows set aside, see ``measurement_metrics``.

    Raises:
        InputError: `out` holds a training of another recipe, model, seed or data; texts that lack their markers or are
            too long; a model that cannot be used.
    """
    out = writable_folder(Path(out))
    part = part_of(recipe.train)
    learned, aside = training_rows(data, recipe.texts, seed)
    sensors = sensors_of(learned)
    start = start_from(model, recipe, sensors, out, seed)
    from ulterior.measurement.trainer import above_frozen_blocks, arguments, last_checkpoint, trainer

    args = arguments(recipe, out / CHECKPOINTS, seed, len(learned), len(aside))
    checkpoint = last_checkpoint(out / CHECKPOINTS)
    _claim(out, _identity(recipe, seed, start, learned, aside), checkpoint, write=args.process_index == 0)
    if (out / DONE).exists():
        return json.loads((out / DONE).read_text())
    description = _description(start, data.marker, sensors, recipe)
    rows, held_out = (_encoded(part, start.tokenizer, description) for part in (learned, aside))
    predictor = start.predictor.train()
    adapter = choose_trainable(predictor, part, start.name, tokens=recipe.loss.token > 0)
    pad_id = pad_id_of(start.tokenizer, predictor.lm.config)
    running = trainer(predictor, recipe, args, rows, held_out, pad_id, seed)
    with above_frozen_blocks(running, recipe, out / CHECKPOINTS / STATES):
        result = running.train(resume_from_checkpoint=checkpoint)
    if running.is_world_process_zero():
        trained = sum(weight.numel() for weight in predictor.parameters() if weight.requires_grad)
        save_predictor(out, predictor.eval(), start.tokenizer, description, adapter=adapter)
        metrics = {
            "rows": len(learned),
            "held_out": len(aside),
            "steps": result.global_step,
            "train_loss": _last_loss(running),
            "trained_weights": trained,
            "weights": sum(weight.numel() for weight in predictor.parameters()),
            "held_out_metrics": _measured(out, aside) if len(aside) else None,
        }
        write_whole(out / DONE, json.dumps(metrics, indent=2) + "\n")
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    running.accelerator.wait_for_everyone()
    return json.loads((out / DONE).read_text())


def _identity(
    recipe: Recipe, seed: int, start: Start, learned: RowsOfText, aside: RowsOfText
) -> dict[str, Any]:
    """Everything that the weights depend on."""
    chosen = asdict(recipe)
    for name in ("save_steps", "workers", "cache_gb"):
        del chosen["running"][name]
    return {
        "recipe": chosen,
        "seed": seed,
        "model": start.name,
        "weights": fingerprint(start.predictor),
        "rows": [learned.digest, aside.digest],
    }


def _claim(out: Path, identity: dict[str, Any], checkpoint: str | None, *, write: bool) -> None:
    """Write down what this folder is for, or refuse it if it holds work on something else."""
    text = json.dumps(identity, indent=2) + "\n"
    path = out / CLAIM
    if checkpoint is None and not (out / DONE).exists():
        if write:
            write_whole(path, text)
        return
    try:
        other = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{out}' holds a training of nobody knows what (no {CLAIM}); choose another --out"
        ) from error
    differing = sorted(name for name in identity if json.loads(text)[name] != other.get(name))
    if differing:
        raise InputError(
            f"'{out}' holds a training that differs in: {', '.join(differing)} (see {CLAIM}); choose another --out"
        )


def _description(start: Start, marker: str, sensors: int | None, recipe: Recipe) -> Description:
    context, asked = context_of(start.predictor.lm), recipe.texts.max_length
    if asked is not None and context is not None and asked > context:
        raise InputError(f"max_length is {asked}, but the model's context has {context} tokens")
    return Description(marker, sensors, recipe.heads.aggregate_at, asked or context, recipe.texts.keep_end)


def _encoded(rows: RowsOfText, tokenizer: Any, description: Description) -> list[Row]:
    if not len(rows):
        return []
    marked = mark(
        rows.texts,
        tokenizer,
        description.marker,
        sensors=[len(measured) for measured in rows.measurements],
        max_length=description.max_length,
        keep_end=description.keep_end,
    )
    return [
        Row(tokens, tuple(measured), counted)
        for tokens, measured, counted in zip(marked, rows.measurements, rows.counted, strict=True)
    ]


def _last_loss(running: PredictorTrainer) -> float | None:
    """The loss over the last steps that were logged."""
    losses = [entry["loss"] for entry in running.state.log_history if "loss" in entry]
    return losses[-1] if losses else None


def _measured(out: Path, aside: RowsOfText) -> dict[str, Any]:
    """Figures of what was stored, rounded as it is."""
    predictor, tokenizer, description = load_predictor(out)
    outputs = predict(predictor, tokenizer, description, aside.texts, [len(m) for m in aside.measurements])
    return measurement_metrics(outputs, aside.measurements)
