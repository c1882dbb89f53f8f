"""Tests of the hypotheses that a circuit makes.

After Shi et al. (2024), "Hypothesis testing the circuit hypothesis in LLMs".

Each null hypothesis is what would hold of an ideal circuit, so that a small p-value counts *against* the circuit:

- equivalence: circuit and model outperform one another equally often;
- independence: what is left without the circuit tells nothing about how the model does;
- minimality: each unit's removal matters more than that of a random unit added to the circuit.

What was not rejected is not thereby shown; few pairs reject little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats

from ulterior.circuits.graph import ARROW, Graph
from ulterior.circuits.judging.conditions import Conditions, run_masks
from ulterior.circuits.judging.minimality import Knockouts
from ulterior.circuits.mask import Mask, mask_of
from ulterior.circuits.wiring import PARTS
from ulterior.metrics import holm
from ulterior.serialise import saved

__all__ = ["Hypotheses", "HypothesisTest", "equivalence", "hypotheses", "independence", "random_path"]

LEVEL = 0.05
PERMUTATIONS = 2000


@saved
@dataclass(frozen=True, eq=False)
class HypothesisTest:
    """One test.

    Attributes:
        name: ``equivalence``, ``independence``, or ``minimality: UNIT``.
        statistic: What it looked at: the share of pairs on which the circuit does better; the Hilbert-Schmidt
            criterion; the share of random units whose removal matters less than the unit's.
        p: Of the null hypothesis.
        p_holm: Raised for all tests of this circuit together (Holm).
        rejected: Whether ``p_holm`` is at most .05: the circuit is not ideal in this respect.
    """

    name: str
    statistic: float
    p: float
    p_holm: float
    rejected: bool


@saved
@dataclass(frozen=True, eq=False)
class Hypotheses:
    """All tests of one circuit.

    Attributes:
        equivalence: See the module.
        independence: See the module.
        minimality: One test a unit, of at most as many units as were asked for.
        paths: Random additions that units were compared with; 0 where the circuit leaves nothing to add.
    """

    equivalence: HypothesisTest
    independence: HypothesisTest
    minimality: tuple[HypothesisTest, ...]
    paths: int


def hypotheses(
    given: Conditions,
    mask: Mask,
    whole: Float[np.ndarray, "n"],
    values: Float[np.ndarray, "n"],
    complement: Float[np.ndarray, "n"],
    *,
    knocked: Knockouts,
    paths: int = 30,
    epsilon: float = 0.1,
    quantile: float = 0.9,
    seed: int = 0,
) -> Hypotheses:
    """Test a circuit.

    Args:
        given: The conditions.
        mask: The circuit.
        whole: m(M) for each pair.
        values: m(C).
        complement: m(everything but C).
        knocked: m(C without it) of the units that are tested for minimality; see ``knockouts``.
        paths: Random additions to compare with.
        epsilon: How far the chance of outperforming may be from one half.
        quantile: A unit should matter more than this share of random ones.
        seed: Of draws and permutations.
    """
    effects = np.abs(values - knocked.values).mean(1)
    null = _random_effects(given, mask, paths, seed) if len(effects) else np.zeros(0)
    p: list[float] = []
    beaten: list[float] = []
    for effect in effects if len(null) else ():
        wins = int((effect > null).sum())
        beaten.append(wins / len(null))
        p.append(float(stats.binom.cdf(wins, len(null), quantile)))
    named = [f"minimality: {name}" for name in knocked.units][: len(p)]
    share, p_equal = equivalence(values, whole, epsilon)
    criterion, p_independent = independence(complement, whole, seed)
    raised = holm([p_equal, p_independent, *p])
    tests = [
        HypothesisTest(name, statistic, one, high, high <= LEVEL)
        for name, statistic, one, high in zip(
            ["equivalence", "independence", *named],
            [share, criterion, *beaten],
            [p_equal, p_independent, *p],
            raised,
            strict=True,
        )
    ]
    return Hypotheses(tests[0], tests[1], tuple(tests[2:]), len(null))


def equivalence(
    values: Float[np.ndarray, "n"], whole: Float[np.ndarray, "n"], epsilon: float = 0.1
) -> tuple[float, float]:
    """How often the circuit does better than the model, and the p-value of that chance being within epsilon of 1/2.

    Pairs on which both do equally well (to rounding) speak for neither, and are left out; if all are, p is 1.
    """
    change = values - whole
    decided = np.abs(change) > 1e-6 * max(float(np.abs(whole).mean()), 1e-12)
    n, wins = int(decided.sum()), int((change[decided] > 0).sum())
    if not n:
        return 0.5, 1.0
    # The null is composite; the chance at its edge that is nearest to what was seen gives the largest p.
    more = max(wins, n - wins)
    p = stats.binom.sf(more - 1, n, 0.5 + epsilon) + stats.binom.cdf(n - more, n, 0.5 + epsilon)
    return wins / n, float(min(p, 1.0))


def independence(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"], seed: int = 0) -> tuple[float, float]:
    """The Hilbert-Schmidt independence criterion of two columns of figures, and its permutation p-value.

    Gretton et al. (2007); Gaussian kernels, each as wide as the median distance within its own column. The p-value
    counts what was seen as one of the permutations, so that it is never 0. A column that does not vary is independent
    of all.
    """
    n = len(a)
    if n < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0, 1.0
    k, other = _kernel(a), _kernel(b)
    k = k - k.mean(0) - k.mean(1)[:, None] + k.mean()
    seen = float((k * other).sum()) / (n - 1) ** 2
    generator = np.random.default_rng(seed)
    beyond = 0
    for _ in range(PERMUTATIONS):
        order = generator.permutation(n)
        beyond += float((k * other[np.ix_(order, order)]).sum()) / (n - 1) ** 2 >= seen * (1 - 1e-12)
    return seen, (1 + beyond) / (1 + PERMUTATIONS)


def _kernel(x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n n"]:
    apart = np.abs(x[:, None] - x[None])
    far = apart[np.triu_indices(len(x), 1)]
    width = float(np.median(far)) or float(far.mean())
    return np.exp(-((apart / width) ** 2) / 2)


def _random_effects(given: Conditions, mask: Mask, paths: int, seed: int) -> Float[np.ndarray, "b"]:
    """How much the removal of a random unit matters that was added to the circuit, with a path that it lies on."""
    generator = torch.Generator().manual_seed(seed)
    kept = set(mask.kept)
    off = [name for name in mask.names if name not in kept]
    runs: list[Mask] = []
    for _ in range(paths if off else 0):
        if mask.units.grain == "edges" and mask.units.positions is None:
            added = [edge for edge in random_path(mask.graph, generator) if edge not in kept]
        else:  # a node is read by all that come after it: it lies on a path by itself
            added = [off[int(torch.randint(len(off), (), generator=generator))]]
        if added:
            inflated = mask | mask_of(mask.graph, mask.units, added)
            out = added[int(torch.randint(len(added), (), generator=generator))]
            runs += [inflated, inflated.without([out])]
    values = run_masks(given, runs, about="random units")[0]
    return np.abs(values[::2] - values[1::2]).mean(1)


def random_path(graph: Graph, generator: torch.Generator) -> tuple[str, ...]:
    """Edges of a random path from the embedding to the logits, drawn backwards: each source evenly among those read."""

    def draw(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    destination, edges = "logits", []
    while True:
        source = graph.sources[draw(graph.reads[graph.destinations.index(destination)])]
        edges.append(f"{source}{ARROW}{destination}")
        if source == "embed":
            return tuple(reversed(edges))
        if source.startswith("mlp"):
            destination = source
            continue
        _, layer, head = source.split(".")
        part = PARTS[draw(len(PARTS))]
        shared = graph.n_heads // graph.n_kv_heads if part != "q" else 1
        destination = f"head.{layer}.{int(head) // shared}.{part}"
