"""Every annotation of the package is checked while its tests run."""

from __future__ import annotations

import os

from jaxtyping import install_import_hook

install_import_hook("ulterior", "beartype.beartype")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
