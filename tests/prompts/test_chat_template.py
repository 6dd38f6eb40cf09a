"""The Jinja that lies beside an adapter gives the ids that we train and answer with, through transformers' own code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from jinja2.exceptions import TemplateError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fingpt.models import MODELS, ModelSpec, spec
from fingpt.prompts import chat, families
from tests import llama3_bpe
from tests.prompts.test_chat import ROOMY, bpe_folders, example, from_case, golden  # noqa: F401

SYSTEMS = [
    "You are an analyst.",
    "",
    "  two\n\nlines \n",
    "Zürich 東京 🙂",
    "{{ x }} {% if %}",
    "a\\nb '\" `",
]
USERS = [
    "Up or down?",
    "\n\n [Company]:\t\n x  ",
    "100 %\r\n",
    "{% endfor %}{{ 7 * 7 }}",
    "a\u00a0b\u2028c",
]


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    """Bytes and the marks of both families."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    marks = [mark for family in llama3_bpe.NAMED.values() for mark in family.values()]
    backend.add_special_tokens([*dict.fromkeys(marks), "<think>", "</think>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def by_jinja(model: ModelSpec, tokenizer, messages, *, prompt=True) -> list[int]:
    found = tokenizer.apply_chat_template(
        messages,
        chat_template=families.chat_template(model),
        add_generation_prompt=prompt,
        tokenize=True,
        return_dict=False,
    )
    return list(found)


def messages_of(one, *, answer=False):
    said = [{"role": "system", "content": one.system}, {"role": "user", "content": one.user}]
    return [*said, {"role": "assistant", "content": one.answer}] if answer else said


@pytest.mark.parametrize("key", list(MODELS))
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_template_gives_our_prompt_and_our_training_sequence(byte_level, key, system, user):
    one = example(system, user, " Prediction: Up by 1-2%\n")
    ours = chat.render(spec(key), byte_level, one, ROOMY)
    assert by_jinja(spec(key), byte_level, messages_of(one)) == list(ours.prompt_ids)
    whole = by_jinja(spec(key), byte_level, messages_of(one, answer=True), prompt=False)
    assert whole == list(ours.input_ids)
    if not system:
        assert by_jinja(spec(key), byte_level, messages_of(one)[1:]) == list(ours.prompt_ids)


@pytest.mark.parametrize("key", ["llama31", "deepseek-r1"])
def test_the_template_gives_our_ids_in_the_real_vocabulary(golden, bpe_folders, key):  # noqa: F811
    tokenizer = chat.load_tokenizer(bpe_folders[key])
    # Special tokens in the text become ids there, which no template can prevent; ours keeps them text.
    cases = [case for case in golden["cases"] if case["name"] != "injection"]
    assert len(cases) == 3
    for case in cases:
        one = from_case(case)
        ours = chat.render(spec(key), tokenizer, one, ROOMY)
        assert by_jinja(spec(key), tokenizer, messages_of(one)) == list(ours.prompt_ids)
        whole = by_jinja(spec(key), tokenizer, messages_of(one, answer=True), prompt=False)
        assert whole == list(ours.input_ids), case["name"]


def test_deepseek_s_prompt_ends_with_the_empty_reasoning_block(byte_level):
    model = spec("deepseek-r1")
    ids = by_jinja(model, byte_level, messages_of(example()))
    text = byte_level.backend_tokenizer.decode(ids, skip_special_tokens=False)
    assert text.endswith("<｜Assistant｜><think>\n\n</think>\n\n")
    assert text.startswith("<｜begin▁of▁sentence｜><｜User｜>You are an analyst.\n\n")


@pytest.mark.parametrize("key", ["llama31", "deepseek-r1"])
def test_later_turns_follow_one_another_and_the_system_text_stands_once(byte_level, key):
    one = example("The system.", "First.", "Answer.")
    later = [*messages_of(one, answer=True), {"role": "user", "content": "Second."}]
    ids = by_jinja(spec(key), byte_level, later)
    first = chat.render(spec(key), byte_level, one, ROOMY)
    assert ids[: len(first.input_ids)] == list(first.input_ids)
    text = byte_level.backend_tokenizer.decode(ids, skip_special_tokens=False)
    assert text.count("The system.") == 1
    rest = chat.render_prompt(spec(key), byte_level, replace(one, system="", user="Second."), ROOMY)
    assert ids[-14:] == list(rest[0])[-14:]


@pytest.mark.parametrize("key", ["llama31", "deepseek-r1"])
@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "user", "content": None},
    ],
)
def test_what_the_template_does_not_know_is_refused(byte_level, key, message):
    with pytest.raises(TemplateError, match="This template"):
        by_jinja(spec(key), byte_level, [message])
    with pytest.raises(TemplateError, match="in front only"):
        by_jinja(
            spec(key), byte_level, [*messages_of(example()), {"role": "system", "content": ""}]
        )
