"""Names of the places in a model where activations are read and patched.

Canonical names mean the same in every family of transformers:

=============  =====================================================================================
``embed``      what enters the first block: the model's own ``hidden_states[0]``
``resid.N``    the residual stream after block N: the model's own ``hidden_states[N + 1]``, except that models
               with a last norm report the *normed* stream as their last hidden state; that is ``final``
``attn.N``     output of the attention's output projection in block N: what attention adds to the stream
``mlp.N``      output of the feed-forward layer in block N
``head.N.H``   the share of head H in ``attn.N``, in the model's width: ``z_h @ W_O[h]``; the heads and the
               projection's bias sum to ``attn.N``
``final``      after the model's last norm; the output of the last block where a family has no such norm (BERT)
=============  =====================================================================================

Gemma-2 and Gemma-3 norm what a sublayer returns before they add it, and BERT norms the sum; ``attn.N``,
``mlp.N`` and ``head.N.H`` are taken *before* those norms, where heads still sum up.

Any module path (``model.layers.0.mlp.act_fn``, ``features.3``) is a site too: the module's output.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ulterior.errors import InputError

_CANONICAL = re.compile(r"(embed|final)|(resid|attn|mlp)\.(\d+)|(head)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Site:
    """A canonical name, taken apart.

    Example:
        >>> parse_site("head.3.7")
        Site(kind='head', layer=3, head=7)
        >>> parse_site("features.0") is None
        True
    """

    kind: str
    layer: int = 0
    head: int = 0


def parse_site(name: str) -> Site | None:
    """Take a canonical name apart; any other name (a module path) gives None."""
    match = _CANONICAL.fullmatch(name)
    if match is None:
        return None
    alone, sublayer, layer, head, head_layer, index = match.groups()
    if alone:
        return Site(alone)
    return Site(sublayer, int(layer)) if sublayer else Site(head, int(head_layer), int(index))


def canonical_sites(n_layers: int, n_heads: int) -> tuple[str, ...]:
    """All canonical names of a transformer, in the order in which the model computes them."""
    names = ["embed"]
    for layer in range(n_layers):
        names += [f"head.{layer}.{head}" for head in range(n_heads)]
        names += [f"attn.{layer}", f"mlp.{layer}", f"resid.{layer}"]
    return (*names, "final")


def split_patterns(patterns: str | Sequence[str]) -> tuple[str, ...]:
    """``"resid.*, final"`` or a sequence of such strings as a tuple of single patterns."""
    listed = [patterns] if isinstance(patterns, str) else patterns
    return tuple(part.strip() for entry in listed for part in entry.split(",") if part.strip())


def match_sites(
    patterns: str | Sequence[str], available: Sequence[str], also: Sequence[str] = ()
) -> tuple[str, ...]:
    """The sites that the patterns select, each once, in the model's order.

    Args:
        patterns: Names or globs (``*``, ``?``, ``[0-9]``), comma-separated or in a sequence; ``*`` spans dots.
        available: Sites in the model's order.
        also: Further sites, looked through only for a pattern that selects none of the available ones.

    Raises:
        InputError: a pattern that selects nothing (the message names the nearest site), or no pattern at all.

    Example:
        >>> match_sites("resid.*,embed", ("embed", "resid.0", "resid.1", "final"))
        ('embed', 'resid.0', 'resid.1')
    """
    wanted: set[str] = set()
    for pattern in split_patterns(patterns):
        found = [site for site in available if fnmatchcase(site, pattern)]
        found = found or [site for site in also if fnmatchcase(site, pattern)]
        if not found:
            raise InputError(_no_match(pattern, available, also))
        wanted.update(found)
    if not wanted:
        raise InputError("no site was asked for; name at least one, such as 'resid.*'")
    return tuple(site for site in dict.fromkeys([*available, *also]) if site in wanted)


def _no_match(pattern: str, available: Sequence[str], also: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern, [*available, *also], n=1, cutoff=0.0)
    example = f"; the nearest is '{near[0]}'" if near else ""
    families = list(dict.fromkeys(re.sub(r"\d+", "*", site) for site in available))
    shown = ", ".join(families[:8]) + (", ..." if len(families) > 8 else "")
    return f"no site matches '{pattern}'{example}; this model has: {shown or 'none'}"
