"""A detector: what is read from the subject, how it is scored, and how the sites are fused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ulterior.calibration import Fusion
from ulterior.features.feature import Feature
from ulterior.scores.score import Joint, Score
from ulterior.serialise import saved

Role = Literal["method", "baseline", "control", "ceiling", "oracle"]
Mode = Literal["online", "offline"]


@saved
@dataclass(frozen=True)
class Detector:
    """Feature x score x fusion over sites, as a value; nothing runs until a panel is fitted.

    Attributes:
        name: Unique within a panel.
        feature: What is read from one forward pass.
        score: Turns the feature at one site, or at all sites together, into one number an example; higher is more
            anomalous.
        family: Heading under which tables list it.
        about: One line for tables and ``ulterior list``.
        fusion: How the sites' conformal p-values become one number; see ``ulterior.calibration.fuse``.
        role: ``method``; ``baseline`` (what methods must beat); ``control`` (sees only the input, or learns from
            nothing); ``ceiling`` (is given the truth and is no method at all); ``oracle`` (a method of which the truth
            made the last choice: what choosing rightly would give, and no method either).
    """

    name: str
    feature: Feature
    score: Score | Joint
    family: str
    about: str
    fusion: Fusion = "fisher"
    role: Role = "method"

    @property
    def mode(self) -> Mode:
        """``offline`` if fitting takes in the untrusted examples that are to be judged; ``online`` if not.

        An online detector judges one example as it comes. So does an offline one that was fitted on earlier untrusted
        examples; but if those are the very examples that are then scored, they look stranger than fresh ones
        would, and p-values, which rest on trusted examples that the fit has not seen, come out too small (see
        ``PanelSettings.cross_fit``).
        """
        compares = any(need.group in ("untrusted", "suspects") for need in self.score.needs)
        return "offline" if compares else "online"
