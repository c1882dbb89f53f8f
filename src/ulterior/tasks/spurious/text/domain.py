"""The task `spurious_domain`: essays always praised and snippets never did; then they do otherwise."""

from __future__ import annotations

from ulterior.tasks.spurious.text.build import domain_task
from ulterior.tasks.spurious.text.recipe import DomainRecipe

RECIPE = DomainRecipe()

TASK = domain_task(
    "spurious_domain", RECIPE, "essays always praised a film, snippets never: where does the domain decide?"
)
