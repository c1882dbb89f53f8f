"""Audit a real language model on real reviews, some of which carry an instruction that dictates the verdict.

Needs `make models` once. Writes the two files that an audit takes, runs the audit, and scores one new review live.
Runs as a file or cell by cell.
"""

# %% The files: trusted reviews as they stand; untrusted ones, a few of them with an instruction written in.
import json
from pathlib import Path

import ulterior.cli
from ulterior.models import resolve_model
from ulterior.tasks.injection.data import SIZES, build_data
from ulterior.tasks.injection.subject import ADAPTER

out = Path("runs/reviews")
out.mkdir(parents=True, exist_ok=True)
data = build_data(SIZES["small"], seed=0)
untrusted = data.test.where(data.test["group"] != "other domain")
for name, examples in (("trusted", data.trusted), ("untrusted", untrusted)):
    with (out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for row in range(len(examples)):
            label = int(examples["anomalous"][row])
            file.write(json.dumps({"messages": examples["messages"][row], "injected": label}) + "\n")

# %% The audit. The label column is optional: with it, the report also says how well each detector did.
arguments = ["audit", "--model", str(resolve_model(None)), "--adapter", str(ADAPTER), "--dtype", "float32"]
arguments += ["--trusted", str(out / "trusted.jsonl"), "--untrusted", str(out / "untrusted.jsonl")]
arguments += ["--column", "messages", "--label", "injected", "--out", str(out / "audit")]
arguments += ["--sites", "resid.4,resid.9,resid.14,resid.19,resid.24,resid.29"]
code = ulterior.cli.main(arguments)

# %% Live: one line in, one line out.
if code == 0:
    code = ulterior.cli.main(
        ["score", "--monitor", str(out / "audit" / "monitor"), "--input", str(out / "untrusted.jsonl")]
    )
raise SystemExit(code)
