from __future__ import annotations

import pytest

from tests.families import tiny, tokenizer
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.tokens import TextInputs, text_encoder

# "w90" opens a user's turn, "w91" an assistant's; "</s>" ends a turn.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    " {{ 'w90' if message['role'] == 'user' else 'w91' }} {{ message['content'] | trim }} </s>"
    "{% endfor %}{% if add_generation_prompt %} w91{% endif %}"
)
USER, ASSISTANT, END, BOS = 94, 95, 2, 1


def chatty(template: str | None = TEMPLATE):
    from tokenizers import processors

    made = tokenizer(bos_token="<s>", eos_token="</s>")
    made.chat_template = template
    # The tokenizer would add BOS of its own accord: the template must not be given a second one.
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return made


def ids_of(values: list, made=None, **how) -> list[list[int]]:
    encode = text_encoder(tiny("llama"), made or chatty(), TextInputs(**how))
    return [one.inputs["input_ids"].tolist() for one in encode(Examples.of(text=values))]


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def test_a_chat_goes_through_the_template_with_one_bos_and_a_generation_prompt() -> None:
    assert ids_of([[user("w1 w2")]]) == [[BOS, USER, 5, 6, END, ASSISTANT]]


def test_no_generation_prompt_follows_where_the_assistant_has_the_last_word() -> None:
    answered = [user("w1"), {"role": "assistant", "content": "w2"}]
    assert ids_of([answered]) == [[BOS, USER, 5, END, ASSISTANT, 6, END]]


def test_text_is_put_into_a_users_turn_only_if_asked() -> None:
    assert ids_of(["w1"], chat=True) == ids_of([[user("w1")]])
    assert ids_of(["w1"]) == ids_of(["w1"], chat=False) == [[BOS, 5]]


def test_keys_that_a_table_filled_with_nulls_do_not_reach_the_template() -> None:
    template = "{% for m in messages %}{{ 'w9' if 'name' in m else 'w8' }} {% endfor %}"
    mixed = [[user("a") | {"name": "b"}], [user("a")]]
    assert ids_of(mixed, chatty(template)) == [[13], [12]]


def test_cutting_takes_the_end_of_the_last_message_and_leaves_the_template_whole() -> None:
    words = " ".join(f"w{i}" for i in range(20))
    chats = [
        [user(words)],
        [user("w1"), {"role": "assistant", "content": "w2"}, user(f"  {words} ")],
        [user("w1")],
    ]
    found = ids_of(chats, max_length=10, overlong="truncate")
    assert found[0] == [BOS, USER, 4, 5, 6, 7, 8, 9, END, ASSISTANT]
    assert found[1] == [BOS, USER, 5, END, ASSISTANT, 6, END, USER, END, ASSISTANT]
    assert found[2] == [BOS, USER, 5, END, ASSISTANT]
    with pytest.raises(InputError, match=r"row 0 .*has 24 tokens, the limit is 10"):
        ids_of(chats, max_length=10)
    with pytest.raises(InputError, match=r"row 1 .*the limit is 9: too long without its last message"):
        ids_of(chats, max_length=9, overlong="truncate")


def test_a_chat_where_none_can_be_used_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="no chat template"):
        ids_of([[user("w1")]], chatty(None))
    with pytest.raises(InputError, match="holds chats; pass chat='auto'"):
        ids_of([[user("w1")]], chat=False)
    with pytest.raises(InputError, match=r"row 0 .*refused the messages: no system"):
        ids_of([[user("w1")]], chatty("{{ raise_exception('no system') }}"))


@pytest.mark.parametrize(
    "broken", [[], None, [{"role": "user", "content": None}], [{"role": None, "content": "a"}]]
)
def test_a_broken_chat_is_named_by_its_row(broken) -> None:
    with pytest.raises(InputError, match=r"row 1 .*expected a list of \{role, content\} messages"):
        ids_of([[user("w1")], broken])
