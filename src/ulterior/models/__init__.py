"""Real models that work without a hub: installed as packages, converted once, found by name."""

from ulterior.models.packaged import MINILM, SMOLLM2, Packaged, home, prepare_models, resolve_model

__all__ = ["MINILM", "SMOLLM2", "Packaged", "home", "prepare_models", "resolve_model"]
