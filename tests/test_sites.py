from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulterior.errors import InputError
from ulterior.sites import Site, canonical_sites, match_sites, parse_site, split_patterns

AVAILABLE = canonical_sites(3, 2)


def test_sites_are_named_in_the_order_in_which_the_model_computes_them() -> None:
    expected = ("embed", "head.0.0", "head.0.1", "attn.0", "mlp.0", "resid.0", "final")
    assert canonical_sites(1, 2) == expected


@given(layer=st.integers(0, 200), head=st.integers(0, 200))
def test_parsing_inverts_naming(layer: int, head: int) -> None:
    assert parse_site(f"head.{layer}.{head}") == Site("head", layer, head)
    for kind in ("resid", "attn", "mlp"):
        assert parse_site(f"{kind}.{layer}") == Site(kind, layer)
    assert parse_site("embed") == Site("embed")


@pytest.mark.parametrize(
    "name", ["resid", "resid.a", "head.1", "head.1.2.3", "embed.0", "xresid.1", "model.layers.0"]
)
def test_anything_else_is_a_module_path(name: str) -> None:
    assert parse_site(name) is None


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("resid.*", ("resid.0", "resid.1", "resid.2")),
        ("final, embed", ("embed", "final")),
        (["final", "resid.1,embed"], ("embed", "resid.1", "final")),
        ("head.1.*", ("head.1.0", "head.1.1")),
        ("head.*.1", ("head.0.1", "head.1.1", "head.2.1")),
        ("resid.[02]", ("resid.0", "resid.2")),
        ("mlp.?", ("mlp.0", "mlp.1", "mlp.2")),
        ("resid.*,resid.1", ("resid.0", "resid.1", "resid.2")),
    ],
)
def test_globs_select_sites_once_in_the_models_order(patterns, expected) -> None:
    assert match_sites(patterns, AVAILABLE) == expected


@pytest.mark.parametrize(
    ("pattern", "near"), [("resid.7", "resid"), ("redis.1", "resid.1"), ("Final", "final")]
)
def test_a_pattern_without_a_match_names_the_nearest_and_what_there_is(pattern: str, near: str) -> None:
    with pytest.raises(
        InputError, match=rf"'{pattern}'; the nearest is '{near}.*has: embed, head\.\*\.\*, attn\.\*"
    ):
        match_sites(["embed", pattern], AVAILABLE)


@pytest.mark.parametrize("nothing", ["", " , ", [], ["", ","]])
def test_asking_for_nothing_is_an_error(nothing) -> None:
    assert split_patterns(nothing) == ()
    with pytest.raises(InputError, match="no site was asked for"):
        match_sites(nothing, AVAILABLE)


def test_further_sites_count_only_where_the_available_ones_do_not_match() -> None:
    also = ("model", "model.resid.0", "lm_head")
    assert match_sites("*resid.0", AVAILABLE, also) == ("resid.0",)
    assert match_sites("resid.0,lm_*", AVAILABLE, also) == ("resid.0", "lm_head")


def test_a_model_without_sites_says_so() -> None:
    with pytest.raises(InputError, match="this model has: none"):
        match_sites("resid.*", ())
