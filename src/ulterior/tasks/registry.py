"""The tasks by name. A task's own module is imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ulterior.errors import InputError
from ulterior.tasks.task import Task

MODULES = {
    "diamonds": "ulterior.tasks.tampering.diamonds.task",
    "functions": "ulterior.tasks.tampering.functions.task",
    "injection": "ulterior.tasks.injection.task",
    "trojan_patch": "ulterior.tasks.trojans.patch",
    "trojan_patch_vit": "ulterior.tasks.trojans.patch_vit",
    "trojan_all_to_all": "ulterior.tasks.trojans.all_to_all",
    "trojan_blend": "ulterior.tasks.trojans.blend",
    "trojan_warp": "ulterior.tasks.trojans.warp",
    "trojan_sinusoid": "ulterior.tasks.trojans.sinusoid",
    "trojan_clean_label": "ulterior.tasks.trojans.clean_label",
    "trojan_word": "ulterior.tasks.trojans.text.word",
    "trojan_sentence": "ulterior.tasks.trojans.text.sentence",
    "trojan_style": "ulterior.tasks.trojans.text.style",
    "trojan_word_minilm": "ulterior.tasks.trojans.text.word_minilm",
    "trojan_sentence_minilm": "ulterior.tasks.trojans.text.sentence_minilm",
    "trojan_style_minilm": "ulterior.tasks.trojans.text.style_minilm",
    "adversarial": "ulterior.tasks.adversarial.standard",
    "adversarial_robust": "ulterior.tasks.adversarial.robust",
    "spurious_colour": "ulterior.tasks.spurious.colour",
    "spurious_dominoes": "ulterior.tasks.spurious.dominoes",
    "spurious_domain": "ulterior.tasks.spurious.text.domain",
    "quirky": "ulterior.tasks.procedural.quirky",
    "password": "ulterior.tasks.procedural.password",
    "password_locked": "ulterior.tasks.procedural.password_locked",
    "recall": "ulterior.tasks.procedural.recall",
    "repetition": "ulterior.tasks.procedural.repetition",
}

_FOLDERS = {
    "tampering": ("tampering.diamonds", "tampering.functions"),
    "images": ("trojans", "adversarial", "spurious"),
    "texts": ("trojans.text", "spurious.text"),
    "procedural": ("procedural",),
}

SUITES = {
    suite: tuple(
        name
        for name, module in MODULES.items()
        if module.removeprefix("ulterior.tasks.").rpartition(".")[0] in folders
    )
    for suite, folders in _FOLDERS.items()
} | {"all": tuple(MODULES)}
"""Names that stand for several tasks."""


def find_tasks(names: Sequence[str]) -> tuple[Task, ...]:
    """The tasks with these names, those of a suite in its place; each module holds its task as ``TASK``."""
    names = tuple(dict.fromkeys(one for name in names for one in SUITES.get(name, (name,))))
    for name in names:
        if name not in MODULES:
            suites = ", ".join(f"the suite {suite}" for suite in SUITES)
            raise InputError(f"no task '{name}'; there are: {', '.join(MODULES)}; and {suites}")
    return tuple(importlib.import_module(MODULES[name]).TASK for name in names)
