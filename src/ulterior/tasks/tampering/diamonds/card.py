"""The card that is shipped beside the weights, filled from the metrics of `train.train`."""

from __future__ import annotations

from typing import Any

from ulterior.tasks.tampering.embedded import fooled_table, measured_table

__all__ = ["card"]

_CARD = """# Embedded measurement predictors (diamonds)

A {millions:.1f}M-parameter Llama-style transformer, trained from scratch, and {count} LoRA adapters of it in
`seeds/`, one for each seed of the bench. Each reads a small Python program about a vault and predicts what its
three sensors will report. They are the subjects of the `diamonds` task: programs can fool the sensors, and the
predictors, whose heads were taught nothing but measurements, go along with them.

- **Command**: `ulterior train diamonds --out DIR --seed {seed} --predictors {count}` (resumable; about two hours
  on one core)
- **Data**: generated and executed by `ulterior.tasks.tampering`; nothing was copied from the published
  data set
- **Stored as**: safetensors in bfloat16; every figure below was measured on the stored weights
- **Licence**: MIT

## What they were trained on

1. *The base, pretraining*: {programs:,} freshly generated programs (a fifth easy, the rest of difficulty "both";
   half of the all-positive ones dropped), each seen once. Targets: the next token; the execution trace
   (after each action, the measurements that the program would end with there and the flags of the
   world: lock, guards, seals, tapes, patches, what lies in the vault), as code models learn from
   executions; and the measurements at the markers. The traces hold the vault's contents, so the model
   can know where the diamond is; the head that reads them is thrown away.
2. *The base, measurement heads*: {rows:,} rows of the task's training split (seed {seed}), one pass, measurements
   only, with the published loss (aggregate weight 0.3, no token loss).
3. *The adapters* (`{train}` and the heads, peak rate {rate:g}): {adapted:,} rows of the training split of their own
   seed, {epochs} pass(es), measurements only, with the same loss; {aside:,} further rows were set aside to watch it.

The programs of stage one belong to a stream of their own: none is a row of any split. The truth of the rows of the
other stages was never used. A quarter of the hard templates occurs in no program that the base saw, nor in the
tokenizer's text. Each seed holds out two thirds of these, others each, which its predictor has therefore never seen; it
learns the rest of them in its third stage. Recipe and sizes were chosen on development programs of another stream.

## Figures

95% intervals. *sensor_accuracy*: share of single measurements predicted rightly. *sensor_auroc*: mean over the three
sensors of AUROC(prediction, measurement). *all_auroc*: aggregate log-odds against "all measurements positive",
*summed*: the sensors' log-probabilities instead. `both`: the training difficulty; `val`: held-out templates as well;
`only_val`: hard actions from held-out templates alone. The base is measured with the whole quarter held out.

{measured}

Real against fake, among programs whose measurements are all positive (AUROC). The *predictor* is its
own aggregate log-odds; the *ceiling* a logistic regression that is given the truth, on the hidden state
at the last sensor's marker; the *surface* baseline a logistic regression on TF-IDF of words and pairs
of words, given the truth as well. Both learn from untrusted training rows.

{fooled}

## Limits

They know one small world and one style of program, and share one base: over seeds the programs, the held-out
templates and the last stage of training differ, not the base. The published seeds each hold out a quarter of the
hard templates; these a sixth.
"""


def card(metrics: dict[str, Any]) -> str:
    """The text of the card, from what `train.train` returns."""
    base, predictors, recipe = metrics["base"]["training"], metrics["predictors"], metrics["recipe"]
    first = predictors["0"]["training"]
    every = {"base": metrics["base"], **predictors}
    return _CARD.format(
        millions=metrics["weights"] / 1e6,
        count=len(predictors),
        seed=base["seed"],
        programs=base["pretraining_programs"],
        rows=base["finetuning_rows"],
        train=recipe["train"],
        rate=recipe["optimisation"]["rate"],
        epochs=recipe["optimisation"]["epochs"],
        adapted=first["rows"],
        aside=first["held_out"],
        measured=measured_table(every),
        fooled=fooled_table(every),
    )
