"""What `torchrun` starts in the test of several processes: one training, whose metrics each process writes down."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.measurement.readings import readings, recipe
from ulterior.measurement.recipe import Heads, Optimisation, Running, Texts
from ulterior.measurement.training import train_predictor

if __name__ == "__main__":
    base, out, *part = sys.argv[1:]
    out = Path(out)
    options = recipe(
        train=part[0] if part else "all",
        heads=Heads(words=("w1", "w2")),
        optimisation=Optimisation(rate=1e-2, batch=8, epochs=2),
        texts=Texts(held_out=0.2),
        running=Running(precision="fp32"),
    )
    metrics = train_predictor(readings(), Path(base), out, options)
    (out / f"rank{os.environ['RANK']}.json").write_text(json.dumps(metrics))
