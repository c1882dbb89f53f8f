"""Edges are what one backward an edge gives: the gradient at what a part reads, times what another part wrote."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.families import texts
from tests.features.planted_paths import SEPARATE, SHARED, paths_subject, paths_texts
from tests.features.test_attributions import subject_of
from tests.features.test_reading import gathered
from tests.test_serialise import through_disk
from ulterior.capture import capture
from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.features.attributions import attributions
from ulterior.features.edges import ChosenEdges, edge_attributions, edge_norms, edges_of
from ulterior.features.preparing import prepare
from ulterior.features.reading import read
from ulterior.subject import Subject

# The norms through which llama's parts read the stream.
READERS = {
    "attn.0": "model.layers.0.input_layernorm",
    "mlp.0": "model.layers.0.post_attention_layernorm",
    "attn.1": "model.layers.1.input_layernorm",
    "mlp.1": "model.layers.1.post_attention_layernorm",
    "final": "model.norm",
}


def every_edge(subject: Subject, examples: Examples, of: str = "sensors", **how) -> dict[str, np.ndarray]:
    """All edges ``[n, k]`` by name."""
    names = edges_of(subject)
    found = gathered(subject, examples, [ChosenEdges(names, of)], **how)["edge_attributions"]
    return dict(zip(names, found.reshape(len(examples), len(names), -1).swapaxes(0, 1), strict=True))


def one_by_one(subject: Subject, examples: Examples) -> dict[str, np.ndarray]:
    """Each example alone; at each reader a copy of the stream of its own, so that the gradient is through it alone."""
    found: dict[str, list] = {name: [] for name in edges_of(subject)}
    sources = sorted({name.split("->")[0] for name in found})
    for row in range(len(examples)):
        batch = subject.collate(subject.encode(examples.take([row])))
        copies, hooks = {}, []
        for destination, path in READERS.items():

            def own(module, args, destination=destination, copies=copies):
                copies[destination] = args[0].clone()
                copies[destination].retain_grad()
                return (copies[destination],)

            hooks.append(subject.model.get_submodule(path).register_forward_pre_hook(own))
        try:
            with torch.enable_grad(), capture(subject.model, sources) as captured:
                values = subject.readouts["sensors"](subject.model(**batch.inputs), batch)[0]
                gradients = [
                    torch.autograd.grad(value, list(copies.values()), retain_graph=True) for value in values
                ]
                written = {site: captured[site].detach() for site in sources}
        finally:
            for hook in hooks:
                hook.remove()
        for name, column in found.items():
            source, destination = name.split("->")
            place = list(copies).index(destination)
            column.append([float((written[source] * each[place]).sum()) for each in gradients])
    return {name: np.array(column) for name, column in found.items()}


def test_every_edge_equals_the_gradient_through_its_reader_alone() -> None:
    subject, examples = subject_of("llama"), Examples.of(text=texts(4, 7))
    found, expected = every_edge(subject, examples), one_by_one(subject, examples)
    assert len(found) == 1 + 5 + 6 + 10 + 11  # attn.0, mlp.0, attn.1, mlp.1, final
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    assert max(np.abs(values).max() for values in expected.values()) > 1e-3


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_the_edges_out_of_a_source_sum_to_its_attribution(family: str) -> None:
    subject, examples = subject_of(family), Examples.of(text=texts(4, 7))
    found = every_edge(subject, examples)
    sources = subject.select("embed,mlp.*,head.*.*")
    whole = gathered(subject, examples, [attributions(sources)])["attributions"].reshape(2, len(sources), 3)
    for number, source in enumerate(sources):
        out = sum(values for name, values in found.items() if name.startswith(f"{source}->"))
        np.testing.assert_allclose(out, whole[:, number], rtol=1e-4, atol=1e-6, err_msg=source)
    if family == "gpt_neox":  # attention and feed-forward layer read side by side
        into = [values for name, values in found.items() if "->mlp." in name]
        assert np.abs(into).max() == 0


def test_they_depend_on_neither_batch_nor_order_nor_padding() -> None:
    examples = Examples.of(text=texts(4, 9, 6))
    names = edges_of(subject_of("llama"))
    features = [ChosenEdges(names, "sensors"), edge_norms("sensors")]
    reference = gathered(subject_of("llama"), examples, features, batch_tokens=1)
    order = np.array([2, 0, 1])
    for padding in ("left", "right"):
        found = gathered(
            subject_of("llama", padding=padding), examples.take(order), features, batch_tokens=1000
        )
        for key in ("edge_attributions", "edge_norms"):
            np.testing.assert_allclose(found[key], reference[key][order], rtol=1e-4, atol=1e-6)


def test_norms_are_the_lengths_of_the_edges_into_each_destination() -> None:
    subject, examples = subject_of("llama"), Examples.of(text=texts(4, 7))
    edges = every_edge(subject, examples)
    found = gathered(subject, examples, [edge_norms("sensors")])["edge_norms"].reshape(2, 5, 3)
    for number, destination in enumerate(READERS):
        into = np.stack([values for name, values in edges.items() if name.endswith(f"->{destination}")])
        np.testing.assert_allclose(
            found[:, number], np.log(np.linalg.norm(into, axis=0)), rtol=1e-4, atol=1e-4
        )


def test_the_chosen_edges_are_the_largest_on_trusted_examples_and_the_planted_ones() -> None:
    subject = paths_subject(parting=2)
    trusted = concat([paths_texts(SHARED, 20), paths_texts(SEPARATE, 20, seed=1)])
    asked = edge_attributions("sensors", most=7)
    ready, refused = prepare([asked], subject, trusted, batch_tokens=60)
    assert not refused
    chosen = ready[asked]
    assert isinstance(chosen, ChosenEdges)
    sizes = {name: np.abs(values).sum() for name, values in every_edge(subject, trusted).items()}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:7]
    assert set(chosen.edges) == set(largest)
    assert [sizes[name] for name in chosen.edges] == pytest.approx(
        [sizes[name] for name in largest], rel=1e-5
    )
    # What a sensor says was brought by the heads of block 2, and reads them where the model ends.
    assert {"head.2.0->final", "head.2.1->final"} < set(chosen.edges)
    assert sizes["head.1.0->final"] == sizes["head.3.1->final"] == 0
    test = paths_texts(SHARED, 5, seed=3)
    feature = through_disk(chosen)
    assert feature == chosen
    np.testing.assert_array_equal(
        gathered(subject, test, [feature])["edge_attributions"],
        gathered(subject, test, [chosen])["edge_attributions"],
    )


@pytest.mark.parametrize("family", ["gemma2", "olmo2"])
def test_a_family_that_norms_what_it_adds_is_refused(family: str) -> None:
    with pytest.raises(InputError, match="block 0 does not add what its attention"):
        list(read(subject_of(family, torch.float32), Examples.of(text=texts(4, 7)), [edge_norms("sensors")]))


def test_what_cannot_be_an_edge_is_one_clear_line() -> None:
    subject, examples = paths_subject(), paths_texts(SHARED, 2)
    with pytest.raises(InputError, match=r"no edge 'head\.9\.0->final'"):
        list(read(subject, examples, [ChosenEdges(("head.9.0->final",), "sensors")]))
    with pytest.raises(InputError, match="edge attributions of 0 edges"):
        edge_attributions(most=0)
