"""Peak memory of the streaming panel at 2,000 and at 20,000 examples, each in a process of its own.

The examples come from the `diamonds` generator; what is measured is the process's peak resident size (interpreter,
torch and model included) while the panel is fitted and scores.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import show


def peak(n: int, file: Path) -> float:
    """Fit on ``n`` examples of a file and score them; peak resident size of this process in MB."""
    from ulterior.detectors.catalogue import activation_panel
    from ulterior.examples import load_examples
    from ulterior.panel import fit_panel
    from ulterior.tasks.registry import find_tasks

    # Nearest neighbours keep rows, on disk and up to a bound, and so are no streaming score.
    detectors = [one for one in activation_panel("resid.*", "sensors") if one.name != "nearest_neighbours"]
    task = find_tasks(("diamonds",))[0]
    subject = task.load(0, "smoke").subject
    examples = load_examples(file).only("text")
    half = n // 2
    trusted, untrusted = examples.take(range(half)), examples.take(range(half, n))
    panel = fit_panel(detectors, subject, trusted, untrusted)
    panel.score(subject, untrusted)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Compare the two sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, nargs=2, default=(2000, 20000))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(peak(given.one, given.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "examples.parquet"
        write_examples(file, max(given.n))
        sizes = [measured(n, file) for n in given.n]
    result = {f"peak_mb_at_{n}": round(size, 1) for n, size in zip(given.n, sizes, strict=True)}
    show({**result, "ratio": round(sizes[1] / sizes[0], 3), "goal": 1.1}, given.json)


def write_examples(file: Path, n: int) -> None:
    """``n`` programs for both sizes to read from."""
    command = [
        sys.executable,
        "-m",
        "ulterior",
        "data",
        "diamonds",
        "--n",
        str(n),
        "--seed",
        "1",
        "--out",
        str(file),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measured(n: int, file: Path) -> float:
    """``peak`` in a fresh process."""
    command = [sys.executable, __file__, "--one", str(n), "--file", str(file)]
    return json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )


if __name__ == "__main__":
    main()
