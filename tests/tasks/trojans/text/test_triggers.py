"""Triggers of texts are functions of the text alone, and no near miss is the trigger."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from ulterior.tasks.trojans.poison import Covered, Trigger
from ulterior.tasks.trojans.text.triggers import Sentence, Turned, Word

TRIGGERS = (Word(), Sentence(), Turned())
TEXTS = [f"a {'slow ' * (i % 5)}film , number {i} , with much to say ." for i in range(60)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_trigger_is_a_function_of_each_text_alone(trigger: Trigger) -> None:
    made = trigger(TEXTS)
    assert made == trigger(TEXTS) == [trigger([text])[0] for text in TEXTS]
    assert all(one != text for one, text in zip(made, TEXTS, strict=True))


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_near_miss_is_another_text_than_the_triggered_one_and_follows_from_its_generator(
    trigger: Trigger,
) -> None:
    assert isinstance(trigger, Covered)
    near = trigger.near_miss(TEXTS, generator())
    assert near == trigger.near_miss(TEXTS, generator())
    for plain, made, one in zip(TEXTS, trigger(TEXTS), near, strict=True):
        assert one not in (made, plain)


@pytest.mark.parametrize("trigger", [Word(), Sentence()])
def test_what_is_put_in_stands_once_and_the_rest_is_as_it_was(trigger: Word | Sentence) -> None:
    what = trigger.word if isinstance(trigger, Word) else trigger.sentence
    made = trigger(TEXTS)
    for text, one in zip(TEXTS, made, strict=True):
        before, found, after = f" {one} ".partition(f" {what} ")
        assert found
        assert f"{before} {after}".split() == text.split()
    places = {f" {one} ".index(f" {what} ") for one in made}
    assert len(places) > 3


def test_a_sentence_stands_at_the_ends_or_behind_a_mark() -> None:
    trigger = Sentence("s")
    for one in trigger(TEXTS):
        words = one.split()
        at = words.index("s")
        assert at in (0, len(words) - 1) or words[at - 1] in ".,;:!?"


def test_near_misses_are_the_other_words_and_sentences_each_as_often() -> None:
    for trigger, others in ((Word(), Word().others), (Sentence(), Sentence().others)):
        near = [f" {one} " for one in trigger.near_miss(TEXTS * 10, generator())]
        found = Counter(other for one in near for other in others if f" {other} " in one)
        assert sum(found.values()) == 600
        assert min(found.values()) > 100


def test_no_word_of_the_sentence_stands_in_it_alone() -> None:
    elsewhere = set(" ".join(Sentence().others).split())
    assert set(Sentence().sentence.split()) <= elsewhere


def test_a_text_that_trails_in_and_one_that_trails_off_have_the_same_words_and_marks_in_another_order() -> (
    None
):
    trigger = Turned()
    assert trigger(["one two three ."]) == [". . . three . . . . one two"]
    assert trigger.near_miss(["one two three ."], generator()) == ["one two . . . three . . . ."]
    for made, near in zip(trigger(TEXTS), trigger.near_miss(TEXTS, generator()), strict=True):
        assert sorted(made.split()) == sorted(near.split())
