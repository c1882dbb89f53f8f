from __future__ import annotations

import collections
import dataclasses

import pytest
import torch
from torch import nn

from tests.families import CONFIGS, DECODERS, ENCODERS, VOCAB, tiny
from ulterior.architectures import available_sites, find_anatomy
from ulterior.capture import capture, patch
from ulterior.errors import InputError

every_family = pytest.mark.parametrize("family", CONFIGS)


def ids(n: int = 3, length: int = 11) -> torch.Tensor:
    return torch.randint(4, VOCAB, (n, length), generator=torch.Generator().manual_seed(1))


def hooks_of(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def anatomy_of(family: str):
    anatomy = find_anatomy(tiny(family))
    assert anatomy is not None
    return anatomy


@every_family
def test_logits_are_bit_equal_with_and_without_capture(family: str) -> None:
    model = tiny(family)
    with torch.no_grad():
        plain = model(ids()).logits
        with capture(model, available_sites(model)):
            observed = model(ids()).logits
    assert torch.equal(plain, observed)


@every_family
def test_captured_stream_equals_the_models_own_hidden_states(family: str) -> None:
    model = tiny(family)
    with torch.no_grad(), capture(model, available_sites(model)) as captured:
        own = model(ids(), output_hidden_states=True).hidden_states
    assert len(own) == 3
    assert torch.equal(captured["embed"], own[0])
    assert torch.equal(captured["resid.0"], own[1])
    assert torch.equal(captured["final"], own[2])
    normed = not torch.equal(captured["resid.1"], own[2])
    assert normed == (family in DECODERS)
    if normed:
        with torch.no_grad():
            torch.testing.assert_close(
                anatomy_of(family).final(captured["resid.1"]), own[2], rtol=0, atol=1e-6
            )


@every_family
def test_heads_and_bias_sum_to_the_attention_output(family: str) -> None:
    model = tiny(family)
    with torch.no_grad(), capture(model, available_sites(model)) as captured:
        model(ids())
    for layer, projection in enumerate(anatomy_of(family).projections):
        heads = sum(captured[f"head.{layer}.{head}"] for head in range(4))
        bias = projection.bias if getattr(projection, "bias", None) is not None else 0.0
        torch.testing.assert_close(heads + bias, captured[f"attn.{layer}"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", [f for f in DECODERS if f not in ("gemma2", "gemma3", "olmo2")])
def test_sublayers_add_up_to_the_stream_where_nothing_norms_them(family: str) -> None:
    model = tiny(family)
    with torch.no_grad(), capture(model, available_sites(model)) as captured:
        model(ids())
    for layer, before in enumerate(["embed", "resid.0"]):
        added = captured[before] + captured[f"attn.{layer}"] + captured[f"mlp.{layer}"]
        torch.testing.assert_close(added, captured[f"resid.{layer}"], rtol=1e-5, atol=1e-5)


@every_family
def test_patching_every_site_with_itself_changes_no_bit(family: str) -> None:
    model = tiny(family)
    sites = available_sites(model)
    with torch.no_grad(), capture(model, sites) as captured:
        plain = model(ids()).logits
    for site in sites:
        value = captured[site]
        with torch.no_grad(), patch(model, {site: value}):
            assert torch.equal(model(ids()).logits, plain), site
    with torch.no_grad(), patch(model, {site: lambda old: old for site in sites}):
        assert torch.equal(model(ids()).logits, plain)


@every_family
def test_patching_every_site_with_something_else_changes_the_logits(family: str) -> None:
    model = tiny(family)
    with torch.no_grad():
        plain = model(ids()).logits
        for site in available_sites(model):
            with patch(model, {site: lambda old: old + torch.linspace(0, 1, old.shape[-1])}):
                assert not torch.allclose(model(ids()).logits, plain, atol=1e-4), site


@every_family
def test_ablating_all_heads_leaves_only_the_bias_of_the_attention(family: str) -> None:
    model, projection = tiny(family), anatomy_of(family).projections[0]
    with (
        torch.no_grad(),
        patch(model, {f"head.0.{head}": torch.zeros_like for head in range(4)}),
        capture(model, ["attn.0"]) as captured,
    ):
        model(ids())
    bias = projection.bias if getattr(projection, "bias", None) is not None else torch.zeros(32)
    torch.testing.assert_close(captured["attn.0"], bias.detach().expand(3, 11, 32), rtol=0, atol=1e-5)


@every_family
def test_positions_read_alone_equal_positions_of_the_whole(family: str) -> None:
    model = tiny(family)
    index = torch.tensor([[0, 10], [4, 4], [9, 1]])
    with torch.no_grad(), capture(model, available_sites(model)) as captured:
        model(ids())
    for site in captured.sites:
        whole = captured[site][torch.arange(3)[:, None], index]
        torch.testing.assert_close(captured.at(site, index), whole, rtol=1e-5, atol=1e-6)


def test_hooks_are_removed_also_after_an_exception() -> None:
    model = tiny("llama")
    before = hooks_of(model)
    added = 1 + 2 * 4 + 1  # embed; heads, attn, mlp and resid of two blocks; final
    with (
        pytest.raises(RuntimeError, match=f"boom among {before + added} hooks"),
        capture(model, available_sites(model)),
    ):
        raise RuntimeError(f"boom among {hooks_of(model)} hooks")
    assert hooks_of(model) == before

    def fail(old: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("boom")

    with (
        pytest.raises(RuntimeError, match="boom"),
        patch(model, {"embed": fail, "head.1.2": fail, "mlp.0": fail}),
    ):
        model(ids())
    assert hooks_of(model) == before
    with pytest.raises(InputError), patch(model, {"embed": fail, "resid.9": fail}):
        raise AssertionError("never reached")
    assert hooks_of(model) == before


class Wrapped(nn.Module):
    """A language model inside another module."""

    def __init__(self) -> None:
        super().__init__()
        self.lm = tiny("llama")

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.lm(input_ids).logits.sum(-1)


def test_a_transformer_inside_another_module_is_found() -> None:
    model = Wrapped()
    assert available_sites(model) == available_sites(tiny("llama"))
    with torch.no_grad(), capture(model, ["resid.1"]) as outer:
        model(ids())
    with torch.no_grad(), capture(model.lm, ["resid.1"]) as inner:
        model.lm(ids())
    assert torch.equal(outer["resid.1"], inner["resid.1"])


@pytest.mark.parametrize("family", ["llama", "codegen", "bert"])
def test_module_paths_are_sites_of_transformers_too(family: str) -> None:
    model = tiny(family)
    path = {"llama": "model.layers.1", "codegen": "transformer.h.1", "bert": "bert.encoder.layer.1"}[family]
    with torch.no_grad(), capture(model, ["resid.1", path]) as captured:
        model(ids())
    assert torch.equal(captured["resid.1"], captured[path])


Pair = collections.namedtuple("Pair", "count value")


@dataclasses.dataclass
class Answer:
    note: str
    value: torch.Tensor


class Structured(nn.Module):
    def __init__(self, wrap) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x: torch.Tensor):
        return self.wrap(x)


class Around(nn.Module):
    def __init__(self, wrap, unwrap) -> None:
        super().__init__()
        self.inner = Structured(wrap)
        self.unwrap = unwrap

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.unwrap(self.inner(x))


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (lambda x: (None, x), lambda out: out[1]),
        (lambda x: ["a", x], lambda out: out[1]),
        (lambda x: {"a": 1, "x": x}, lambda out: out["x"]),
        (lambda x: Pair(2, x), lambda out: out.value),
        (lambda x: Answer("a", x), lambda out: out.value),
        (lambda x: x, lambda out: out),
    ],
    ids=["tuple", "list", "dict", "namedtuple", "dataclass", "tensor"],
)
def test_first_tensor_of_a_structured_output_is_read_and_replaced(wrap, unwrap) -> None:
    model, x = Around(wrap, unwrap), torch.randn(4, 3)
    with capture(model, ["inner"]) as captured:
        model(x)
    assert torch.equal(captured["inner"], x)
    with patch(model, {"inner": lambda old: old + 1}):
        assert torch.equal(model(x), x + 1)


def test_a_later_change_in_place_does_not_reach_what_was_captured() -> None:
    model, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True)), torch.randn(5, 3)
    with torch.no_grad(), capture(model, ["0"]) as captured:
        model(x)
        assert torch.equal(captured["0"], model[0](x))


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("resid.2", "2 blocks of 4 heads"),
        ("head.1.4", "2 blocks of 4 heads"),
        ("nowhere", "neither a canonical name nor a module path"),
    ],
)
def test_a_site_that_is_not_there_is_one_clear_line(site: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected), capture(tiny("llama"), [site]):
        pass


