"""`ulterior list`: what there is to use."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from ulterior.bench.reweighted import reweighted_variants
from ulterior.bench.variants import tampering_variants
from ulterior.detectors.detector import Detector
from ulterior.detectors.panels import default_panel, named_panel
from ulterior.tasks.registry import MODULES, find_tasks


@dataclass(frozen=True)
class Listing:
    """List tasks and detectors, or the sites of a model.

    Attributes:
        model: Hub id or folder of a model whose sites are to be listed.
    """

    model: str | None = None


def main(config: Listing) -> None:
    """Run the command."""
    print(sites_text(config.model) if config.model else catalogue_text())


def catalogue_text() -> str:
    """Tasks and detectors with one line each."""
    tasks, detectors = find_tasks(tuple(MODULES)), all_detectors()
    width = max(len(one.name) for one in (*tasks, *detectors))
    lines = ["tasks"]
    for task in tasks:
        lines.append(f"  {task.name:<{width}} {task.about} (baseline: {task.baseline})")
    for family in dict.fromkeys(detector.family for detector in detectors):
        lines += ["", f"detectors: {family}"]
        for detector in (one for one in detectors if one.family == family):
            remarks = [] if detector.role == "method" else [detector.role]
            remarks += ["offline"] if detector.mode == "offline" else []
            remark = f" [{', '.join(remarks)}]" if remarks else ""
            lines.append(f"  {detector.name:<{width}} {detector.about}{remark}")
    return "\n".join(lines)


def all_detectors() -> tuple[Detector, ...]:
    """Every named detector once, in the order of the panels."""
    names = {name: name for name in ("text", "outcome", "measurements", "truth")}
    variants = (*tampering_variants(names), *reweighted_variants("resid.*"))
    elsewhere = (detector for variant in variants for detector in variant.panel)
    kinds = ((names, True), (names, False), ({**names, "image": "image"}, False))
    default, named = (
        [
            one
            for columns, tampering in kinds
            for one in make("resid.*", "last", columns=columns, tampering=tampering)
        ]
        for make in (default_panel, named_panel)
    )
    panels = (*default, *elsewhere, *named)
    return tuple({detector.name: detector for detector in panels}.values())


def sites_text(model: str) -> str:
    """The sites of a model, the heads of a layer in one line."""
    from ulterior.subject import Subject

    sites = Subject.from_pretrained(model).sites()
    lines = [f"sites of {model}"]
    for stem, names in groupby(
        sites, key=lambda name: name.rpartition(".")[0] if name.startswith("head.") else name
    ):
        heads = list(names)
        lines.append(f"  {heads[0]} ... {heads[-1]}" if len(heads) > 1 else f"  {stem}")
    return "\n".join(lines)
