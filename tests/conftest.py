"""Every annotation of the package is checked while its tests run."""

from __future__ import annotations

import os

# Tests that run side by side leave each other's cores alone. Read when torch is first imported, hence here.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("ulterior", "beartype.beartype")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