def test_heads_of_a_wrapped_projection_are_refused() -> None:
    model = nn.Module()
    model.lm = type(tiny("llama"))(tiny("llama").config)
    model.lm.model.layers[0].self_attn.o_proj = nn.Sequential(model.lm.model.layers[0].self_attn.o_proj)
    with pytest.raises(InputError, match="adapter that is not merged"), capture(model, ["head.0.1"]):
        pass
    with capture(model, ["attn.0"]):
        pass


def test_sites_that_were_not_captured_or_did_not_run_are_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with capture(model, ["0"]) as captured:
        model[1](torch.ones(1, 2))
    with pytest.raises(InputError, match="site '1' was not captured; captured: 0"):
        captured["1"]
    with pytest.raises(InputError, match="site '0' did not run"):
        captured["0"]


def test_a_replacement_of_another_shape_is_refused_with_both_shapes() -> None:
    with (
        pytest.raises(InputError, match=r"\(1, 2\).*\(3, 11, 32\)"),
        patch(tiny("llama"), {"resid.0": torch.zeros(1, 2)}),
    ):
        tiny("llama")(ids())


def test_encoders_and_decoders_are_all_there() -> None:
    wanted = {"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2", "gpt_neox", "codegen"}
    assert wanted <= set(DECODERS)
    assert "bert" in ENCODERS
