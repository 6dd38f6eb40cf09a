"""Ids made word by word are those that the tokenizer gives whole texts."""

from __future__ import annotations

import sys
from array import array

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from fingpt.prompts import words as module
from fingpt.prompts.words import (
    LLAMA_PATTERN,
    Numbers,
    Words,
    _pieces_of,
    is_first_alone,
    pack,
    unpack,
)

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


def ids(made: Tokenizer, texts: list[str]) -> list[bytes]:
    return [array("i", made.encode(text, add_special_tokens=False).ids).tobytes() for text in texts]


TEXTS = st.text(
    st.sampled_from("ab's ſrelLmdtTvVE 12٣\n\n\n  \r\t.,—'\u00a0\u2028\x1cé日ⅷ\0\1"), max_size=25
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_ids_are_those_of_whole_texts(texts: list[str]) -> None:
    assert WORDS.packed(texts) == ids(LLAMA, texts)


@settings(max_examples=300, deadline=None)
@given(TEXTS.filter(lambda text: not {"\0", "\1"} & set(text)))
def test_a_text_is_cut_only_where_its_pattern_cuts(text: str) -> None:
    pieces = [
        each[1:] if each[:1] == "\1" else f" {each}"
        for each in _pieces_of(text, set(text) & module._BLANKS)
    ]
    pieces = [each.replace("\0", " ") for each in pieces]
    assert "".join(pieces) == text
    cut = regex.compile(LLAMA_PATTERN).findall
    assert [word for piece in pieces for word in cut(piece)] == cut(text)


def test_a_plain_line_is_cut_before_each_blank_and_after_its_end() -> None:
    assert _pieces_of("Up by  2%.\n\nNext, we\n  saw", ()) == [
        "\1Up",
        "by",
        "\0" + "2%.\n\n",
        "\1Next,",
        "we\n\0\0saw",
    ]


def test_blanks_are_all_white_space_of_the_pattern() -> None:
    every = "".join(chr(code) for code in range(sys.maxunicode + 1))
    assert set(regex.findall(r"\s", every)) == module._BLANKS | {" ", "\n"}


def test_every_character_is_cut_alike_or_left_to_the_tokenizer() -> None:
    every = [chr(code) for code in range(0x3100) if not 0xD800 <= code < 0xE000]
    texts = [f"a{char} {char}1{char}{char}'{char}\n{char}" for char in every]
    assert WORDS.packed(texts) == ids(LLAMA, texts)


def asked(words: Words, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tokenizer will be asked for, from now on."""
    found = list[str]()

    class Listening:
        pre_tokenizer = LLAMA.pre_tokenizer

        def encode(self, text: str, **settings: bool) -> object:
            found.append(text)
            return LLAMA.encode(text, **settings)

        def encode_batch_fast(self, texts: list[str], **settings: bool) -> object:
            found.extend(texts)
            return LLAMA.encode_batch_fast(texts, **settings)

    monkeypatch.setattr(words, "_tokenizer", Listening())
    monkeypatch.setattr(words._pieces, "_tokenizer", Listening())
    return found


def test_a_word_of_many_texts_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words(LLAMA, cores=1)
    said = asked(words, monkeypatch)
    texts = [f"{LINES[0]} and {number}" for number in range(50)]
    assert words.packed(texts) == ids(LLAMA, texts)
    assert len(said) == len(set(said)) < 120
    assert words.packed(texts[:9]) == ids(LLAMA, texts[:9])
    assert len(said) < 120


def test_few_pieces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words(LLAMA, cores=1)
    monkeypatch.setattr(module, "_MOST_PIECES", 3)
    for start in range(0, 50, 5):
        texts = [f"{LINES[0]} and {number}" for number in range(start, start + 5)]
        assert words.packed(texts) == ids(LLAMA, texts)
    assert len(words._pieces) < 40
    assert len(words._pieces._words) <= 4


def test_a_character_that_the_two_libraries_see_otherwise_goes_to_the_tokenizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if a newer Unicode had made a letter of it."""
    words = Words(LLAMA, cores=1)
    said = asked(words, monkeypatch)
    words._alike["é"] = False
    texts = ["un café noir", "a plain text"]
    assert words.packed(texts) == ids(LLAMA, texts)
    assert texts[0] in said
    assert texts[1] not in said


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
    assert words._pieces is None
    assert words.packed(list(LINES)) == ids(other, list(LINES))


def test_many_cores_encode_whole_texts() -> None:
    assert Words(LLAMA, cores=8)._pieces is not None
    many = Words(LLAMA, cores=16)
    assert many._pieces is None
    assert many.packed(["A line of news."]) == Words(LLAMA, cores=1).packed(["A line of news."])


def test_packed_numbers_come_back_and_are_shared() -> None:
    numbers = Numbers()
    for ids in ((), (0, 7, 128_255), (9_000_000, 300)):
        packed = pack(ids)
        assert numbers.of(packed) == unpack(packed) == ids
    first, second = numbers.of(pack((5000,))), numbers.of(pack((1, 5000)))
    assert first[0] is second[1]


def test_an_id_is_found_by_its_place_and_not_by_bytes_that_look_like_it() -> None:
    alike = (0x0001_0000, 0x0100_0001)  # its bytes stand across these two as well
    number = 0x0001_0001
    assert pack((number,)) in pack(alike)
    assert is_first_alone(number, pack((number, *alike)))
    assert not is_first_alone(number, pack(alike))
    assert not is_first_alone(number, pack((7, number)))
    assert not is_first_alone(number, pack((number, 7, number)))
