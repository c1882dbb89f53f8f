"""What the scripts in this folder share: the embedded subject, and how a result is printed."""

from __future__ import annotations

import json
import platform
from typing import Any

import torch

from ulterior.version import __version__


def show(result: dict[str, Any], as_json: bool) -> None:
    """Print a result, as one JSON object or as lines."""
    result = {**result, "ulterior": __version__, "torch": torch.__version__, "machine": platform.machine()}
    result["threads"] = torch.get_num_threads()
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")
