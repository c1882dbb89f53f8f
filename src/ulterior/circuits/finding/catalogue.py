"""Every way to find a circuit, by name."""

from __future__ import annotations

from collections.abc import Callable

from ulterior.circuits.finding.acdc import Acdc
from ulterior.circuits.finding.activation_patching import ActivationPatching
from ulterior.circuits.finding.attribution import EdgeAttribution
from ulterior.circuits.finding.finder import Finder
from ulterior.circuits.finding.flow import InformationFlow
from ulterior.circuits.finding.integrated import IntegratedActivations, IntegratedInputs
from ulterior.circuits.finding.learned import EdgePruning, SigmoidMask
from ulterior.circuits.finding.path_patching import PathPatching
from ulterior.circuits.finding.relevance import RelevancePatching

__all__ = ["FINDERS"]

FINDERS: dict[str, Callable[..., Finder]] = {
    "eap": EdgeAttribution,
    "eap_ig_inputs": IntegratedInputs,
    "eap_ig_activations": IntegratedActivations,
    "relp": RelevancePatching,
    "information_flow": InformationFlow,
    "activation_patching": ActivationPatching,
    "path_patching": PathPatching,
    "acdc": Acdc,
    "edge_pruning": EdgePruning,
    "sigmoid_mask": SigmoidMask,
}
