"""All paths of a small model, one by one, add up to its output; the largest are those of the whole list."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from tests.circuits.models import one_batch, pairs, wired
from tests.families import DECODERS, VOCAB
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.paths import Frozen, freeze, path_sums, top_paths
from ulterior.circuits.streams import Wired, run_model, wire
from ulterior.errors import InputError

EXACT = 1e-9
# The logits after the last token are read in float32, and norms behind a sublayer compute in it.
ROUNDED = 1e-5
BEHIND = ("gemma2", "gemma3", "olmo2")


@cache
def small(family: str, biases: bool = True) -> Wired:
    """2 layers of 2 heads; without biases its nodes have no constants."""
    config = {
        "gpt2": lambda: GPT2Config(
            n_embd=16, n_layer=2, n_head=2, vocab_size=VOCAB, n_positions=32, bos_token_id=1, eos_token_id=2
        ),
        "llama": lambda: LlamaConfig(
            num_hidden_layers=2,
            num_attention_heads=2,
            hidden_size=16,
            vocab_size=VOCAB,
            num_key_value_heads=1,
            intermediate_size=24,
            max_position_embeddings=32,
            pad_token_id=0,
        ),
    }[family]()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval().double()
    for name, parameter in model.named_parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
        if name.endswith("bias") and not biases:
            parameter.data.zero_()
    return wire(replace(wired("gpt2").subject, model=model))


def frozen(of: Wired, seed: int = 0) -> Frozen:
    return freeze(of, one_batch(of, pairs(1, 6, seed)), logit_difference)


def every_path(of: Frozen) -> dict[str, float]:
    """Each chain of nodes by itself, from the logits down, one map after the other."""
    graph, found = of.wired.graph, {"bias->logits": of.constant}

    def down(names: str, slope: torch.Tensor, layer: int, part: str) -> None:
        """All that can stand in front of a chain whose first node reads the stream in front of this part."""
        found[f"embed->{names}"] = float((of.embed * slope).sum())
        for lower in range(layer + 1):
            if lower < layer or part == "logits":
                node(names, slope, lower, None)
            if lower < layer or part == "logits" or (part == "mlp" and not graph.parallel):
                found[f"bias->attn.{lower}->{names}"] = float((of.projection_bias(lower) * slope).sum())
                for head in range(graph.n_heads):
                    node(names, slope, lower, head)

    def node(names: str, slope: torch.Tensor, layer: int, head: int | None) -> None:
        through = of.back(layer, head, slope)
        name = f"{f'mlp.{layer}' if head is None else f'head.{layer}.{head}'}->{names}"
        front = of.fronts[layer, "mlp" if head is None else "heads"].detach()[0]
        found[f"bias->{name}"] = float((of.added(layer, head) * slope).sum() - (front * through).sum())
        down(name, through, layer, "mlp" if head is None else "heads")

    down("logits", of.slope, graph.n_layers - 1, "logits")
    return found


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_all_paths_of_a_small_model_one_by_one_add_up_to_its_output(family):
    of = small(family)
    batch = one_batch(of, pairs(1, 6))
    value = float(logit_difference(run_model(of.subject, batch.clean), batch))
    one = frozen(of)
    paths = every_path(one)
    # Per layer, no head or one of two, and no feed-forward layer or that one: (3 * 2) ** 2 chains from the embedding.
    assert sum(name.startswith("embed") for name in paths) == 36
    assert one.value == value
    assert sum(paths.values()) == pytest.approx(value, abs=EXACT)


def test_without_biases_what_a_node_adds_is_its_map_of_its_input_so_that_all_paths_begin_at_the_embedding():
    paths = every_path(frozen(small("gpt2", biases=False)))
    assert abs(paths.pop("bias->logits")) < ROUNDED
    from_constants = [value for name, value in paths.items() if name.startswith("bias")]
    assert max(map(abs, from_constants)) < EXACT
    embedded = sum(value for name, value in paths.items() if name.startswith("embed"))
    assert embedded == pytest.approx(frozen(small("gpt2", biases=False)).value, abs=ROUNDED)
    assert abs(embedded) > 1e-3


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_sums_by_start_are_those_of_all_paths_that_begin_there(family):
    one = frozen(small(family))
    paths, sums = every_path(one), path_sums(one)
    assert sums.total == pytest.approx(one.value, abs=EXACT)
    for start, total in {"embed": float(sums.embed.sum()), **sums.bias}.items():
        begins = "embed->" if start == "embed" else f"bias->{start}"
        own = sum(
            value for name, value in paths.items() if f"{name}->".startswith(f"{begins.rstrip('->')}->")
        )
        assert total == pytest.approx(own, abs=EXACT), start


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_largest_paths_are_those_of_the_whole_list(family):
    one = frozen(small(family))
    paths = every_path(one)
    found = top_paths(one, 12)
    assert found.complete
    largest = sorted(paths, key=lambda name: -abs(paths[name]))[:12]
    assert [str(path) for path in found.paths] == largest
    for path in found.paths:
        assert path.contribution == pytest.approx(paths[str(path)], abs=EXACT)
    rest = sum(value for name, value in paths.items() if name not in largest)
    assert found.residual == pytest.approx(rest, abs=EXACT)


def test_a_narrow_beam_says_that_it_is_incomplete_and_what_it_lists_is_still_exact():
    one = frozen(small("gpt2"))
    paths, found = every_path(one), top_paths(one, 5, beam=2)
    assert not found.complete
    for path in found.paths:
        assert path.contribution == pytest.approx(paths[str(path)], abs=EXACT)
    assert found.residual + sum(path.contribution for path in found.paths) == pytest.approx(
        one.value, abs=EXACT
    )


@pytest.mark.parametrize("family", DECODERS)
def test_paths_of_every_family_add_up_to_its_output(family):
    one = frozen(wired(family))
    assert path_sums(one).total == pytest.approx(one.value, abs=ROUNDED if family in BEHIND else EXACT)


@pytest.mark.parametrize("family", ["llama", "gemma2", "olmo2", "gpt_neox", "codegen", "gptj"])
def test_heads_add_up_to_what_attention_adds_without_its_bias(family):
    """So do the maps: the gradient in front of all heads together is the sum of those in front of each."""
    one = frozen(wired(family))
    n = one.wired.graph.n_heads
    whole = one.ends[1, "heads"].detach()[0]
    parts = sum(one.added(1, head) for head in range(n)) + one.projection_bias(1)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    together = one.back(1, 0, one.slope, every=True)
    torch.testing.assert_close(sum(one.back(1, head, one.slope) for head in range(n)), together)


def test_what_cannot_be_decomposed_is_one_clear_line():
    of = small("gpt2")
    with pytest.raises(InputError, match="those of one example; here are 2"):
        freeze(of, one_batch(of, pairs(2, 6)), logit_difference)
    with pytest.raises(InputError, match="one or more"):
        top_paths(frozen(of), 0)
