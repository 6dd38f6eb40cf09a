"""Ids made word by word are those that the tokenizer gives whole texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from fingpt.prompts import words as module
from fingpt.prompts.words import LLAMA_PATTERN, Words

LINES = (
    "Orders grew by 12.5% — it's the “best” week since 2019.\n\n  They'Re sure; we'll see!?\r\n",
    "Überschuß 日本語 １２３ ⅷ ſ x'ſ é́ \u00a0\u2003z\u200b\u3000\n\tß 😀👍🏽 don'T 'tis 1,234,567",
)


def tokenizer(
    pattern: str = LLAMA_PATTERN, behavior: str = "isolated", **settings: object
) -> Tokenizer:
    """A small byte-level BPE that was trained on LINES."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior=behavior),
            pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **settings}),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    made.train_from_iterator(LINES * 3, trainer)
    return made


LLAMA = tokenizer()
WORDS = Words(LLAMA, cores=1)


def ids(made: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [made.encode(text, add_special_tokens=False).ids for text in texts]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab's ſrelLmdtTvVE 12٣\n\r\t.,—'\u00a0\u2028\x1cé日ⅷ"), max_size=25)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        max_size=6,
    )
)
def test_ids_are_those_of_whole_texts(texts: list[str]) -> None:
    assert WORDS.encode(texts) == ids(LLAMA, texts)


def test_every_character_is_cut_alike_or_left_to_the_tokenizer() -> None:
    every = [chr(code) for code in range(0x3100) if not 0xD800 <= code < 0xE000]
    texts = [f"a{char} {char}1{char}{char}'{char}\n{char}" for char in every]
    assert WORDS.encode(texts) == ids(LLAMA, texts)


def test_a_word_of_many_texts_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    words, asked = Words(LLAMA, cores=1), list[str]()
    whole = words._whole
    monkeypatch.setattr(words, "_whole", lambda texts: asked.extend(texts) or whole(texts))
    texts = [f"{LINES[0]} and {number}" for number in range(50)]
    assert words.encode(texts) == ids(LLAMA, texts)
    assert len(asked) == len(set(asked)) < 120
    assert words.encode(texts[:9]) == ids(LLAMA, texts[:9])
    assert len(asked) < 120
    monkeypatch.setattr(module, "_MOST_WORDS", 3)
    assert words.encode(texts[:9]) == ids(LLAMA, texts[:9])
    assert len(words._known) < 100


def test_a_character_that_the_two_libraries_see_otherwise_goes_to_the_tokenizer() -> None:
    """As if a newer Unicode had made a letter of it."""
    words, asked = Words(LLAMA, cores=1), list[str]()
    words._alike["é"] = False
    whole = words._whole
    words._whole = lambda texts: asked.extend(texts) or whole(texts)
    texts = ["un café noir", "a plain text"]
    assert words.encode(texts) == ids(LLAMA, texts)
    assert texts[0] in asked
    assert texts[1] not in asked


@pytest.mark.parametrize(
    "other",
    [
        tokenizer(add_prefix_space=True),
        tokenizer(r"\p{N}{1,2}|\p{L}+|[^\p{L}\p{N}]+"),
        tokenizer(behavior="contiguous"),
        Tokenizer(models.BPE(LLAMA.get_vocab(), [])),
    ],
    ids=["a blank in front", "another pattern", "pieces joined", "no pattern"],
)
def test_another_tokenizer_encodes_whole_texts(other: Tokenizer) -> None:
    words = Words(other, cores=1)
    assert words._pattern is None
    assert words.encode(list(LINES)) == ids(other, list(LINES))


def test_many_cores_encode_whole_texts() -> None:
    assert Words(LLAMA, cores=4)._pattern is not None
    many = Words(LLAMA, cores=16)
    assert many._pattern is None
    assert many.encode(list(LINES)) == ids(LLAMA, list(LINES))
